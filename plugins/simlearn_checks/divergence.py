"""How many rollouts are lost?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

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
from simlearn.analysis.horizon import wilson
from simlearn_checks import causes, remedies
from simlearn_checks.batch import models, steps_of, together
from simlearn_checks.common import line, positive, since
from simlearn_checks.starts import Begin, begins, evenly, placed, starts
from simlearn_checks.times import refuse, steps_in

DRAWN = 200  # times of the picture
INSIDE = "Take dynamics that cannot leave: dissipative or energy-keeping by construction."
MEANING = (
    "outside the region of its data a simulator extrapolates, and most that leave never return. "
    "One in twenty that is lost is one in twenty of any long study. Those that stay may still be "
    "wrong inside: InvariantMeasure says how wrong."
)


@dataclass(frozen=True)
class Box:
    """What belongs to the data, column by column: ``[dim]`` middles and half widths."""

    middle: Tensor
    half: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Whether each row is inside."""
        return ((x - self.middle).abs() <= self.half).all(-1)


class Divergence(simlearn.Check):
    """Few rollouts leave a box around the data within the horizon.

    The box is the range of every column of the held-out data, ``factor`` times as wide about its
    middle. A rollout is lost with the first row that is outside, or is no number. Judged is the
    upper end of Wilson's 95 % interval of the share of lost ones: few starts cannot show that a
    share is small.

    Args:
        horizon: Steps of the rollouts, or periods of the data ("100 periods").
        factor: How many times as wide as the data the box is.
        starts: How many rollouts.
        limit: Largest allowed share. With none of 100 lost the interval ends at 0.037.
        noise: Where there are fewer held-out states than starts, the others are moved at random by
            so many standard deviations of each column.
    """

    def __init__(
        self,
        horizon: int | str = 1000,
        factor: float = 5.0,
        starts: int = 100,
        limit: float = 0.05,
        noise: float = 0.01,
    ):
        positive(starts=starts, limit=limit)
        refuse(horizon)
        if not factor >= 1 or not limit < 1 or not noise >= 0:
            raise ConfigError(
                "Divergence needs factor >= 1, limit < 1 and noise >= 0, got "
                f"{factor}, {limit} and {noise}."
            )
        best = wilson(0, starts)[1]
        if best > limit:
            raise ConfigError(
                f"Even if none of {starts} rollouts is lost, the share may be {best:.3g}, more "
                f"than the limit of {limit:g}: nothing could pass. Ask for more starts."
            )
        self.horizon, self.factor, self.starts = horizon, factor, starts
        self.limit, self.noise = limit, noise

    @classmethod
    def examples(cls) -> list[Divergence]:
        """Sixty steps."""
        return [cls(horizon=60, starts=80)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out from every start and count."""
        horizon = steps_in(self.horizon, simulator, evidence)
        box = box_around(evidence, self.factor)
        begun, note = self._begins(simulator, evidence, horizon)
        at = [one for _, one in begun]
        lost: dict[str, Tensor] = {}
        for name, model in models(simulator, evidence).items():
            steps = steps_of(model, simulator, horizon)
            flock = together(model, at, steps, steps, box)
            lost[name] = torch.where(flock.lost < 0, torch.inf, flock.lost * model.dt)
        mine, gone = lost[""], {name: int(one.isfinite().sum()) for name, one in lost.items()}
        low, high = self._interval(gone[""], len(mine))
        when = "" if not gone[""] else f", the first after a time of {float(mine.min()):.4g}"
        worst: Place | None = None
        why: tuple[tuple[str, ...], list[str]] = ((), [])
        if gone[""]:
            first = int(mine.argmin())
            begin, step = begun[first][0], round(float(mine[first]) / simulator.dt)
            worst = placed(evidence, begin, step, simulator.dt)
            if high > self.limit:
                why = self._why(simulator, evidence, at[first], step, box)
        return Finding.of(
            self._metrics(gone, len(mine), low, high),
            f"{gone['']} of {len(mine)} rollouts leave {self.factor:g} times the region of the "
            f"data within {horizon} steps{when} (95 % interval of the share: {low:.2g} to "
            f"{high:.2g}).{note}",
            {"Rollouts still inside": self._curve(lost, horizon * simulator.dt, evidence)},
            remedies.ranked(
                why[1],
                [remedies.NOISE, remedies.LONGER_ROLLOUTS],
                remedies.finer(simulator),
                [INSIDE],
            ),
            meaning=MEANING,
            worst=worst,
            causes=why[0],
        )

    def _interval(self, gone: int, total: int) -> tuple[float, float]:
        """Wilson's interval of the share.

        Raises:
            DataError: There are too few starts for any simulator to pass.
        """
        best = wilson(0, total)[1]
        if best > self.limit:
            raise DataError(
                f"The evidence has {total} different starts; even with none lost the share may be "
                f"{best:.3g}, more than the limit of {self.limit:g}. Give noise > 0, or more data."
            )
        return wilson(gone, total)

    def _metrics(
        self, gone: Mapping[str, int], total: int, low: float, high: float
    ) -> list[Metric]:
        """The end of the interval has its uncertainty inside; the share has half the interval."""
        others = {name: count for name, count in gone.items() if name}
        highs = {name: wilson(count, total)[1] for name, count in others.items()}
        shares = {name: count / total for name, count in others.items()}
        share, half = gone[""] / total, (high - low) / 2
        return [
            Metric("share lost, upper end of 95 %", high, self.limit, beside=highs),
            Metric("share lost", share, noise=half, beside=shares),
        ]

    def _why(
        self, simulator: Simulator, evidence: Evidence, begin: Trajectory, step: int, box: Box
    ) -> tuple[tuple[str, ...], list[str]]:
        """Likely causes for the rollout that is lost first."""

        def outside(one: Trajectory) -> float:
            furthest = float(((one.x - box.middle).abs() / box.half).max())
            return furthest if one.status == "ok" else math.inf

        word = "the distance from the middle of the data, over what is allowed,"
        return causes.of_start(simulator, evidence, begin, step, outside, 1.0, word)

    def _begins(
        self, simulator: Simulator, evidence: Evidence, horizon: int
    ) -> tuple[list[tuple[Begin, Trajectory]], str]:
        """As many starts as asked for, or neighbours of fewer; and what is left out, in words."""
        samples, note, numbers = 1, "", tuple(range(len(evidence.held_out)))
        if evidence.start().inputs is not None:  # they have to last
            even = evenly(evidence, simulator.dt)
            samples = horizon * even.skip // even.steps + 1
            evidence, note, numbers = even.evidence, even.note, even.numbers
        where = begins(evidence, self.starts, samples)
        where = [replace(one, trajectory=numbers[one.trajectory]) for one in where]
        found = list(zip(where, starts(evidence, self.starts, samples), strict=True))
        if self.noise == 0:
            return found, note
        width = torch.cat([one.x.flatten(0, 1) for one in evidence.held_out]).std(0)
        rng = torch.Generator().manual_seed(evidence.seed)
        count = len(found)
        for k in range(count, self.starts):
            begin, one = found[k % count]
            shift = torch.randn(one.x.shape[1:], generator=rng, dtype=torch.float64).to(one.x)
            moved = one.x.clone()
            moved[0] += self.noise * width * shift
            found.append((begin, replace(one, x=moved)))
        return found, note

    def _curve(self, lost: dict[str, Tensor], span: float, evidence: Evidence) -> Curve:
        t = torch.linspace(0, span, DRAWN, dtype=torch.float64)
        lines = []
        for name, times in lost.items():
            left = (times[None] > t[:, None]).sum(1)
            lines.append(line(name, t, left / len(times)))
            if not name:
                ends = [wilson(int(k), len(times)) for k in left]
                for k in (0, 1):
                    band = [end[k] for end in ends]
                    lines.append(Line(t.tolist(), band, "reference", label="95 % interval"))
        caption = "A line that stays at one has lost nothing; a fall that goes on is a leak."
        return Curve(lines, since(evidence), "share still inside", caption)


def box_around(evidence: Evidence, factor: float) -> Box:
    """The box around the held-out data, so many times as wide about its middle."""
    # held-out data alone: training data are loaded only where another check of the suite asks
    seen = torch.cat([one.x.flatten(0, 1) for one in evidence.held_out or evidence.training])
    low, high = seen.amin(0), seen.amax(0)
    half = (high - low) / 2
    # a column that never moved in the data may move as far as the widest does
    largest = float(half.max()) or 1.0
    half = torch.where(half > 1e-6 * largest, half, largest)
    return Box((low + high) / 2, factor * half)
