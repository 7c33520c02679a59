"""From the smallest basis to the largest, as far as the training data ask."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Aggregation
from simlearn.training.network.course import Data, path
from simlearn.training.network.fit import EXACT, error_of, newton, weak

SIZES = ((4, 0), (10, 5), (12, 8))  # splines of a node and of a pair
HORIZONS = 2  # factor by which a horizon that starts at two stamps grows
HOPELESS = 0.3  # error on the first stamps above which nothing of the kind moves the data
SMALLER = 0.9  # of the error of a smaller basis that a larger one has to reach


@dataclass
class Level:
    """One size of the basis: its model, and what each stage reached.

    Attributes:
        model: With the best coefficients.
        error: Root mean square error of whole rollouts over that of the states.
        record: For the report.
    """

    model: CoupledSeries
    error: float
    record: dict[str, Any]


@torch.no_grad()
def climbed(
    data: Sequence[Data], aggregation: Aggregation = "sum", weight: int | None = None
) -> tuple[Level | None, list[dict[str, Any]]]:
    """The best level on the training data, and the record of all of them.

    The weak form is solved at every size, up to the first that is exact. Trajectories are then
    fitted at the size whose rollouts stay closest, at larger ones as long as the error falls, and
    at smaller ones where none of these lasts twice the time of the data. A size whose weak form
    loses every rollout starts from zero, which cannot blow up, with a growing horizon.
    """
    levels: list[Level] = []
    for sizes in SIZES:
        levels.append(_started(data, sizes, aggregation, weight))
        if levels[-1].error < EXACT:
            break
    first = min(range(len(levels)), key=lambda k: levels[k].error)
    best: Level | None = None
    for level in [*levels[first:], *levels[:first][::-1]]:
        larger = best is None or len(level.model.coefficients) > len(best.model.coefficients)
        if best is not None and (best.error < EXACT or not larger):
            break
        if not level.error < EXACT:
            _fitted(level, data)
        if best is not None and not level.error < SMALLER * best.error:
            continue
        if lasts(level.model, data):
            best = level
        else:
            level.record["lost"] = "rollouts over twice the time of the data are lost"
    return best, [level.record for level in levels]


def lasts(model: CoupledSeries, data: Sequence[Data]) -> bool:
    """Whether rollouts over twice the time of the data stay near their states."""
    for one in data:
        t = torch.cat([one.t, one.t[1:] + (one.t[-1] - one.t[0])])
        x = torch.cat([one.x, one.x[-1:].expand(len(one.t) - 1, -1, -1)])
        if len(path(model, Data(t, x, one.topology))) < len(t):
            return False
    return True


def _started(
    data: Sequence[Data], sizes: tuple[int, int], aggregation: Aggregation, weight: int | None
) -> Level:
    began = time.process_time()
    model = CoupledSeries(data[0].x.shape[-1], *sizes, aggregation, weight)
    model.requires_grad_(False)
    model.measure(torch.cat([one.x.flatten(0, 1) for one in data]))
    stages: list[dict[str, Any]] = []
    error = weak(model, data, stages)
    record = {
        "rung": f"{model.coefficients.shape[0]} functions",
        "coefficients": model.coefficients.numel(),
        "stages": stages,
        "error": error,
        "seconds": time.process_time() - began,
    }
    return Level(model, error, record)


def _fitted(level: Level, data: Sequence[Data]) -> None:
    """Through whole trajectories, or what of them can be followed at first."""
    began, stages = time.process_time(), level.record["stages"]
    if not math.isfinite(level.error):
        level.model.coefficients.zero_()
        grow(level, data)
    if math.isfinite(level.error):
        level.error = newton(level.model, data, stages)
    level.record["error"] = level.error
    level.record["seconds"] += time.process_time() - began


def grow(level: Level, data: Sequence[Data]) -> None:
    """From zero coefficients, on the first stamps, then on more and more of them.

    The level stays lost where not even the first stamps can be followed.
    """
    steps, most = 2, max(len(one.t) for one in data)
    while steps < most:
        some = [one.until(min(steps, len(one.t))) for one in data]
        reached = newton(level.model, some, [])
        level.record["stages"].append({"stage": f"first {steps} stamps", "error": reached})
        if not reached < HOPELESS:
            return
        steps = HORIZONS * steps
    level.error = error_of(level.model, data)
