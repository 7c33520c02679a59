"""The joint fit after a closed form: on which pieces, and at which scales."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from simlearn.dynamics.series import Series
from simlearn.training.ladder.closed import Closed, solve
from simlearn.training.ladder.design import Design
from simlearn.training.ladder.joint import Joint, Precisions
from simlearn.training.ladder.samples import Samples
from simlearn.training.ladder.smooth import Evened

ITERATIONS = 20
STATES = 6000  # samples that the joint fit takes at most
WINDOWS = (64, 24, 8, 3)  # intervals in a piece of a trajectory, in the joint fit
LARGEST = 1e30  # prior precision, where a closed form leaves no noise at all
SURE = 1.3  # the noise of the states is estimated from few of them, so it may be so much larger
CHEAP = 60  # directions up to which other scales are tried, too


def refined(
    model: Series, samples: Samples, data: Evened, design: Design, closed: Closed
) -> tuple[dict[str, Any], float, Closed]:
    """The joint fit at the scales that rollouts find likeliest.

    Slopes from smoothed states are too noisy to tell all scales apart; paths are not. So where only
    states are known, and the fit is cheap, each equation's close scales are tried in turn.

    Returns:
        What was done; how much more rollouts miss the data than noise does, relative to the spread
        of the states; and the closed form that it began with.
    """
    told, beyond, evidence = _refine(model, samples, data, closed)
    told["tried"] = 1
    if samples.slope is not None or told["directions"] > CHEAP:
        return told, beyond, closed
    best = told, beyond, evidence(), closed, model.coefficients.clone()
    tried = 1
    for number, offers in enumerate(closed.offers):
        for offer in offers[1:]:
            scales = list(best[3].scales)
            scales[number] = offer
            other = solve(model, design, scales=scales)
            told, beyond, evidence = _refine(model, samples, data, other)
            tried, likely = tried + 1, evidence()
            if likely > best[2]:
                best = told, beyond, likely, other, model.coefficients.clone()
    told, beyond, likely, closed, coefficients = best
    model.measure(design.x, closed.scales)
    model.coefficients.copy_(coefficients)
    return {**told, "tried": tried, "log_evidence": likely}, beyond, closed


def _refine(
    model: Series, samples: Samples, data: Evened, closed: Closed
) -> tuple[dict[str, Any], float, Callable[[], float]]:
    """The joint fit of coefficients and initial states, from the closed form on.

    Where the closed form loses the data on the way, pieces of trajectories come first, then longer
    ones.

    Returns:
        What was done; how much more rollouts miss the data than noise does, relative to the spread
        of the states; and what finds the log marginal likelihood, at the cost of an iteration.
    """
    basis, groups, prior = _directions(closed)
    spread = samples.x[samples.mask > 0].std(0)
    spread = torch.where(spread > 0, spread, spread.max().clamp_min(1e-100))
    noise = samples.noise.maximum(1e-6 * spread)
    known, gains = Precisions(noise, closed.slope, prior), []

    def fit_of(window: int) -> tuple[Joint, Tensor]:
        observed, starts = _taken(samples, data.samples, window)
        return Joint(model, observed, basis, groups), starts

    usable = next((w for w in WINDOWS if not Joint.lost(*fit_of(w), known)), WINDOWS[-1])
    fit, ends, longest = None, None, 0
    for window in WINDOWS[WINDOWS.index(usable) :: -1]:
        next_fit, starts = fit_of(window)
        if next_fit.lost(starts, known):
            break
        fit, longest = next_fit, window
        ends, known = fit.run(starts, known, ITERATIONS)
        gains += [one["gained"] for one in fit.history]
    beyond = (known.state.square() - (SURE * noise).square()).clamp_min(0).sqrt() / spread
    if fit is None or not math.isfinite(fit.cost):  # every piece was lost: nothing was fitted
        beyond = torch.full_like(beyond, torch.inf)
    told = {
        "iterations": len(gains),
        "gains": gains,
        "longest_piece": longest,
        "directions": basis.shape[1],
        "scales": [str(scale) for scale in closed.scales],
        "runge_kutta_steps": 0 if fit is None else fit.parts,
        "trajectories": 0 if fit is None else len(fit.samples.x),
        "state_noise": known.state.tolist(),
        "slope_noise": known.slope.tolist() if samples.slope is not None else None,
        "beyond_noise": float(beyond.max()),
    }

    def evidence() -> float:
        return -math.inf if fit is None or ends is None else fit.evidence(ends, known)

    return told, float(beyond.max()), evidence


def _taken(samples: Samples, smooth: Samples, intervals: int) -> tuple[Samples, Tensor]:
    """Trajectories for the joint fit, and where they start."""
    if smooth.shape[1] != samples.shape[1]:
        smooth = samples
    n, steps, _ = samples.shape
    most = max(1, STATES // steps)
    kept = torch.arange(n) if n <= most else torch.linspace(0, n - 1, most).round().long()
    pieces = samples.take(kept).cut(intervals)
    return pieces, smooth.take(kept).cut(intervals).x[:, 0].clone()


def _directions(closed: Closed) -> tuple[Tensor, Tensor, Tensor]:
    """Basis, group and prior precision of the directions that the data see."""
    bases, groups, priors = [], [], []
    for number, one in enumerate(closed.regressions):
        held = torch.arange(one.basis.shape[1]) >= one.free
        bases.append(one.basis)
        groups.append(torch.where(held, number, -1))
        priors.append(held.double() * min(one.ridge / max(one.noise, 1e-200), LARGEST))
    return torch.block_diag(*bases), torch.cat(groups), torch.cat(priors)
