"""The closed-form fit of one series: scales and ridges by evidence, errors by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.dynamics.features import Scale
from simlearn.dynamics.series import Series
from simlearn.training.ladder.design import Design
from simlearn.training.ladder.evidence import (
    Regression,
    cross_validated,
    regress,
    without_each,
)

LOOK = 4000  # components of dx/dt, and cosines, that tell scales apart
COSINES = 200
EXACT = 400  # cosines where slopes are free of noise: few of them take long waves for better ones
CLOSE = 200.0  # of log evidence: a difference that noisy slopes do not make sure


@dataclass(frozen=True)
class Closed:
    """A series solved in closed form; its coefficients are loaded.

    Attributes:
        scales: One for each equation.
        offers: The scales of each equation that the slopes hardly tell apart, the best first.
        regressions: One for each equation.
        slope: Standard deviation of the residual slopes, ``[dim]``.
        cross: Relative error on held-out trajectories.
        error: Its standard error over the folds.
        excess: The part of it that noise does not explain, at least.
        noise: The share of the squared error on held-out trajectories that noise explains.
        folds: Coefficients without each fold.
        weight: ``[samples, dim]``, of each residual.
    """

    scales: Sequence[Scale]
    offers: Sequence[Sequence[Scale]]
    regressions: Sequence[Regression]
    slope: Tensor
    cross: float
    error: float
    excess: float
    noise: float
    folds: Sequence[Tensor]
    weight: Tensor


@torch.no_grad()
def solve(
    model: Series,
    design: Design,
    scales: Sequence[Scale] | None = None,
    least: Sequence[float] | None = None,
    weight: Tensor | None = None,
) -> Closed:
    """Choose the scales, solve every equation and load the coefficients.

    Args:
        model: A series in float64.
        design: The samples.
        scales: One for each equation, where they are chosen already.
        least: Smallest ridge allowed in each, relative to the largest squared singular value.
        weight: Of each residual, where it is known already.
    """
    numbers, known = range(len(model.equations())), weight is not None
    weight = design.weight if weight is None else weight
    least = least or [0.0 for _ in numbers]
    if scales is None:
        found = [_chosen(model, number, design) for number in numbers]
        offers, solved = [scales for scales, _ in found], [one for _, one in found]
        scales = [best[0] for best in offers]
        model.measure(design.x, scales)
    else:
        offers = [[scale] for scale in scales]
        model.measure(design.x, scales)
        solved = [_solved(model, number, design, weight, least[number])[0] for number in numbers]
    if not known and any(columns.stop - columns.start > 1 for columns, _ in model.equations()):
        _load(model, solved)
        weight = design.weight / _misfit(model, design, design.weight)
        solved = [_solved(model, number, design, weight, least[number])[0] for number in numbers]
    _load(model, solved)
    residual, folds = _left_out(model, design, weight, solved)
    slope = _misfit(model, design, torch.ones_like(design.slope))
    cross, error, excess, share = _scores(model, design, residual)
    return Closed(scales, offers, solved, slope, cross, error, excess, share, folds, weight)


def _chosen(model: Series, number: int, design: Design) -> tuple[list[Scale], Regression]:
    """The scale of one equation with the largest evidence; without noise, with the least error.

    Returns:
        It, and after it those that come close; and the regression at the first.
    """
    offers, count = model.scales()[number], len(model.equations())
    found = []
    part, most = design.some(LOOK // design.x.shape[1]), COSINES if design.noisy else EXACT
    for scale in offers:
        model.measure(design.x, [scale] * count, number)
        found.append(_solved(model, number, part, part.weight, most=most))
    clean = all(one.clean for one, _ in found)
    scores = [error if clean else -one.evidence for one, error in found]
    best = min(range(len(offers)), key=scores.__getitem__)
    near = sorted(
        (k for k in range(len(offers)) if not clean and scores[k] <= scores[best] + CLOSE),
        key=scores.__getitem__,
    )
    chosen = [offers[k] for k in near] or [offers[best]]
    block = model.equations()[number][1]
    if part is design and len(found[best][0].weights) == block.stop - block.start:
        return chosen, found[best][0]
    model.measure(design.x, [offers[best]] * count)
    return chosen, _solved(model, number, design, design.weight)[0]


def _solved(
    model: Series,
    number: int,
    design: Design,
    weight: Tensor,
    least: float = 0.0,
    most: int | None = None,
) -> tuple[Regression, float]:
    """One equation at the present scale, and its error on folds where there is no noise.

    With at most so many of the cosines it tells scales apart, at a fraction of the cost.
    """
    penalised = model.penalised()[model.equations()[number][1]]
    rows = _rows(model, number, design, weight)
    if most is not None and len(penalised) > most:
        held = (penalised > 0).nonzero()[:, 0]
        taken = held[:: -(-len(held) // most)]
        taken = torch.cat([(penalised == 0).nonzero()[:, 0], taken])
        rows = rows[..., torch.cat([taken, taken.new_tensor([len(penalised)])])]
        penalised = penalised[taken]
    found = regress(rows.flatten(0, 1), penalised, least)
    if not found.clean or len(penalised) > EXACT:
        return found, math.inf
    return cross_validated(design.by_fold(rows), penalised, least)


def _rows(model: Series, number: int, design: Design, weight: Tensor) -> Tensor:
    """(A, y) of one equation, ``[samples, its columns, K + 1]``."""
    own = model.equations()[number][0]
    joined = torch.cat([model.columns(design.x, number), design.slope[:, own, None]], dim=-1)
    return joined.mul_(weight[:, own, None])


def _load(model: Series, solved: Sequence[Regression]) -> None:
    for (_, block), one in zip(model.equations(), solved, strict=True):
        model.coefficients[block] = one.weights


def _misfit(model: Series, design: Design, weight: Tensor) -> Tensor:
    """Root mean square of the weighted residual of each column, never quite zero."""
    residual = (design.slope - model.rates()(design.x)) * weight
    size = float((design.slope * weight).square().mean().sqrt()) or 1.0
    return residual.square().mean(0).sqrt().clamp_min(1e-9 * size)


def _left_out(
    model: Series, design: Design, weight: Tensor, solved: Sequence[Regression]
) -> tuple[Tensor, list[Tensor]]:
    """Residuals of trajectories left out, with the ridges chosen on all of them."""
    residual, count = torch.zeros_like(design.slope), int(design.fold.max()) + 1
    folds = [torch.zeros_like(model.coefficients) for _ in range(count)]
    for number, (columns, block) in enumerate(model.equations()):
        blocks = design.by_fold(_rows(model, number, design, weight))
        for k, weights in enumerate(without_each(blocks, solved[number])):
            left = design.fold == k
            folds[k][block] = weights
            missed = blocks[k][:, -1] - blocks[k][:, :-1] @ weights
            own = weight[left, columns]
            residual[left, columns] = missed.reshape(own.shape) / own
    return residual, folds


def _scores(model: Series, design: Design, residual: Tensor) -> tuple[float, float, float, float]:
    """Relative error, its standard error, what of it noise does not explain, and noise's share.

    Noise σ on the states moves the slopes by ∂f/∂x σ; the regression also shrinks towards zero by
    the reliability 1 − σ²/var(x) of what it regresses on (Fuller 1987, eq. 1.1.10).
    """
    sure = design.weight.square() / design.weight.square().mean(0)  # the ends of a path are not
    size = (sure * design.slope.square()).mean(0)
    size = torch.where(size > 0, size, torch.ones_like(size))
    variance = design.state.square()
    spread = design.x.var(0, correction=0)
    reliable = (1 - variance.mean(0) / torch.where(spread > 0, spread, 1.0)).clamp(0.1, 1.0)
    moved = (model.tangent(design.x).square() @ (variance / reliable)[..., None])[..., 0]
    # noise that moves slopes by more than all they are is the model's own making
    floor = (sure * (moved + design.error.square()) / size).mean(1).clamp_max(1.0)
    each = (sure * residual.square() / size).mean(1)
    count = int(design.fold.max()) + 1
    means = torch.stack([each[design.fold == k].mean() for k in range(count)])
    beyond = torch.stack([(each - floor)[design.fold == k].mean() for k in range(count)])
    error = float(means.std() / math.sqrt(count)) if count > 1 else float(means[0])
    doubt = float(beyond.std() / math.sqrt(count)) if count > 1 else 0.0
    cross = math.sqrt(float(each.mean()))
    # without noise there is nothing to be in doubt of: an error is an error
    doubt = min(doubt, float(floor.mean()) / 2)
    excess = math.sqrt(max(0.0, float(beyond.mean()) - 2 * doubt))
    share = float(floor.mean()) / max(float(each.mean()), 1e-300)
    return cross, error / (2 * max(cross, 1e-300)), excess, share
