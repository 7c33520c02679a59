"""Regressions for pair energies: their columns, weights, noise, errors, and how far they reach."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from simlearn.dynamics.features import MARGIN, Scale
from simlearn.dynamics.pairs import CORE, PairEnergy, distance, pairs_of, speed
from simlearn.training.ladder.algebra import triangle_of
from simlearn.training.ladder.drawn import Moments
from simlearn.training.ladder.evidence import Decomposed, Regression

FARTHEST = 2.0  # length scales beyond the distances seen to which φ is believed at most
DOUBT = 0.1  # part of the departure from the power law that trajectories may disagree by
AGREED = 0.01  # part of the force that they may disagree by

T = TypeVar("T")


@dataclass(frozen=True)
class Coordinate:
    """What φ is a function of: log of the softened distance or the distance; and how wiggly."""

    scale: Scale
    soft: float = 0.0
    straight: bool = False


@dataclass(frozen=True)
class Solved:
    """One function and what speaks for it.

    Attributes:
        coordinate: What it is a function of.
        solved: On all that was drawn.
        missed: Relative error on trajectories left out, infinite where there is noise.
        cross: The same where the others have seen such distances.
        excess: What of that the noise does not explain.
        others: Weights that leave out some trajectories each.
    """

    coordinate: Coordinate
    solved: Regression
    missed: float
    cross: float = math.inf
    excess: float = 0.0
    others: tuple[Tensor, ...] = ()

    @property
    def straight(self) -> bool:
        """Whether the coordinate is the distance itself."""
        return self.coordinate.straight


def preferred(offers: Sequence[T], judged: Sequence[Solved]) -> T:
    """The largest evidence; where none leaves enough to be noise, the best cross-validation."""
    clean = all(one.solved.clean for one in judged)
    scores = [one.missed if clean else -one.solved.evidence for one in judged]
    return offers[scores.index(min(scores))]


def columns(model: PairEnergy, drawn: Moments, number: int) -> Tensor:
    """dq/dt by the coefficients of κ, or dp/dt by those of φ, ``[rows, space, K]``."""
    if number == 0:
        return drawn.v[:, :, None] * model.kinetic.slopes(speed(drawn.v))
    first, second = pairs_of(drawn.topology)
    apart = drawn.q[second] - drawn.q[first]
    r = distance(apart)
    steep = model.potential.slopes(model.softened(r)) * model.stretch(r)[..., None]
    coupling = model.coupling(drawn.topology)
    steep = steep if isinstance(coupling, float) else steep * coupling[..., None]
    pull = apart[:, :, None] * steep
    design = drawn.q.new_zeros(*drawn.q.shape, pull.shape[-1])
    return design.index_add_(0, first, pull).index_add_(0, second, -pull)


def weights_of(target: Tensor) -> Tensor:
    """One over the size of each slope, which counts as no smaller than the typical one.

    Where more than half of the rows rest, the typical one is a hundredth of the root mean square.
    """
    size = target.norm(dim=1)
    typical = max(float(size.median()), 0.01 * float(size.square().mean().sqrt()))
    return 1 / (size + 0.3 * typical) if typical > 0 else torch.ones_like(size)


def noise_floor(model: PairEnergy, drawn: Moments, number: int, weights: Tensor) -> Tensor:
    """What noise of states and slopes does to each slope, ``[rows, space]``, drawn once."""
    rng = torch.Generator().manual_seed(number)
    shift = torch.randn(drawn.q.shape, generator=rng, dtype=torch.float64)
    q, p, *slopes = drawn.noise.chunk(4, dim=-1)
    mass = model.masses(drawn.topology)
    v = p if mass is None else p / mass
    moved = replace(drawn, v=drawn.v + v * shift) if number == 0 else None
    moved = moved or replace(drawn, q=drawn.q + q * shift)
    change = (columns(model, moved, number) - columns(model, drawn, number)) @ weights
    return (change.square() + slopes[number].square()).sqrt()


def errors(
    rows: Tensor, others: Sequence[Tensor], drawn: Moments, floor: Tensor
) -> tuple[float, float]:
    """Relative error on trajectories left out, where the others have seen such distances.

    Beyond them the field does not use the functions but the rule of its extrapolation.

    Args:
        rows: (A, y), ``[rows, space, K + 1]``.
        others: Weights that leave out each fold in turn.
        drawn: Where the rows come from.
        floor: What noise does to each slope.

    Returns:
        It, and what of it the noise floor ``[rows, space]`` does not explain.
    """
    missed, size, expected = 0.0, 1e-300, 0.0
    for k, weights in zip(drawn.fold.unique(), others, strict=True):
        left, reach = drawn.fold == k, drawn.reach
        rest = reach if bool(left.all()) else reach[~left]
        near, far = rest.amin(), rest.amax()
        seen = left & (reach[:, 0] >= near) & (reach[:, 1] <= far)
        missed += float((rows[seen][..., -1] - rows[seen][..., :-1] @ weights).square().sum())
        size += float(rows[seen][..., -1].square().sum())
        expected += float(floor[seen].square().sum())
    cross = missed / size
    return math.sqrt(cross), math.sqrt(max(0.0, cross - min(expected / size, 1.0)))


def left_out(folds: Sequence[Tensor], penalised: Tensor, ridge: float) -> list[Tensor]:
    """Weights ``[K]`` that leave out one fold each, to rounding, as clean data ask for."""
    roots = [triangle_of(rows) for rows in folds]
    at = torch.tensor([ridge], dtype=torch.float64)
    found = []
    for k in range(len(roots)):
        rest = torch.cat(roots[:k] + roots[k + 1 :] if len(roots) > 1 else roots)
        found.append(Decomposed.of(rest, penalised, len(rest)).weights(at)[:, 0])
    return found


def believed(
    model: PairEnergy, length: float, weights: Tensor, others: Sequence[Tensor]
) -> tuple[float, float]:
    """How many length scales below and above the distances seen φ says more than a power law.

    It does as long as fits that leave out some trajectories differ from the whole one by less than
    a tenth of what separates that from the power law, and by less than a hundredth of the force.

    Args:
        model: Measured, at the usual margin, and settled.
        length: Of the features.
        weights: Of φ.
        others: The same without each fold in turn.
    """
    if len(others) < 2:
        return MARGIN, MARGIN
    lengths = torch.linspace(MARGIN, FARTHEST, 36, dtype=torch.float64)
    apart = lengths * length * model.potential.spread
    ends = model.start, model.edge
    low, high = model.potential.low.clone(), model.potential.high.clone()
    model.potential.low.fill_(-torch.inf)
    model.potential.high.fill_(torch.inf)
    every = torch.stack([weights, *others], dim=1)
    found = []
    for end, sign, power in zip(ends, (-1, 1), (model.inner, model.exponent), strict=True):
        r = end + sign * apart if bool(model.straight) else end * (sign * apart).exp()
        r = torch.cat([end[None], r[r > CORE * end]])[:, None]
        slopes = model.potential.slope_of(model.softened(r), every)[:, 0]
        force = slopes * model.stretch(r) * r
        law = force[0, 0] * (r[1:, 0] / end) ** power
        force = force[1:]
        doubt = (force[:, 1:] - force[:, :1]).abs().amax(1)
        departure = (force[:, 0] - law).abs().cummax(0).values
        sure = (doubt <= DOUBT * departure) & (doubt <= AGREED * force[:, 0].abs())
        count = int(sure.long().cumprod(0).sum())
        found.append(float(lengths[count - 1]) if count else MARGIN)
    model.potential.low.copy_(low)
    model.potential.high.copy_(high)
    return found[0], found[1]
