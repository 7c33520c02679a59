"""From the smallest basis to the largest, as far as the training data ask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Aggregation
from simlearn.training.network.course import path
from simlearn.training.network.data import Data
from simlearn.training.network.fit import EXACT, newton, weak
from simlearn.training.network.noise import Observed
from simlearn.training.network.shooting import in_pieces

SIZES = ((4, 0), (10, 5), (12, 8))  # splines of a node and of a pair
GOOD = 1e-3  # error from which on a weak form is fitted at once, and no larger size is tried
ALLOWED = 1.1  # times the noise: as close as data kept aside can be followed
PLAUSIBLE = 3.0  # times the noise: a weak form from which on trajectories are fitted at once, whole
POOR = 0.012  # error of a weak form from which pieces are fitted first; more where data are noisy
VAGUE = 0.03  # error of the best weak form above which the others are as good a guide
ALIKE = 4.0  # times the least error of weak forms that are all so vague
SMALLER = 0.9  # of the error of a smaller basis that a larger one has to reach


@dataclass(frozen=True)
class Kind:
    """What is given about the law; see `CoupledSeries`.

    Attributes:
        aggregation: What divides the weight of an edge.
        weight: Column of ``edge_attr``.
        angles: Columns of the state that are angles.
        node: Columns of ``node_attr`` that are parameters of the law.
    """

    aggregation: Aggregation = "sum"
    weight: int | None = None
    angles: Sequence[int] = ()
    node: Sequence[int] = ()

    def model(self, data: Sequence[Data], own: int, pair: int) -> CoupledSeries:
        """Without coefficients yet, of the range of the data."""
        dim = data[0].x.shape[-1]
        made = CoupledSeries(dim, own, pair, self.aggregation, self.weight, self.angles, self.node)
        known = [one.topology.node_attr for one in data if one.topology.node_attr is not None]
        made.measure(
            torch.cat([one.x.flatten(0, 1) for one in data]), torch.cat(known) if known else None
        )
        return made.requires_grad_(False)


@dataclass
class Level:
    """One size of the basis: its model, and what each stage reached.

    Attributes:
        model: With the best coefficients.
        error: Root mean square error of whole rollouts over that of the states.
        record: For the report.
        fitted: Whether trajectories were.
    """

    model: CoupledSeries
    error: float
    record: dict[str, Any]
    fitted: bool = False

    @property
    def line(self) -> str:
        """Where it stands, in words."""
        far = f"{self.error:.2g} off" if math.isfinite(self.error) else "rollouts are lost"
        return f"{self.record['rung']}: {far}, {self.record['seconds']:.0f} CPU-s"


@torch.no_grad()
@np.errstate(all="ignore")  # what overflows is a lost rollout
def climbed(
    data: Sequence[Data], kind: Kind = Kind(), told: Callable[[str], None] = lambda line: None
) -> tuple[Level | None, list[dict[str, Any]]]:
    """The best level on the training data, and the record of all of them.

    The weak form is solved at every size; trajectories are fitted where it is good already, and the
    first size that is then good enough, or as good as the noise allows, is taken. Where none is,
    trajectories are fitted at the size whose rollouts stay closest, at larger ones as long as the
    error falls, and at smaller ones where none of these lasts twice the time of the data. A size
    whose weak form is poor, or loses every rollout, is fitted to pieces of the trajectories first.
    ``told`` hears a line of each.
    """
    observed = Observed.of(data)
    enough, good = max(GOOD, ALLOWED * observed.noise), max(GOOD, PLAUSIBLE * observed.noise)
    levels: list[Level] = []
    for sizes in SIZES:
        levels.append(_started(observed, sizes, kind))
        told(f"weak form of {levels[-1].line}")
        if levels[-1].error < good:
            _fitted(levels[-1], observed)
        if levels[-1].error < enough and lasts(levels[-1].model, data):
            break
    first = _first([level.error for level in levels])
    best: Level | None = None
    for level in [*levels[first:], *levels[:first][::-1]]:
        larger = best is None or len(level.model.coefficients) > len(best.model.coefficients)
        if best is not None and (best.error < enough or not larger):
            break
        if not level.fitted:
            told(f"trajectories by {level.record['rung']} ...")
            _fitted(level, observed)
            told(f"trajectories by {level.line}")
        if best is not None and not level.error < SMALLER * best.error:
            continue
        if lasts(level.model, data):
            best = level
        else:
            level.record["lost"] = "rollouts over twice the time of the data are lost"
    return best, [level.record for level in levels]


def _first(errors: Sequence[float]) -> int:
    """The size whose trajectories are fitted first: that of the best weak form.

    The best of vague ones says little; of these it is the smallest that is not much worse and has
    splines between pairs.
    """
    least = min(errors)
    if not least > VAGUE:
        return errors.index(least)
    alike = [k for k, error in enumerate(errors) if error <= ALIKE * least]
    return next((k for k in alike if k), alike[0])


def lasts(model: CoupledSeries, data: Sequence[Data]) -> bool:
    """Whether rollouts over twice the time of the data stay near their states."""
    for one in data:
        t = torch.cat([one.t, one.t[1:] + (one.t[-1] - one.t[0])])
        x = torch.cat([one.x, one.x[-1:].expand(len(one.t) - 1, -1, -1)])
        if len(path(model, Data(t, x, one.topology))) < len(t):
            return False
    return True


def _started(data: Observed, sizes: tuple[int, int], kind: Kind) -> Level:
    began = time.process_time()
    model = kind.model(data.smooth, *sizes)
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


def _fitted(level: Level, data: Observed) -> None:
    """Through whole trajectories, in pieces first where the weak form is poor."""
    began, stages, level.fitted = time.process_time(), level.record["stages"], True
    if not level.error < max(POOR, PLAUSIBLE * data.noise):
        weak_form, before = level.model.coefficients.clone(), level.error
        level.error = in_pieces(level.model, data, stages)
        if not level.error < before:
            level.model.coefficients.copy_(weak_form)
            level.error = before
    if EXACT < level.error < math.inf:
        level.error = newton(level.model, data, stages)
    level.record["error"] = level.error
    level.record["seconds"] += time.process_time() - began
