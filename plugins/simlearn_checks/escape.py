"""Will a rollout leave that stays for as long as anybody watches?"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

import torch

import simlearn
from simlearn import (
    ConfigError,
    Curve,
    DataError,
    Evidence,
    Finding,
    Line,
    Metric,
    Place,
    Simulator,
    Trajectory,
)
from simlearn_checks import remedies
from simlearn_checks.batch import models, steps_of
from simlearn_checks.common import line, positive, since
from simlearn_checks.divergence import box_around
from simlearn_checks.starts import Begin, begins, evenly, placed, starts
from simlearn_checks.stitched import LOST, Told, foretold, pushed
from simlearn_checks.tangent import setting, true_simulator

LIMIT = 15.0  # fixed by benchmarks/gate.py; configs/gate/default.yaml takes it from here
SHORTEST = 20  # steps of a horizon
SMALLEST = 0.01  # size that is drawn
ANCHORS = 4  # states that say how fine a step the law needs
MEANING = (
    "what grows slowly stays near the data for as long as a test watches, and leaves in the long "
    "run that the simulator is for. Passing says that rollouts from the data, continued by those "
    "that began where they ended, stay; it does not say that they are right there. It is a "
    "forecast: benchmarks/gate.py counts how often it is wrong."
)


class Escape(simlearn.Check):
    """Rollouts foretold over many horizons stay near the data.

    Nobody has to wait for a long rollout: where one of a single horizon ends, another one begins,
    and says how it goes on. So rollouts begin on held-out states, beside them (pushed in a random
    direction by 0.01 to 4 half ranges of the data) and further out (1.05 to 6 times as far from the
    middle), all as one batch. What began on the data is continued half a horizon at a time by the
    second half, the middle or the first half of whichever rollout was nearest, until all horizons
    are over. Beyond the data it is scaled by the ratio of their distances from the middle, so that
    growth goes on where no rollout began so far out. Judged is the largest size that is met. A size
    is the largest component, in half ranges of its column in the held-out data: 1 is their edge.

    Near is measured in widths of the data along their principal directions; a direction in which
    they are narrow counts as 0.3 times the widest. Growth of what is much smaller than the distance
    between rollouts is not seen: the widest jump from one to the next is told. Systems with as
    many rows continue one another, whatever their graphs and inputs are.

    Where the true law is known and leaves the data by itself, the limit counts as so many times
    the size that the law reaches.

    The limit was fixed by 50 simulators whose fate is known (``benchmarks/gate.py``).

    Args:
        horizon: Steps of the rollouts, at least 20.
        horizons: How many horizons ahead are foretold.
        limit: Largest allowed size then. It is above 10, ten times the box of the data, since far
            out growth is overestimated: it is taken to go on in proportion.
        starts: Held-out states from which rollouts begin; more begin beside a tenth of them, and
            further out from a twentieth.
    """

    def __init__(
        self, horizon: int = 500, horizons: int = 10, limit: float = LIMIT, starts: int = 320
    ):
        positive(horizon=horizon, horizons=horizons, starts=starts)
        if horizon < SHORTEST:
            raise ConfigError(
                f"Escape needs a horizon of at least {SHORTEST} steps to see what grows; got "
                f"{horizon}."
            )
        if not limit > 1:
            raise ConfigError(
                f"Escape needs a limit above 1, which is the size of the data; got {limit}."
            )
        self.horizon, self.horizons, self.limit = horizon, horizons, limit
        self.starts = starts

    @classmethod
    def examples(cls) -> list[Escape]:
        """Forty steps from twenty starts."""
        return [cls(horizon=40, starts=20)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out from everywhere once, and go on from end to beginning."""
        where, states, note = self._starts(simulator, evidence)
        found = {
            name: self._told(model, simulator, evidence, states)
            for name, model in models(simulator, evidence).items()
        }
        mine, limit = found[""], self.limit
        if mine.size > limit and (law := self._law(simulator, evidence)) is not None:
            true = self._told(law, simulator, evidence, states)
            limit = min(LOST, limit * max(1.0, true.size))
            note += self._beside(true.size)
            found["true law"] = true
        return Finding.of(
            self._metrics(found, limit),
            self._words(mine, limit) + note,
            {
                "Size foretold": self._ahead(found, limit, simulator, evidence),
                "One horizon, from everywhere": _everywhere(mine),
            },
            remedies.ranked(
                [remedies.NOISE, remedies.PROJECTION, remedies.LONGER_ROLLOUTS],
                [remedies.WIDER_DATA],
            ),
            meaning=MEANING,
            worst=self._worst(mine, where, simulator, evidence),
        )

    def _metrics(self, found: Mapping[str, Told], limit: float) -> list[Metric]:
        mine = found[""]
        beside = {name: told.size for name, told in found.items() if name}
        return [
            Metric(
                f"size foretold after {self.horizons} horizons",
                mine.size,
                limit,
                noise=abs(mine.halves[0] - mine.halves[1]),
                beside=beside,
            ),
            Metric("size after one horizon", float(mine.sizes[0].max())),
            Metric(
                "share of rollouts foretold beyond the limit",
                float((mine.sizes[-1] > limit).double().mean()),
            ),
            Metric("widest jump from one rollout to the next, in widths of the data", mine.jump),
        ]

    def _told(
        self, model: Simulator, judged: Simulator, evidence: Evidence, states: list[Trajectory]
    ) -> Told:
        box = box_around(evidence, 1.0)
        everywhere = pushed(states, self.starts, box, evidence.seed)
        steps, hops = steps_of(model, judged, self.horizon), 2 * (self.horizons - 1)
        return foretold(model, everywhere, evidence.held_out, box, steps, hops)

    def _law(self, simulator: Simulator, evidence: Evidence) -> Simulator | None:
        """The law that drew the data, where it is known and can be followed."""
        if evidence.truth is None:
            return None
        with suppress(DataError):
            return true_simulator(simulator, evidence, setting(evidence, ANCHORS))
        return None

    def _starts(
        self, simulator: Simulator, evidence: Evidence
    ) -> tuple[list[Begin], list[Trajectory], str]:
        """Held-out states; where control inputs act, stretches in which they last."""
        samples, note, numbers = 1, "", tuple(range(len(evidence.held_out)))
        if evidence.start().inputs is not None:
            even = evenly(evidence, simulator.dt)
            samples = self.horizon * even.skip // even.steps + 1
            evidence, note, numbers = even.evidence, even.note, even.numbers
        where = begins(evidence, self.starts, samples)
        where = [replace(one, trajectory=numbers[one.trajectory]) for one in where]
        return where, starts(evidence, self.starts, samples), note

    def _words(self, mine: Told, limit: float) -> str:
        near = f"From the data rollouts of {self.horizon} steps get {_far(mine.sizes[0].max())}"
        ahead = f"after {self.horizons} such horizons they may have been {_far(mine.size)}"
        return f"{near} from the middle of the data; {ahead} ({limit:.3g} are allowed)."

    def _beside(self, size: float) -> str:
        told = f" Foretold in the same way, the true law gets {_far(size)} from there"
        if self.limit * size < LOST:
            return f"{told}, and the limit is {self.limit:g} times that."
        return f"{told}: it leaves by itself, and no simulator is failed for it."

    def _worst(
        self, mine: Told, where: list[Begin], simulator: Simulator, evidence: Evidence
    ) -> Place:
        """Where the rollout begins that gets furthest, and the step at which it is lost."""
        k = int(mine.sizes[-1].argmax())
        return placed(evidence, where[k], int(mine.lost[k]), simulator.dt)

    def _ahead(
        self, found: Mapping[str, Told], limit: float, simulator: Simulator, evidence: Evidence
    ) -> Curve:
        gap, lines = self.horizon * simulator.dt, []
        for name, told in found.items():
            t = gap * (1 + 0.5 * torch.arange(len(told.sizes), dtype=torch.float64))
            lines.append(line(name, t, told.sizes.amax(1), "largest"))
            if not name:
                middle = told.sizes.median(1).values
                lines.append(Line(t.tolist(), middle.tolist(), group="median", label="median"))
        ends = [0.0, gap * self.horizons]
        lines.append(Line(ends, [limit] * 2, "truth", label="limit"))
        return Curve(
            lines,
            since(evidence),
            "size / half range of the data",
            "After the first horizon each half is that of the nearest rollout.",
            y_scale="log",
        )


def _far(size: float | torch.Tensor) -> str:
    return f"{float(size):.3g} half ranges" if size < LOST else "beyond all bounds"


def _everywhere(mine: Told) -> Curve:
    """Every rollout as a point."""
    points = []
    for told, part in (
        ("on the data", slice(None, mine.near)),
        ("pushed", slice(mine.near, None)),
    ):
        x = mine.before[part].clamp(SMALLEST, LOST).tolist()
        y = mine.after[part].clamp(SMALLEST, LOST).tolist()
        points.append(Line(x, y, group=told, error=[0.0] * len(x)))
    same = [max(SMALLEST, float(mine.before.min())), float(mine.before.max())]
    points.append(Line(same, same, "truth", label="unchanged"))
    return Curve(
        points,
        "size in the beginning / half range of the data",
        "largest size",
        "Rollouts above the dotted line grow.",
        x_scale="log",
        y_scale="log",
    )
