"""Does a long rollout stay where physics puts it?"""

from __future__ import annotations

import math

import simlearn
from simlearn import Curve, Evidence, Finding, Metric, Place, Simulator, Trajectory
from simlearn_checks import causes, remedies
from simlearn_checks.common import kept_every, left_at, line, place, positive, since
from simlearn_checks.noise import between_halves
from simlearn_checks.times import refuse, steps_in

MEANING = (
    "outside the region of its data a simulator extrapolates, and nothing it says there is founded "
    "on anything. One that stays may still be wrong inside: ForecastError says how wrong."
)


class Bounded(simlearn.Check):
    """A rollout stays within a multiple of the largest component seen in the data.

    Args:
        horizon: Steps of the rollout, or periods of the data ("100 periods").
        factor: Allowed multiple of the largest absolute component of the data.
        starts: Held-out trajectories to start from, at most.
    """

    def __init__(self, horizon: int | str = 1000, factor: float = 5.0, starts: int = 1):
        positive(factor=factor, starts=starts)
        refuse(horizon)
        self.horizon, self.factor, self.starts = horizon, factor, starts

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out and look at the largest component."""
        horizon = steps_in(self.horizon, simulator, evidence)
        box, every = evidence.box(), kept_every(horizon)
        rolled = [
            evidence.rollouts(simulator, horizon, every, number, self.factor)
            for number in range(min(self.starts, max(1, len(evidence.held_out))))
        ]
        largest = {
            name: max(float(one[name].x.abs().max()) / box for one in rolled) for name in rolled[0]
        }
        mine = [one[""] for one in rolled]
        worst = max(range(len(mine)), key=lambda k: _badness(mine[k]))
        if mine[worst].status != "ok":
            largest[""] = math.inf
        reached = min(_share(one, horizon * simulator.dt) for one in mine)
        value = largest.pop("")
        noise = 0.0
        if math.isfinite(value):
            noise = between_halves(mine[worst].x.abs().flatten(1).amax(1)) / box
        metrics = [
            Metric("largest component over data", value, self.factor, noise=noise, beside=largest),
            Metric("share of the horizon reached", reached, 1.0, "min"),
        ]
        good = "stays near the data" if value <= self.factor else "leaves the region of the data"
        end = left_at(mine[worst], horizon)
        why, advice = self._why(simulator, evidence, worst, mine[worst], horizon, value)
        return Finding.of(
            metrics,
            f"Over {horizon} steps the rollout {good} ({end}).",
            {"Size of the state": self._curve(rolled[worst], evidence, worst, horizon)},
            remedies.ranked(
                advice,
                [remedies.NOISE, remedies.LONGER_ROLLOUTS],
                remedies.finer(simulator),
            ),
            meaning=MEANING,
            worst=_place(mine[worst], simulator.dt, worst),
            causes=why,
        )

    def _why(
        self,
        simulator: Simulator,
        evidence: Evidence,
        number: int,
        rolled: Trajectory,
        horizon: int,
        value: float,
    ) -> tuple[tuple[str, ...], list[str]]:
        if value <= self.factor:
            return (), []
        box = evidence.box()

        def size(one: Trajectory) -> float:
            return float(one.x.abs().max()) / box if one.status == "ok" else math.inf

        word = "the largest component over data"
        failed = causes.Failure(
            simulator, evidence, number, rolled, horizon, size, self.factor, word
        )
        return causes.told(failed.suspicions())

    def _curve(
        self, rolled: dict[str, Trajectory], evidence: Evidence, number: int, horizon: int
    ) -> Curve:
        box = evidence.box()
        lines = [
            line(name, one.t - one.t[0], one.x.abs().flatten(1).amax(1) / box)
            for name, one in rolled.items()
        ]
        ends = [
            f"{name or 'this simulator'}: {left_at(one, horizon)}" for name, one in rolled.items()
        ]
        told = "; ".join(ends) if len(ends) > 1 else left_at(rolled[""], horizon)
        label = "largest component / largest in the data"
        caption = f"From held-out trajectory {number}: {told}."
        return Curve(lines, since(evidence), label, caption)


def _badness(one: Trajectory) -> tuple[float, float]:
    """Rollouts that are lost first are worst, then those that go furthest."""
    lost = -float(one.t[-1] - one.t[0]) if one.status != "ok" else -math.inf
    return lost, float(one.x.abs().max())


def _place(one: Trajectory, dt: float, number: int) -> Place:
    """Where the largest component is, or was before the rollout was lost."""
    k = int(one.x.abs().flatten(1).amax(1).argmax()) if one.status == "ok" else one.steps - 1
    row, column = divmod(int(one.x[k].abs().argmax()), one.dim)
    if one.status != "ok" and one.first_bad_row >= 0:
        row, column = one.first_bad_row, int(one.x[k, one.first_bad_row].abs().argmax())
    return place(one, k, dt, number, row, column)


def _share(rolled: Trajectory, wanted: float) -> float:
    return 1.0 if rolled.status == "ok" else float(rolled.t[-1] - rolled.t[0]) / wanted
