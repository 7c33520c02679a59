"""How many rollouts are lost?"""

from __future__ import annotations

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
    Simulator,
    Trajectory,
)
from simlearn.analysis.horizon import wilson
from simlearn_checks.batch import evenly, models, starts, steps_of, together
from simlearn_checks.common import line, positive, since

DRAWN = 200  # times of the picture
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
        horizon: Steps of the rollouts.
        factor: How many times as wide as the data the box is.
        starts: How many rollouts.
        limit: Largest allowed share. With none of 100 lost the interval ends at 0.037.
        noise: Where there are fewer held-out states than starts, the others are moved at random by
            so many standard deviations of each column.
    """

    def __init__(
        self,
        horizon: int = 1000,
        factor: float = 5.0,
        starts: int = 100,
        limit: float = 0.05,
        noise: float = 0.01,
    ):
        positive(horizon=horizon, starts=starts, limit=limit)
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
        box = _box(evidence, self.factor)
        begins, note = self._begins(simulator, evidence)
        lost: dict[str, Tensor] = {}
        for name, model in models(simulator, evidence).items():
            steps = steps_of(model, simulator, self.horizon)
            flock = together(model, begins, steps, steps, box)
            lost[name] = torch.where(flock.lost < 0, torch.inf, flock.lost * model.dt)
        gone = {name: int(one.isfinite().sum()) for name, one in lost.items()}
        total = len(lost[""])
        low, high = wilson(gone[""], total)
        best = wilson(0, total)[1]
        if best > self.limit:
            raise DataError(
                f"The evidence has {total} different starts; even with none lost the share may be "
                f"{best:.3g}, more than the limit of {self.limit:g}. Give noise > 0, or more data."
            )
        shares = {name: count / total for name, count in gone.items() if name}
        highs = {name: wilson(count, total)[1] for name, count in gone.items() if name}
        metrics = [
            Metric("share lost, upper end of 95 %", high, self.limit, beside=highs),
            Metric("share lost", gone[""] / total, beside=shares),
        ]
        when = "" if not gone[""] else f", the first after a time of {float(lost[''].min()):.4g}"
        return Finding.of(
            metrics,
            f"{gone['']} of {total} rollouts leave {self.factor:g} times the region of the data "
            f"within {self.horizon} steps{when} (95 % interval of the share: {low:.2g} to "
            f"{high:.2g}).{note}",
            {"Rollouts still inside": self._curve(lost, simulator, evidence)},
            (
                "Inject noise while training (NoiseInjection), or train through longer rollouts.",
                "Take a smaller step, or a scheme that fits the field.",
                "Take dynamics that cannot leave: dissipative or energy-keeping by construction.",
            ),
            meaning=MEANING,
        )

    def _begins(self, simulator: Simulator, evidence: Evidence) -> tuple[list[Trajectory], str]:
        """As many starts as asked for, or neighbours of fewer; and what is left out, in words."""
        samples, note = 1, ""
        if evidence.start().inputs is not None:  # they have to last
            even = evenly(evidence, simulator.dt)
            samples = self.horizon * even.skip // even.steps + 1
            evidence, note = even.evidence, even.note
        found = starts(evidence, self.starts, samples)
        if self.noise == 0:
            return found, note
        width = torch.cat([one.x.flatten(0, 1) for one in evidence.held_out]).std(0)
        rng = torch.Generator().manual_seed(evidence.seed)
        count = len(found)
        for k in range(count, self.starts):
            one = found[k % count]
            shift = torch.randn(one.x.shape[1:], generator=rng, dtype=torch.float64).to(one.x)
            moved = one.x.clone()
            moved[0] += self.noise * width * shift
            found.append(replace(one, x=moved))
        return found, note

    def _curve(self, lost: dict[str, Tensor], simulator: Simulator, evidence: Evidence) -> Curve:
        t = torch.linspace(0, self.horizon * simulator.dt, DRAWN, dtype=torch.float64)
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


def _box(evidence: Evidence, factor: float) -> Box:
    # held-out data alone: training data are loaded only where another check of the suite asks
    seen = torch.cat([one.x.flatten(0, 1) for one in evidence.held_out or evidence.training])
    low, high = seen.amin(0), seen.amax(0)
    half = (high - low) / 2
    # a column that never moved in the data may move as far as the widest does
    largest = float(half.max()) or 1.0
    half = torch.where(half > 1e-6 * largest, half, largest)
    return Box((low + high) / 2, factor * half)
