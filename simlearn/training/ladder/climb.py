"""The ladder: from the most structured energy to the most general, as far as the data ask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch

from simlearn.dynamics.inertia import MechanicalSeries
from simlearn.dynamics.separable import SeparableSeries
from simlearn.dynamics.series import GenericSeries, Series
from simlearn.training.ladder.closed import Closed, solve
from simlearn.training.ladder.design import Design
from simlearn.training.ladder.guard import blown
from simlearn.training.ladder.refine import refined
from simlearn.training.ladder.samples import Samples
from simlearn.training.ladder.smooth import evened

ADEQUATE = 0.01  # relative error beyond noise below which no higher rung is tried
WORST = 0.05  # relative error beyond noise above which no series will do
RAISES = 4  # decades that the guard raises the ridge by at most

Rung = Callable[[int, int], Series]


def rungs(dim: int, seed: int) -> list[tuple[str, Rung]]:
    """Names and makers, the most structured first; the number of samples limits the features."""
    half = dim // 2

    def separable(samples: int, seed: int) -> Series:
        return SeparableSeries(dim, 48 if half == 1 else min(1000, 75 * half * half), seed)

    def mechanical(samples: int, seed: int) -> Series:
        entries = half * (half + 1) // 2
        return MechanicalSeries(dim, 60 if half == 1 else min(50 * half, 1200 // entries), seed)

    def generic(samples: int, seed: int) -> Series:
        return GenericSeries(dim, min(2000, 150 * dim, 4 * samples), seed)

    return [("separable", separable), ("mechanical", mechanical), ("generic", generic)]


@dataclass(frozen=True)
class Climbed:
    """What the ladder found.

    Attributes:
        model: The chosen series, its coefficients loaded; None where none will do.
        record: Stages, scores and choice, in plain JSON types.
    """

    model: Series | None
    record: dict[str, Any]


@torch.no_grad()
def climb(samples: Samples, joint: bool = True, seed: int = 0, worst: float = WORST) -> Climbed:
    """Fit, judge and choose; raise the ridge, a decade at a time, while rollouts blow up.

    Args:
        samples: The training data.
        joint: Whether coefficients and initial states are fitted together afterwards.
        seed: Seed of the random features.
        worst: Relative error beyond noise above which a rung will not do.
    """
    began = time.process_time()
    data = evened(samples)
    design = Design.of(data)
    tried, told = _tried(rungs(samples.shape[2], seed), design, seed)
    chosen: Any
    name, chosen, closed = _chosen(tried)
    record: dict[str, Any] = {
        "samples": len(design.x),
        "states": data.how,
        "noise": samples.noise.tolist(),
        "rungs": told,
        "choice": name,
        "closed_form_seconds": time.process_time() - began,
    }
    noisy = joint and _noisy(samples, closed)
    if not noisy and closed.excess > worst:
        return Climbed(None, _network(record, closed.excess, worst))
    even = data.samples if data.samples.shape == samples.shape else samples
    start = time.process_time()

    def attempt(closed: Closed) -> Attempt:
        joint: dict[str, Any] = {"beyond_noise": 0.0}
        if noisy:
            joint, _, closed = refined(chosen, samples, data, design, closed)
        lost = math.inf if joint["beyond_noise"] > worst else blown(chosen, even, closed)
        state = {name: value.clone() for name, value in chosen.state_dict().items()}
        return Attempt(closed, joint, lost, state)

    def raised(closed: Closed) -> Attempt:
        least = [10 ** (decades + 1) for decades in _decades(closed)]
        return attempt(solve(chosen, design, closed.scales, least, closed.weight))

    first = attempt(closed)
    if first.lost == math.inf:
        return Climbed(None, _network(record, first.joint["beyond_noise"], worst))
    found, record["guard"] = _guarded(first, raised)
    chosen.load_state_dict(found.state)
    if noisy:
        record["joint"] = found.joint
    record |= {"blown_up": found.lost, "joint_seconds": time.process_time() - start}
    return Climbed(chosen, record)


Tried = list[tuple[str, Series, Closed]]


def _tried(
    offers: Sequence[tuple[str, Rung]], design: Design, seed: int
) -> tuple[Tried, list[dict[str, Any]]]:
    """Every rung up to the first that leaves nothing but noise, and what each did."""
    tried, told = [], []
    for name, make in offers:
        start = time.process_time()
        model: Any = make(len(design.x), seed)
        model = model.double().requires_grad_(False)
        closed = solve(model, design)
        tried.append((name, model, closed))
        told.append(_told(name, model, closed, design, time.process_time() - start))
        if closed.excess <= ADEQUATE:
            break
    return tried, told


@dataclass(frozen=True)
class Attempt:
    """A fit at one ridge: what rollouts make of it, and the state of the model."""

    closed: Closed
    joint: dict[str, Any]
    lost: float
    state: dict[str, Any]


def _guarded(
    first: Attempt, raised: Callable[[Closed], Attempt]
) -> tuple[Attempt, list[dict[str, Any]]]:
    """Raise the ridge, a decade at a time, as long as fewer rollouts blow up.

    Where that does not cure them all, the ridge is not to blame, and the first fit stays.
    """
    tried, before = [first], math.inf
    while 0 < tried[-1].lost < before and len(tried) <= RAISES:
        before = tried[-1].lost
        tried.append(raised(tried[-1].closed))
    told = [
        {"blown_up": one.lost, "ridge_decades": _decades(higher.closed)}
        for one, higher in pairwise(tried)
    ]
    return tried[-1] if not tried[-1].lost else first, told


def _decades(closed: Closed) -> list[float]:
    return [one.decades for one in closed.regressions]


def _network(record: dict[str, Any], beyond: float, worst: float) -> dict[str, Any]:
    best = f"{record['choice']}, the best of {len(record['rungs'])} rungs,"
    why = f"{best} leaves {beyond:.1%} of what moves unexplained by noise, more than {worst:.1%}"
    if beyond == float("inf"):
        why = f"{best} loses the observed paths within a few steps"
    return {**record, "choice": "network", "why": why}


def _chosen(tried: Sequence[tuple[str, Series, Closed]]) -> tuple[str, Series, Closed]:
    """The smallest cross-validated error; a simpler rung within one standard error of it wins."""
    best = min(tried, key=lambda one: one[2].cross)
    limit = best[2].cross + best[2].error
    return next(one for one in tried if one[2].cross <= limit)


def _told(
    name: str, model: Series, closed: Closed, design: Design, seconds: float
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "rung": name,
        "coefficients": len(model.coefficients),
        "scales": [str(scale) for scale in closed.scales],
        "ridge_decades": _decades(closed),
        "cross_validated_error": closed.cross,
        "standard_error": closed.error,
        "beyond_noise": closed.excess,
        "seconds": seconds,
    }
    if len(model.coefficients) > design.x.numel():
        told["note"] = (
            f"{len(model.coefficients)} coefficients for {design.x.numel()} slopes: the ridge "
            "decides between fits that the data cannot tell apart"
        )
    return told


def _noisy(samples: Samples, closed: Closed) -> bool:
    """Whether rollouts can say more than slopes do; not where nothing moves."""
    if not any(one.basis.shape[1] for one in closed.regressions):
        return False
    return samples.slope is None or closed.noise > 0.1
