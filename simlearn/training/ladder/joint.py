"""Coefficients and initial states together, through rollouts: Gauss-Newton with evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from simlearn.dynamics.series import Series
from simlearn.training.ladder.flow import Derivatives, paths, sensitivities, step
from simlearn.training.ladder.normal import Normal, inverse
from simlearn.training.ladder.samples import Samples

TRUST = 0.01  # slopes count as at most so many times better than states, each in its own spread
ENOUGH = 0.03  # a gain of log-likelihood that is not worth another iteration
SILENT = 1e6  # times what the data say: a prior precision at which coefficients vanish
ROUNDS = 5  # of the fixed points for prior precisions, at every linearisation
MOST_PARTS = 16  # Runge-Kutta steps in one interval of the data


@dataclass(frozen=True)
class Precisions:
    """What the fit believes of its noise.

    Attributes:
        state: Standard deviation of the states, ``[dim]``.
        slope: Standard deviation of the recorded slopes, ``[dim]``.
        prior: Prior precision of each direction of the coefficients, ``[r]``.
    """

    state: Tensor
    slope: Tensor
    prior: Tensor


@dataclass(frozen=True)
class Residuals:
    """Paths, and how far data and recorded slopes are from them; zero where nothing was observed.

    Attributes:
        x: ``[n, steps, dim]``.
        state: ``[n, steps, dim]``.
        slope: The same, None where no slopes are used.
    """

    x: Tensor
    state: Tensor
    slope: Tensor | None


@dataclass
class Joint:
    """The fit: minimises |y − x(t; z, c)|²/σ² + |dx/dt − f(x)|²/ς² + Σ α c² over c and starts z.

    Initial states are eliminated by their Schur complement; the Levenberg-Marquardt damping is
    Marquardt's; σ, ς and the prior precision α of each block follow MacKay's fixed points (1992,
    eqs. 4.4 and 4.5) at every iteration.

    Args:
        model: The series, in float64; its coefficients are changed in place.
        samples: What was observed.
        basis: ``[K, r]``, orthonormal directions in which the coefficients move; along all others
            they stay.
        groups: ``[r]``: which prior precision holds a direction; −1 for none.
    """

    model: Series
    samples: Samples
    basis: Tensor
    groups: Tensor
    parts: int = 1
    history: list[dict[str, Any]] = field(default_factory=list)
    rest: Tensor = field(init=False)
    cost: float = math.inf

    def __post_init__(self) -> None:
        c = self.model.coefficients
        self.rest = c - self.basis @ (self.basis.T @ c)

    @torch.no_grad()
    def run(self, start: Tensor, known: Precisions, iterations: int) -> tuple[Tensor, Precisions]:
        """Improve coefficients and starts ``[n, dim]``.

        Returns:
            The starts and the precisions found.
        """
        damping, z, c = 1e-9, start, self.basis.T @ self.model.coefficients
        self.parts = self._parts(known)
        now = self._residuals(z, c)
        for _ in range(iterations):
            by = self._system(now)
            if not (math.isfinite(self._cost(now, c, known)) and bool(by.state.isfinite().all())):
                break
            known = self._updated(self._normal(by, now, c, known), c, now, known)
            system = self._normal(by, now, c, known)
            dz, dc, promised, damping, trial = self._step(system, z, c, now, known, damping)
            if trial is None:
                break
            gained = self._cost(now, c, known) - self._cost(trial, c + dc, known)
            z, c, now, damping = z + dz, c + dc, trial, max(damping / 100, 1e-15)
            self.history.append({"gained": gained, "state_noise": known.state.mean().item()})
            if gained < ENOUGH and promised < ENOUGH:
                break
        self._load(c)
        self.cost = self._cost(now, c, known)
        return z, known

    @torch.no_grad()
    def evidence(self, z: Tensor, known: Precisions) -> float:
        """Log marginal likelihood by Laplace's method (MacKay 1992, eq. 4.3), up to a constant."""
        c = self.basis.T @ self.model.coefficients
        now = self._residuals(z, c)
        if not math.isfinite(self._cost(now, c, known)):
            return -math.inf
        system = self._normal(self._system(now), now, c, known)
        held = known.prior > 0
        matrix = system.reduced()[0] + known.prior.diag()
        volume = torch.linalg.slogdet(system.zz.sum(0))[1].sum() + torch.linalg.slogdet(matrix)[1]
        noise = self.samples.mask.sum() * known.state.log().sum()
        if now.slope is not None:
            noise = noise + self.samples.mask.sum() * known.slope.log().sum()
        prior = known.prior[held].log().sum() / 2
        return float(prior - noise - volume / 2) - self._cost(now, c, known) / 2

    def _step(
        self,
        system: Normal,
        z: Tensor,
        c: Tensor,
        now: Residuals,
        known: Precisions,
        damping: float,
    ) -> tuple[Tensor, Tensor, float, float, Residuals | None]:
        """The least damped step that lowers the cost; no residuals where there is none."""
        cost = self._cost(now, c, known)
        for _ in range(8):
            dz, dc, promised = system.solve(damping)
            trial = self._residuals(z + dz, c + dc)
            reached = self._cost(trial, c + dc, known)
            if math.isfinite(reached) and reached < cost:
                return dz, dc, promised, damping, trial
            damping *= 100
        return dz, dc, promised, damping, None

    def _load(self, c: Tensor) -> None:
        self.model.coefficients.copy_(self.rest + self.basis @ c)

    def _parts(self, precisions: Precisions) -> int:
        """Runge-Kutta steps an interval, so that halving them changes less than the noise does."""
        data = self.samples
        x = data.x[:, :-1].reshape(-1, data.x.shape[-1])
        dt = data.t.diff(dim=1).reshape(-1, 1)
        wanted = 0.03 * precisions.state / data.x.shape[1] ** 0.5
        rates = self.model.rates()
        parts, fine = 1, step(rates, x, dt, 1)
        while parts < MOST_PARTS:
            coarse, fine = fine, step(rates, x, dt, 2 * parts)
            if bool(((fine - coarse).square().mean(0).sqrt() <= wanted).all()):
                break
            parts *= 2
        return parts

    def lost(self, start: Tensor, known: Precisions) -> bool:
        """Whether the paths from these starts are no use: not finite, or nowhere near the data."""
        data = self.samples
        parts = self._parts(known)
        apart = (paths(self.model.rates(), start, data.t, parts) - data.x) * data.mask[..., None]
        spread = data.x[data.mask > 0].std(0)
        moves = spread > 1e-9 * spread.max()
        missed = (apart.square().sum((0, 1)) / data.mask.sum()).sqrt()
        return not bool((missed < spread)[moves].all() and missed.isfinite().all())

    def _residuals(self, z: Tensor, c: Tensor) -> Residuals:
        """Paths from the starts, and what they miss."""
        self._load(c)
        data, mask = self.samples, self.samples.mask[..., None]
        rates = self.model.rates()
        x = paths(rates, z, data.t, self.parts)
        missed = None
        if data.slope is not None:
            missed = (data.slope - rates(x.flatten(0, 1)).reshape(x.shape)) * mask
        return Residuals(x, (data.x - x) * mask, missed)

    def _cost(self, now: Residuals, c: Tensor, known: Precisions) -> float:
        cost = (now.state / known.state).square().sum() + (known.prior * c.square()).sum()
        if now.slope is not None:
            cost = cost + (now.slope / known.slope).square().sum()
        return float(cost)

    def _system(self, now: Residuals) -> Derivatives:
        """Derivatives of paths and slopes at the present paths."""
        mask = self.samples.mask[..., None, None]
        s = sensitivities(self.model, self.basis, now.x, self.samples.t, self.parts)
        if now.slope is None:
            return Derivatives(s * mask, None)
        n, steps, dim, _ = s.shape
        flat = now.x.reshape(-1, dim)
        rate = self.model.tangent(flat).reshape(n, steps, dim, dim) @ s
        rate[..., dim:] += (self.model.columns(flat) @ self.basis).reshape(n, steps, dim, -1)
        return Derivatives(s * mask, rate * mask)

    def _normal(self, by: Derivatives, now: Residuals, c: Tensor, known: Precisions) -> Normal:
        blocks = [(by.state / known.state[:, None], now.state / known.state)]
        if by.slope is not None and now.slope is not None:
            blocks.append((by.slope / known.slope[:, None], now.slope / known.slope))
        return Normal.of(blocks, c, known.prior)

    def _updated(self, system: Normal, c: Tensor, now: Residuals, known: Precisions) -> Precisions:
        """MacKay's fixed points at the present linearisation, a few rounds of them."""
        dim, groups = self.samples.shape[2], self.groups[self.groups >= 0].unique().tolist()
        prior, reduced, right = known.prior, *system.reduced()
        most = SILENT * float(reduced.diagonal().max().clamp_min(1e-100))
        for _ in range(ROUNDS):
            covariance = inverse(reduced + prior.diag())
            there = c + covariance @ (right - prior * c)
            prior = prior.clone()
            for own in (self.groups == group for group in groups):
                alpha = float(prior[own][0])
                gamma = float(own.sum()) - alpha * float(covariance.diagonal()[own].sum())
                size = float(there[own].square().sum())
                prior[own] = min(max(gamma, 1e-3) / max(size, 1e-300), 1e3 * (alpha or 1.0), most)
        used = system.used(inverse(reduced + prior.diag()))
        count = float(self.samples.mask.sum()) * dim
        spread = self.samples.x[self.samples.mask > 0].std(0)
        spread = spread.clamp_min(1e-9 * float(spread.max().clamp_min(1e-100)))
        state = _noise(now.state, count, used[0]).maximum(1e-10 * spread)
        slope = known.slope
        if now.slope is not None and self.samples.slope is not None:
            rates = self.samples.slope[self.samples.mask > 0].std(0)
            rates = rates.clamp_min(1e-9 * float(rates.max().clamp_min(1e-100)))
            least = TRUST * rates * (state / spread).mean()
            slope = _noise(now.slope, count, used[1]).maximum(least)
        return Precisions(state, slope, prior)


def _noise(residual: Tensor, count: float, used: float) -> Tensor:
    """Standard deviation of each column; parameters are shared out evenly over the columns."""
    own = max(count - used, 0.1 * count) / residual.shape[-1]
    return (residual.square().sum((0, 1)) / own).sqrt()
