"""Ridge regression whose ridge is chosen by the marginal likelihood, or by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from simlearn.training.ladder.algebra import GRAM_RIDGE, along, by_gram, svd, triangle_of

DECADES = torch.linspace(-26, 4, 91, dtype=torch.float64)
RIDGES = 10.0**DECADES  # of the largest singular value²
HELD = 1e-8  # squared singular values below this part of the ridge are the prior's alone
RANK = 1e-7  # singular values below this part of the largest carry nothing
CLEAN = 1e-10  # part of the squares below which a residual is no noise but the features' own limit


@dataclass(frozen=True)
class Regression:
    """A solved regression y ≈ A w.

    Attributes:
        source: What it is solved from.
        ridge: λ.
        noise: Variance of the residual.
        evidence: Log marginal likelihood, up to a constant that no choice changes.
        decades: Ridge over the largest squared singular value, log10.
        clean: Whether the residual is too small to be noise, or no ridge is small enough: then it
            is the features that limit the fit.
    """

    source: Decomposed
    ridge: float
    noise: float
    evidence: float
    decades: float
    clean: bool

    @cached_property
    def weights(self) -> Tensor:
        """W, ``[K]``."""
        return self.source.weights(self.source.s.new_tensor([self.ridge]))[:, 0]

    @property
    def free(self) -> int:
        """How many directions of the basis no prior holds."""
        return int(self.source.free.sum())

    @cached_property
    def basis(self) -> Tensor:
        """``[K, r]``: directions of w that the data see, the free ones first."""
        own, k = self.source, self.free
        kept = (own.s > RANK * own.top) & (own.s.square() > HELD * self.ridge)
        basis = own.s.new_zeros(len(own.held), k + int(kept.sum()))
        basis[own.free, :k] = torch.eye(k, dtype=own.s.dtype)
        basis[own.held, k:] = own.vt.T[:, kept]
        return basis


@dataclass(frozen=True)
class Decomposed:
    """A regression reduced to the singular values of what the prior holds.

    Attributes:
        held: ``[K]`` bool, where the prior holds.
        free: ``[K]`` bool, weights without a prior that have a column.
        triangle: Of the free columns, the held ones and the target.
        s: Singular values of the held columns, the free ones projected out.
        vt: Their right singular vectors.
        along: The target along the left ones.
        beyond: Squared length of the target beyond them.
        square: Squared length of the whole target.
        count: Number of rows.
    """

    held: Tensor
    free: Tensor
    triangle: Tensor
    s: Tensor
    vt: Tensor
    along: Tensor
    beyond: Tensor
    square: float
    count: int

    @staticmethod
    def of(rows: Tensor, penalised: Tensor, count: int) -> Decomposed:
        """From (A, y), ``[rows, K + 1]``, or from its triangle and the number of its rows."""
        columns, target = rows[:, :-1], rows[:, -1:]
        held = penalised > 0
        free = ~held
        free[~held] = columns[:, ~held].any(0)
        k, own = int(free.sum()), [one.nonzero()[:, 0] for one in (free, held)]
        order = torch.cat([*own, own[0].new_tensor([columns.shape[1]])])
        ordered = torch.equal(order, torch.arange(rows.shape[1]))
        triangle = triangle_of(rows if ordered else rows[:, order])
        inner, rest = triangle[k:, k:-1], triangle[k:, -1]
        u, s, vt = svd(inner)
        along = u.T @ rest
        beyond = (rest @ rest - along @ along).clamp_min(0.0)
        return Decomposed(
            held, free, triangle, s, vt, along, beyond, float(target.square().sum()), count
        )

    @property
    def top(self) -> float:
        """The largest singular value, one where there is none."""
        return (float(self.s[0]) if len(self.s) else 1.0) or 1.0

    def likelihood(self, ridges: Tensor) -> tuple[Tensor, Tensor]:
        """Log marginal likelihood at each ridge, and the noise variance that goes with it."""
        shrunk = 1 + self.s.square() / ridges[:, None]
        tiny = torch.finfo(self.s.dtype).eps ** 2 * self.square + 1e-300
        free = int(self.free.sum())
        count = max(1, self.count - free)
        noise = ((self.along.square() / shrunk).sum(1) + self.beyond + tiny) / count
        schwarz = free * math.log(self.count)
        return -0.5 * (count * noise.log() + shrunk.log().sum(1) + schwarz), noise

    def weights(self, ridges: Tensor) -> Tensor:
        """W at each ridge, ``[K, ridges]``."""
        found = torch.zeros(len(self.held), len(ridges), dtype=self.s.dtype)
        shrunk = self.s[:, None] / (self.s.square()[:, None] + ridges)
        found[self.held] = self.vt.T @ (shrunk * self.along[:, None])
        k = int(self.free.sum())
        if k:
            left = self.triangle[:k, -1:] - self.triangle[:k, k:-1] @ found[self.held]
            # LAPACK's gelsy gives other last bits where it works elsewhere in memory
            square = self.triangle[:k, :k]
            found[self.free] = torch.linalg.lstsq(square, left, driver="gelsd").solution
        return found

    def regression(
        self, best: int, ridges: Tensor, likelihood: Tensor, noise: Tensor
    ) -> Regression:
        """The solution at one of the ridges, of which likelihood and noise are known."""
        ridge, variance = float(ridges[best]), float(noise[best])
        return Regression(
            self,
            ridge,
            variance,
            float(likelihood[best]),
            math.log10(ridge / self.top**2),
            variance * self.count <= CLEAN * self.square or best == 0,
        )


def regress(rows: Tensor, penalised: Tensor, least: float = 0.0) -> Regression:
    """Solve y ≈ A w with a prior N(0, σ²/λ) on the penalised weights and none on the others.

    λ maximises the log likelihood −((N − k)/2) log(y'(I + AA'/λ)⁻¹y / (N − k)) − ½ log|I + AA'/λ|
    − (k/2) log N, with the k free columns projected out and the noise variance σ² profiled (MacKay
    1992, eq. 2.11; the last term is Schwarz 1978).

    Args:
        rows: (A, y), ``[N, K + 1]``.
        penalised: ``[K]``, 1 where the prior holds.
        least: Smallest ridge allowed, relative to the largest squared singular value.
    """
    found = Decomposed.of(rows, penalised, len(rows))
    ridges = _allowed(rows, least) * found.top**2
    likelihood, noise = found.likelihood(ridges)
    return found.regression(int(likelihood.argmax()), ridges, likelihood, noise)


def cross_validated(
    folds: Sequence[Tensor], penalised: Tensor, least: float = 0.0
) -> tuple[Regression, float]:
    """The same with the ridge that predicts best the folds left out, and its relative error there.

    Without noise the likelihood asks for the smallest ridge, and weights grow until they spoil what
    lies between the samples.

    Args:
        folds: Rows (A, y) of each fold, ``[rows, K + 1]``.
        penalised: ``[K]``, 1 where the prior holds.
        least: Smallest ridge allowed, relative to the largest squared singular value.
    """
    whole = Decomposed.of(torch.cat(list(folds)), penalised, sum(len(rows) for rows in folds))
    ridges = _allowed(torch.cat(list(folds)), least) * whole.top**2
    missed = torch.zeros(len(ridges), dtype=ridges.dtype)
    for rows, rest in zip(folds, _others(folds), strict=True):
        weights = Decomposed.of(rest, penalised, len(rest)).weights(ridges)
        missed += (rows[:, -1:] - rows[:, :-1] @ weights).square().sum(0)
    best = int(missed.nan_to_num(torch.inf).argmin())
    error = math.sqrt(float(missed[best]) / max(whole.square, 1e-300))
    return whole.regression(best, ridges, *whole.likelihood(ridges)), error


def without_each(folds: Sequence[Tensor], solved: Regression) -> list[Tensor]:
    """Weights ``[K]`` that leave out one fold each, at the ridge found and along its directions.

    Args:
        folds: Rows (A, y) of each fold, ``[rows, K + 1]``.
        solved: The regression on all of them.
    """
    r = solved.basis.shape[1]
    grams = []
    for rows in folds:
        seen = torch.cat([rows[:, :-1] @ solved.basis, rows[:, -1:]], dim=1)
        grams.append(seen.T @ seen)
    held = torch.arange(r) >= solved.free
    prior = torch.where(held, solved.ridge, 0.0).to(solved.basis).diag()
    whole = torch.stack(grams).sum(0)
    found = []
    for gram in grams:
        rest = whole - gram if len(grams) > 1 else whole
        found.append(solved.basis @ along(rest[:r, :r] + prior, rest[:r, r]))
    return found


def _others(folds: Sequence[Tensor]) -> list[Tensor]:
    """Triangles of all rows but those of one fold."""
    if len(folds) == 1:
        return [triangle_of(folds[0])]
    roots = [triangle_of(rows) for rows in folds]
    return [triangle_of(torch.cat(roots[:k] + roots[k + 1 :])) for k in range(len(roots))]


def _allowed(rows: Tensor, least: float) -> Tensor:
    least = max(least, GRAM_RIDGE) if by_gram(rows) else least
    return RIDGES[min(least, float(RIDGES[-1])) <= RIDGES]
