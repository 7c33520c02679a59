"""Will a rollout leave that stays for as long as anybody watches?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

import simlearn
from simlearn import ConfigError, Curve, Evidence, Finding, Line, Metric, Simulator, Trajectory
from simlearn_checks import remedies
from simlearn_checks.batch import models, steps_of
from simlearn_checks.common import line, positive, since
from simlearn_checks.divergence import box_around
from simlearn_checks.hops import ASIDE, LOST, Hops, hops, pushed
from simlearn_checks.starts import evenly, starts

SMALLEST = 0.01  # size that is drawn
UNPUSHED = 4  # held-out states to each that is pushed
MEANING = (
    "what grows slowly stays near the data for as long as a test watches, and leaves in the long "
    "run that the simulator is for. Nobody has to wait: rollouts that begin further out show what "
    "is to come. Passing says that from everywhere near the data they come back, or stay; it does "
    "not say that they are right there."
)


class Escape(simlearn.Check):
    """Rollouts foretold over many horizons stay near the data.

    A state that is s large may be R(s) large half a horizon later, where R(s) is the largest end
    of all rollouts that were at most s large when half of the horizon was over. R over R over R ...
    from where rollouts of the data end foretells what no rollout of one horizon shows: a slow
    growth that ends outside, or one that comes to rest. So that R is known where no data are,
    rollouts begin on held-out states, beside them (pushed in a random direction by 0.01 to 4 half
    ranges of the data) and further out (1.05 to 6 times as far from the middle), all as one batch
    of one horizon. What is still smaller than the data hides from R: so errors of 0.01 are foretold
    as well, by the factor at which three in four of those pushed as far part from rollouts that
    were not. Sizes and errors count the largest component, in half ranges of its column in the
    held-out data.

    Growth that is slower than the pushes are apart (1.5-fold in half a horizon is always seen) may
    come to rest between two of them, and pass.

    Nothing is asked of the law: a simulator that stays may still be wrong. The limit was fixed by
    50 simulators whose fate is known (``benchmarks/gate.py``).

    Args:
        horizon: Steps of the rollouts.
        horizons: How many horizons ahead are foretold.
        limit: Largest allowed size, and error, then. 10 is ten times the box of the data; by a
            smaller one a leak is noticed that is on its way.
        starts: Held-out states that are pushed; three times as many others are not.
    """

    def __init__(self, horizon: int = 500, horizons: int = 10, limit: float = 4.0, starts: int = 8):
        positive(horizon=horizon, horizons=horizons, starts=starts)
        if not limit > 1:
            raise ConfigError(
                f"Escape needs a limit above 1, which is the size of the data; got {limit}."
            )
        self.horizon, self.horizons, self.limit = horizon, horizons, limit
        self.starts = starts

    @classmethod
    def examples(cls) -> list[Escape]:
        """Forty steps from two starts."""
        return [cls(horizon=40, starts=2)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out from everywhere once, and put the ends before the starts."""
        box = box_around(evidence, 1.0)
        states, note = self._starts(simulator, evidence)
        begins = pushed(states, UNPUSHED, box, evidence.seed)
        found = {
            name: hops(model, begins, steps_of(model, simulator, self.horizon), box)
            for name, model in models(simulator, evidence).items()
        }
        sizes = {name: one.reach(self.horizons) for name, one in found.items()}
        errors = {name: one.errors(self.horizons) for name, one in found.items()}
        ahead = f"foretold after {self.horizons} horizons"
        metrics = [
            self._metric(f"size {ahead}", sizes, self._noise(found[""])),
            self._metric(f"error of {ASIDE[0]:g} {ahead}", errors, 0.0),
            Metric("size after one horizon", sizes[""][0]),
            Metric(
                "share of rollouts from everywhere that are lost",
                float(found[""].after.isinf().double().mean()),
            ),
        ]
        return Finding.of(
            metrics,
            self._words(sizes[""], errors[""]) + note,
            {
                "Size foretold": self._ahead(sizes, errors, simulator, evidence),
                "Half a horizon, from everywhere": _halves(found[""]),
            },
            remedies.ranked(
                [remedies.NOISE, remedies.PROJECTION, remedies.LONGER_ROLLOUTS],
                [remedies.WIDER_DATA],
            ),
            meaning=MEANING,
        )

    def _metric(self, name: str, courses: Mapping[str, list[float]], noise: float) -> Metric:
        beside = {who: course[-1] for who, course in courses.items() if who}
        return Metric(name, courses[""][-1], self.limit, noise=noise, beside=beside)

    def _noise(self, one: Hops) -> float:
        """How much depends on which rollouts there were: every second one, and the others."""
        ends = [one.some(slice(k, None, 2)).reach(self.horizons)[-1] for k in (0, 1)]
        apart = abs(ends[0] - ends[1])
        return apart if math.isfinite(apart) else 0.0

    def _starts(self, simulator: Simulator, evidence: Evidence) -> tuple[list[Trajectory], str]:
        """Held-out states; where control inputs act, stretches in which they last."""
        samples, note = 1, ""
        if evidence.start().inputs is not None:
            even = evenly(evidence, simulator.dt)
            samples = self.horizon * even.skip // even.steps + 1
            evidence, note = even.evidence, even.note
        return starts(evidence, UNPUSHED * self.starts, samples), note

    def _words(self, sizes: Sequence[float], errors: Sequence[float]) -> str:
        near = f"Near the data rollouts of {self.horizon} steps end at most {_far(sizes[0])}"
        ahead = f"after {self.horizons} such horizons they may be {_far(sizes[-1])}"
        small = f"and errors of {ASIDE[0]:g} may have grown to {errors[-1]:.3g}"
        allowed = f"({self.limit:g} are allowed)"
        return f"{near} from the middle of the data; {ahead}, {small} {allowed}."

    def _ahead(
        self,
        sizes: Mapping[str, list[float]],
        errors: Mapping[str, list[float]],
        simulator: Simulator,
        evidence: Evidence,
    ) -> Curve:
        gap, lines = self.horizon * simulator.dt, []
        for what, courses, first, step in (("size", sizes, 1.0, 0.5), ("error", errors, 0.0, 1.0)):
            for name, course in courses.items():
                t = gap * (first + step * torch.arange(len(course), dtype=torch.float64))
                lines.append(line(name, t, torch.tensor(course).clamp(max=LOST), what))
        ends = [0.0, gap * self.horizons]
        lines.append(Line(ends, [self.limit] * 2, "truth", label="limit"))
        return Curve(
            lines,
            since(evidence),
            "size or error / half range of the data",
            "Each half horizon begins where the worst rollout of the one before ended.",
            y_scale="log",
        )


def _far(size: float) -> str:
    return f"{size:.3g} half ranges" if size < LOST else "beyond all bounds"


def _halves(mine: Hops) -> Curve:
    """Every rollout as a point."""
    points = []
    for told, which in (("beside the data", mine.near), ("pushed", ~mine.near)):
        x = mine.before[which].clamp(SMALLEST, LOST).tolist()
        y = mine.after[which].clamp(SMALLEST, LOST).tolist()
        points.append(Line(x, y, group=told, error=[0.0] * len(x)))
    same = [max(SMALLEST, float(mine.before.min())), float(mine.before.max())]
    points.append(Line(same, same, "truth", label="unchanged"))
    return Curve(
        points,
        "size after half a horizon / half range of the data",
        "size in the end",
        "Rollouts above the dotted line grow, those below it come back.",
        x_scale="log",
        y_scale="log",
    )
