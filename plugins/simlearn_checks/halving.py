"""Does a rollout depend on the step?"""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import (
    Curve,
    DataError,
    Evidence,
    Finding,
    Line,
    Map,
    Metric,
    Simulator,
    Trajectory,
    inputs_for,
)
from simlearn_checks import remedies
from simlearn_checks.common import (
    kept_every,
    line,
    motion,
    per,
    place,
    positive,
    row_names,
    since,
)
from simlearn_checks.noise import rounded_otherwise
from simlearn_checks.times import refuse, steps_in

MEANING = (
    "a simulator that has learned a flow gives nearly the same path with any small step. One that "
    "changes much has learned the errors of its scheme, and its law cannot be read off. A chaotic "
    "system multiplies any change, so take a short horizon there."
)


class StepHalving(simlearn.Check):
    """Halving the step changes a rollout little: a flow was learned, not a habit of the scheme.

    Args:
        horizon: Steps of the rollout, or periods of the data ("10 periods").
        limit: Largest allowed change of a position, in the unit of the data.
        relative: The limit is in parts of how far the rows of the held-out data move, the root
            mean square distance from their mean places.
    """

    def __init__(self, horizon: int | str = 1000, limit: float = 0.1, relative: bool = False):
        positive(limit=limit)
        refuse(horizon)
        self.horizon, self.limit, self.relative = horizon, limit, relative

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out at dt and at dt/2 and compare the first half of the columns."""
        if isinstance(simulator.dynamics, Map):
            kind = type(simulator.dynamics).__name__
            return Finding.not_applicable(f"{kind} is a map: it has no step to halve.")
        horizon = steps_in(self.horizon, simulator, evidence)
        every = kept_every(horizon)
        rolled = evidence.rollouts(simulator, horizon, every)
        size, unit = self._unit(evidence)
        changes: dict[str, Tensor] = {}
        lines: list[Line] = []
        for name, coarse in rolled.items():
            model = evidence.references[name] if name else simulator
            apart, complete = self._halved(model, coarse, evidence)
            changes[name] = (apart if complete else torch.full_like(apart, torch.inf)) / size
            t = coarse.t[1 : len(apart)] - coarse.t[0]
            lines.append(line(name, t, (apart / size)[1:].amax(1).clamp_min(1e-17)))
        change = changes.pop("")
        beside = {name: float(other.max()) for name, other in changes.items()}
        value = float(change.max())
        noise = self._rounding(simulator, evidence, rolled[""], horizon, every) / size
        name = "largest change of a position"
        metric = Metric(name, value, self.limit, "max", unit, noise, beside)
        k, row = divmod(int(change.argmax()), change.shape[1])
        if rolled[""].status != "ok":
            k, row = rolled[""].steps - 1, max(0, rolled[""].first_bad_row)
        caption = "Distance between the rollout and the one with half the step."
        label = "largest change" + per("motion" if self.relative else unit)
        curve = Curve(lines, since(evidence), label, caption, y_scale="log")
        return Finding.of(
            [metric],
            f"With half the step the position of {row_names(rolled[''])[row]} changes most, by "
            f"{f'{value:.3g} {unit}'.strip()} over {horizon} steps.",
            {"Effect of halving the step": curve},
            tuple(remedies.finer(simulator)),
            meaning=MEANING,
            worst=place(rolled[""], k, simulator.dt, 0, row),
            causes=self._why(simulator, metric),
        )

    def _unit(self, evidence: Evidence) -> tuple[float, str]:
        """What changes are divided by, and their unit."""
        if not self.relative:
            return 1.0, evidence.units.get("position", "")
        columns = max(1, evidence.start().dim // 2)
        moved = motion(one.x[..., :columns] for one in evidence.held_out)
        if not moved > 0:
            raise DataError("The held-out data never move: nothing is relative to their motion.")
        return moved, "of the motion"

    def _why(self, simulator: Simulator, metric: Metric) -> tuple[str, ...]:
        if metric.passed or simulator.integrator is None:
            return ()
        scheme = simulator.integrator
        kind = type(scheme).__name__
        if scheme.adaptive:
            return (f"{kind} chooses its own steps: its tolerance is too wide.",)
        return (
            f"A step of {simulator.dt:g} of {kind} (order {scheme.order}) has errors as large as "
            "that, and the training has fitted the law to them.",
        )

    def _rounding(
        self,
        simulator: Simulator,
        evidence: Evidence,
        rolled: Trajectory,
        horizon: int,
        every: int,
    ) -> float:
        """By how much rounding alone changes a position."""
        if rolled.status != "ok":
            return 0.0
        other = rounded_otherwise(simulator, evidence.start(), horizon, evidence.seed, every)
        if other.status != "ok":
            return 0.0
        columns = max(1, rolled.dim // 2)
        return float((other.x - rolled.x)[..., :columns].norm(dim=-1).max())

    def _halved(
        self, model: Simulator, coarse: Trajectory, evidence: Evidence
    ) -> tuple[Tensor, bool]:
        """Distances ``[steps, rows]`` to the rollout with half the step; whether both lasted."""
        begin = evidence.start()
        half = model.with_step(model.dt / 2)
        spacing = float(coarse.t[1] - coarse.t[0]) if coarse.steps > 1 else model.dt
        ratio = round(spacing / half.dt)
        steps = ratio * (coarse.steps - 1)
        fine = half.rollout(
            begin.x[0],
            steps,
            begin.topology,
            t0=float(begin.t[0].min()),
            inputs=inputs_for(begin, steps, half.dt),
            every=ratio,
        )
        steps, columns = min(coarse.steps, fine.steps), max(1, coarse.dim // 2)
        apart = (coarse.x[:steps, :, :columns] - fine.x[:steps, :, :columns]).norm(dim=-1)
        return apart, coarse.status == fine.status == "ok"
