"""One level of the program: a ridge by rollouts, then Gauss-Newton through whole trajectories."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.training.network.abreast import errors_of
from simlearn.training.network.course import path, sensitivities
from simlearn.training.network.data import Data
from simlearn.training.network.noise import Observed
from simlearn.training.network.weak import Normal, along_data, along_own

RIDGES = 10.0 ** torch.arange(-12, -1, dtype=torch.float64)
AGAIN = 2  # times that the weak form is solved along own paths
ITERATIONS = 15
TRIES = 14  # of an iteration, each with ten times the damping, from hardly any to steepest descent
PROMISING = 0.03  # error of the weak form above which own paths do not help it
ENOUGH = 0.02  # part of the cost: a gain that is not worth another iteration
FREE = 3e-6  # of the states: an error that coefficients as large as the rates of the data cost
CLOSE = 1e-3  # error from which on a gain has to be larger
WORTH = 0.3  # part of the cost
CHANCE = 1.005  # times the least error on stamps kept aside: more is not by chance
EXACT = 2e-5  # root mean square error, of the size of the states, below which nothing is gained


def error_of(model: CoupledSeries, data: Sequence[Data], most: float = math.inf) -> float:
    """Of whole rollouts from the first states; infinite where one is lost, or above ``most``."""
    squares, size = 0.0, sum(one.size for one in data) or 1.0
    for one in data:
        x = path(model, one, most**2 * size - squares)
        if len(x) < len(one.t):
            return math.inf
        squares += replace(one, x=x - one.x).size
    return math.sqrt(squares / size)


def best_ridge(model: CoupledSeries, normal: Normal, data: Sequence[Data]) -> float:
    """Load the ridge whose rollouts stay closest to the data; their error.

    Large coefficients count as an error, as they do for `newton`.
    """
    kept = model.coefficients.detach().clone()
    price = _pull(data) / (sum(one.size for one in data) or 1.0)
    candidates = torch.stack(normal.path(RIDGES))
    errors = errors_of(model, candidates, data)
    whole = (errors.square() + (price * candidates.square()).sum((1, 2))).sqrt()
    chosen = int(whole.nan_to_num(math.inf).argmin())
    best = float(errors[chosen])
    model.coefficients.copy_(candidates[chosen] if math.isfinite(best) else kept)
    return best


def summed(parts: Sequence[Normal | None]) -> Normal | None:
    """One set of normal equations; None where one is missing."""
    found = [one for one in parts if one is not None]
    if len(found) < len(parts):
        return None
    return Normal(
        torch.stack([one.gram for one in found]).sum(0),
        torch.stack([one.right for one in found]).sum(0),
    )


def weak(model: CoupledSeries, data: Observed, stages: list[dict[str, float | str]]) -> float:
    """The weak form along the data, then along the model's own paths while that helps."""
    normal = summed([along_data(model, one) for one in data.smooth])
    assert normal is not None  # along the data, nothing is lost
    error = best_ridge(model, normal, data.judged)
    stages.append({"stage": "weak form", "error": error})
    for _ in range(AGAIN):
        if not EXACT < error < PROMISING:
            break
        own = summed([along_own(model, one) for one in data.smooth])
        if own is None:
            break
        kept, before = model.coefficients.detach().clone(), error
        error = best_ridge(model, own, data.judged)
        stages.append({"stage": "weak form, own paths", "error": error})
        if not error < 0.9 * before:
            if not error < before:
                model.coefficients.copy_(kept)
                error = before
            break
    return error


def newton(
    model: CoupledSeries,
    observed: Observed,
    stages: list[dict[str, float | str]],
    exact: float = EXACT,
) -> float:
    """Levenberg-Marquardt on trajectories or pieces of them, from the coefficients that are loaded.

    Coefficients about which the data say nothing are drawn to zero, so that on other graphs, too,
    they add nothing. Where stamps are kept aside for noise, those of the iteration that suits them
    best are loaded. It ends below an error of ``exact``.
    """
    data = observed.fitted
    apart, damping, missed = observed.noise > 0, 1e-9, math.inf
    least, chosen = math.inf, model.coefficients.detach().clone()
    for _ in range(ITERATIONS):
        if apart:
            aside = error_of(model, observed.judged)
            if not aside < CHANCE * least:
                break
            least, chosen = min(aside, least), model.coefficients.detach().clone()
        system = _system(model, data)
        if system is None:
            missed = min(missed, error_of(model, data))  # the path itself may be kept
            break
        damping, missed, gain = _iterated(model, data, system, damping)
        if not gain:
            break
        stages.append({"stage": "trajectories", "error": missed})
        if gain < (ENOUGH if missed > CLOSE else WORTH) or missed < exact:
            break
    return _chosen(model, observed, least, chosen) if apart else missed


def _iterated(
    model: CoupledSeries,
    data: Sequence[Data],
    system: tuple[Tensor, Tensor, float],
    damping: float,
) -> tuple[float, float, float]:
    """One iteration: the damping of the next, the error, the part of the cost gained, 0 if none."""
    gram, right, cost = system
    pull, size = _pull(data), sum(one.size for one in data) or 1.0
    kept = model.coefficients.detach().clone()
    before = cost + float((pull * kept.square()).sum())
    gram.diagonal().add_(pull.expand_as(kept).flatten())
    right -= (pull * kept).flatten()
    for _ in range(TRIES):
        model.coefficients.copy_(kept + _solved(gram, right, damping).reshape(kept.shape))
        missed = error_of(model, data, math.sqrt(before / size))
        cost = missed**2 * size + float((pull * model.coefficients.square()).sum())
        if cost < before:
            return damping / 10, missed, 1 - cost / before
        damping = max(10 * damping, 1e-9)
    model.coefficients.copy_(kept)
    return damping, error_of(model, data), 0.0


def _pull(data: Sequence[Data]) -> Tensor:
    """What the squares of coefficients cost, ``[dim]``.

    Functions are of order one, so that coefficients are rates; those as large as the root mean
    square of dx/dt in the data cost as much as an error of `FREE` of the states.
    """
    rates = torch.cat(
        [(one.x.diff(dim=0) / one.t.diff()[:, None, None]).flatten(0, 1) for one in data]
    )
    size = rates.square().mean(0).clamp_min(1e-12 * float(rates.square().max()))
    return FREE**2 * sum(one.size for one in data) / size.clamp_min(1e-300)


def _chosen(model: CoupledSeries, observed: Observed, least: float, chosen: Tensor) -> float:
    """Load what is best on the stamps kept aside: the last iteration, or an earlier one."""
    last = error_of(model, observed.judged)
    if last < CHANCE * least:
        return last
    model.coefficients.copy_(chosen)
    return least


def _system(model: CoupledSeries, data: Sequence[Data]) -> tuple[Tensor, Tensor, float] | None:
    count = model.coefficients.numel()
    gram, right = model.coefficients.new_zeros(count, count), model.coefficients.new_zeros(count)
    cost = 0.0
    for one in data:
        step = 0
        for step, (x, s) in enumerate(sensitivities(model, one), start=1):
            weight = one.at(step)
            if weight:
                missed = (one.x[step] - x).flatten()
                gram.addmm_(s.T, s, alpha=weight)
                right.addmv_(s.T, missed, alpha=weight)
                cost += weight * float(missed.square().sum())
        if step < len(one.t) - 1:
            return None
    return gram, right, cost


def _solved(gram: Tensor, right: Tensor, damping: float) -> Tensor:
    scale = gram.diagonal().clamp_min(1e-24 * float(gram.diagonal().max())).rsqrt()
    scaled = scale[:, None] * gram * scale
    scaled.diagonal().add_(damping + 1e-13)
    found: Tensor = scale * torch.linalg.solve(scaled, scale * right)
    return found
