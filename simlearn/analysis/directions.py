"""Unlearnable directions: what a simulator does where its data carry no energy.

Floryan 2024 (arXiv 2406.13101): a network learns the directions of its data by their energy, and
not at all where there is none. No loss shows what it does there, but a rollout goes there by every
small error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from simlearn.analysis.contraction import log_norm, norm
from simlearn.analysis.flat import Motion
from simlearn.analysis.jacobian import push
from simlearn.dynamics.base import Time

Verdict = Literal["unstable", "neutral", "ok"]
WIDE = 256  # columns of a state in which symmetries are looked for everywhere
EXACT = 1e-9  # response that an untrained network of any weights must not exceed in a symmetry


@dataclass(frozen=True)
class Blocks:
    """One step's Jacobian in the frame [S, N] of data and no data, at each anchor.

    With J_AB = Aᵀ J B. Single points of an orbit tell of transient growth, not of stability: that
    is for the transverse exponents.

    Attributes:
        inside: J_SS ``[anchors, r, r]``, what was taught.
        response: J_SN ``[anchors, r, m]``, how the learned part answers to a state off the data.
        leak: J_NS ``[anchors, m, r]``, how it leaves the data by itself.
        outside: J_NN ``[anchors, m, m]``, what nothing taught.
    """

    inside: Tensor
    response: Tensor
    leak: Tensor
    outside: Tensor

    @property
    def radius(self) -> Tensor:
        """Spectral radius of J_NN, ``[anchors]``."""
        return torch.linalg.eigvals(self.outside).abs().amax(-1)

    @property
    def abscissa(self) -> Tensor:
        """Largest real part of an eigenvalue of J_NN, ``[anchors]``; of a field below 0 is stable.

        For a map or a step take `radius`.
        """
        return torch.linalg.eigvals(self.outside).real.amax(-1)

    @property
    def norm(self) -> Tensor:
        """‖J_NN‖₂, ``[anchors]``: the largest growth in one step."""
        return norm(self.outside)

    @property
    def log_norm(self) -> Tensor:
        """μ₂(J_NN), ``[anchors]``, for the Jacobian of a field."""
        return log_norm(self.outside)


@torch.no_grad()
def blocks(motion: Motion, x: Tensor, data: Tensor, normal: Tensor, t: Time = 0.0) -> Blocks:
    """All four blocks at anchors ``[anchors, n]``, by n tangent vectors.

    Args:
        motion: A step or a field.
        x: ``[anchors, n]``.
        data: S ``[n, r]``, orthonormal.
        normal: N ``[n, m]``, orthonormal and orthogonal to S.
        t: Time.
    """
    frame = torch.cat([data, normal], dim=1)
    pushed = push(lambda y: motion(y, t), x, frame.expand(len(x), *frame.shape))[1]
    turned, r = frame.mT @ pushed, data.shape[1]
    return Blocks(turned[:, :r, :r], turned[:, :r, r:], turned[:, r:, :r], turned[:, r:, r:])


def verdict(exponents: Tensor, errors: Tensor, resolution: float = 0.0) -> Verdict:
    """What transverse exponents λ with standard errors s say.

    "unstable" where λ − 2 s > 0 for one of them, "ok" where λ + 2 s < 0 for all, "neutral" between:
    errors off the data neither grow nor heal. NaN is unstable: an orbit was lost. No exponents at
    all are ok. All are asked, for a smaller one that is known better may be clearly unstable.

    Args:
        exponents: ``[m]``.
        errors: ``[m]`` standard errors.
        resolution: Least rate that can be told from zero: it stands in for 2 s where that is
            smaller. Exponents over a time T are not known better than about 1/T.
    """
    if not exponents.numel():
        return "ok"
    errors = errors.clamp_min(resolution / 2)
    if not bool(exponents.isfinite().all()):
        return "unstable"
    if float((exponents - 2 * errors).max()) > 0:
        return "unstable"
    return "ok" if float((exponents + 2 * errors).max()) < 0 else "neutral"


@torch.no_grad()
def leak(motion: Motion, x: Tensor, ahead: Tensor, normal: Tensor, t: Time = 0.0) -> float:
    """L = rms |Nᵀ (F(x) − x⁺)|: how far one step of the simulator leaves the data.

    Args:
        motion: A step.
        x: True states ``[anchors, n]``.
        ahead: The true states one step later.
        normal: N ``[n, m]``, or at each true later state ``[anchors, n, m]``.
        t: Time.
    """
    off = (motion(x, t) - ahead)[:, None, :] @ normal
    return float(off.square().sum(-1).mean().sqrt())


def escape_step(factor: float, leak: float, tolerance: float) -> float:
    """The step k* at which an error off the data reaches the tolerance; infinite if never.

    With e⁺ = ρ e + l it is ⌈ln(1 + τ (ρ − 1) / l) / ln ρ⌉; τ / l where ρ = 1; and never where ρ < 1
    holds it at l / (1 − ρ) < τ.

    Args:
        factor: ρ, growth of a step.
        leak: l, error added by a step.
        tolerance: τ.
    """
    if leak <= 0:
        return math.inf
    if factor == 1:
        return math.ceil(tolerance / leak)
    grown = 1 + tolerance * (factor - 1) / leak
    if factor <= 0 or grown <= 0:
        return math.inf if leak < tolerance else 1
    return math.ceil(math.log(grown) / math.log(factor))


def off_data(orbit: Tensor, normal: Tensor, mean: Tensor) -> Tensor:
    """Distance |Nᵀ (x − mean)| from the subspace of the data, ``[steps, anchors]``."""
    return ((orbit - mean) @ normal).norm(dim=-1)


def escaped(distance: Tensor, tolerance: float) -> Tensor:
    """First step at which each of ``[steps, anchors]`` distances passes τ; infinite if none."""
    beyond = ~(distance <= tolerance)
    first = beyond.int().argmax(0).double()
    return torch.where(beyond.any(0), first, torch.inf)


@torch.no_grad()
def rolled(
    motion: Motion,
    x: Tensor,
    steps: int,
    *,
    dt: float = 1.0,
    t0: Time = 0.0,
    data: Tensor | None = None,
    mean: Tensor | None = None,
) -> Tensor:
    """Rollouts ``[steps + 1, anchors, n]``; with ``data`` clamped to mean + S at every step.

    A simulator whose clamped rollouts are good and whose free ones are not is harmed by directions
    that nothing taught. A state that is not finite stays so.
    """
    found = [x]
    for number in range(steps):
        x = motion(x, t0 + number * dt)
        if data is not None:
            middle = 0.0 if mean is None else mean
            x = middle + (x - middle) @ data @ data.mT
        found.append(x)
    return torch.stack(found)


def sensitivity(trained: Tensor, drawn: Tensor) -> Tensor:
    """r_i = Var_seed[J u_i] / Var_init[J u_i]: what is left of the draw of the weights, ``[m]``.

    0 where training decides what the simulator does along u_i, 1 where the initialisation does.
    For a linear model under gradient descent it is exactly (1 − η λ_i)^{2K}.

    Args:
        trained: J u_i of models trained from several seeds, ``[models, anchors, n, m]``.
        drawn: The same of models as they were drawn, before training.
    """
    spread = [one.var(0, correction=1).mean(0).sum(0) for one in (trained, drawn)]
    rounding = 1e-24 * torch.cat([trained, drawn]).square().mean((0, 1)).sum(0).clamp_min(1e-200)
    alive = (spread[0] > rounding).to(spread[0])  # where no draw differs, nothing is left of one
    return torch.where(spread[1] > rounding, spread[0] / spread[1].clamp_min(1e-300), alive)


@torch.no_grad()
def response(motion: Motion, x: Tensor, directions: Tensor, t: Time = 0.0) -> Tensor:
    """J(x) u_i at anchors, ``[anchors, n, m]``."""
    return push(lambda y: motion(y, t), x, directions.expand(len(x), *directions.shape))[1]


def by_symmetry(drawn: Sequence[Motion], x: Tensor, normal: Tensor) -> tuple[Tensor, Tensor]:
    """Parts N into directions in which *no* weights could do anything, and the rest.

    In a direction v of a symmetry (a shift of all positions, say) a step gives F(x + v) = F(x) + v
    whatever the weights are. So models with fresh weights are asked for all v with J v = v; what
    they span beside the data is exact. In a state of more than 256 columns only v in N are asked.

    Args:
        drawn: Steps of models with other random weights.
        x: Anchors ``[anchors, n]``.
        normal: N ``[n, m]``.

    Returns:
        Orthonormal bases ``[n, m₁]`` of exact nulls and ``[n, m − m₁]`` of nulls by data, of N.
    """
    if not drawn or not normal.shape[1]:
        return normal[:, :0], normal
    n = normal.shape[0]
    asked = torch.eye(n, dtype=normal.dtype) if n <= WIDE else normal
    asked = asked.to(x)
    small, found = asked.new_zeros(0, asked.shape[1]), []
    for number, one in enumerate(drawn, 1):  # R has the singular values of all that went into it
        moved = (response(one, x, asked) - asked).flatten(0, 1)
        small = torch.linalg.qr(torch.cat([small, moved]), mode="r")[1]
        if number in (max(1, len(drawn) // 2), len(drawn)):
            found.append(_still(small, EXACT * math.sqrt(len(x) * number)))
    still = found[-1]
    if still.shape[1] < found[0].shape[1]:  # narrow networks: every draw still moves new directions
        return normal[:, :0], normal
    beside = normal.mT @ asked @ still
    left, size, _ = torch.linalg.svd(beside, full_matrices=True)
    exact = torch.zeros(normal.shape[1], dtype=torch.bool)
    exact[: len(size)] = size > math.sqrt(EXACT)
    return normal @ left[:, exact], normal @ left[:, ~exact]


def _still(moved: Tensor, least: float) -> Tensor:
    """Orthonormal directions that a matrix maps to nothing, ``[columns, k]``."""
    _, s, v = torch.linalg.svd(moved, full_matrices=True)
    whole = torch.cat([s, s.new_zeros(len(v) - len(s))])
    return v.mT[:, whole <= least]
