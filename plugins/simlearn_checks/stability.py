"""Does a long rollout stay where physics puts it, and does it depend on the step?"""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import Curve, Evidence, Finding, Line, Metric, Simulator, Trajectory, inputs_for
from simlearn.dynamics import Map
from simlearn_checks.common import kept_every, left_at, line, per, positive, row_names, since

BOUNDED = (
    "outside the region of its data a simulator extrapolates, and nothing it says there is founded "
    "on anything. One that stays may still be wrong inside: ForecastError says how wrong."
)
HALVING = (
    "a simulator that has learned a flow gives nearly the same path with any small step. One that "
    "changes much has learned the errors of its scheme, and its law cannot be read off. A chaotic "
    "system multiplies any change, so take a short horizon there."
)


class Bounded(simlearn.Check):
    """A rollout stays within a multiple of the largest component seen in the data.

    Args:
        horizon: Steps of the rollout.
        factor: Allowed multiple of the largest absolute component of the data.
        starts: Held-out trajectories to start from, at most.
    """

    def __init__(self, horizon: int = 1000, factor: float = 5.0, starts: int = 1):
        positive(horizon=horizon, factor=factor, starts=starts)
        self.horizon, self.factor, self.starts = horizon, factor, starts

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out and look at the largest component."""
        box, every = evidence.box(), kept_every(self.horizon)
        rolled = [
            evidence.rollouts(simulator, self.horizon, every, number, self.factor)
            for number in range(min(self.starts, max(1, len(evidence.held_out))))
        ]
        largest = {
            name: max(float(one[name].x.abs().max()) / box for one in rolled) for name in rolled[0]
        }
        if any(one[""].status != "ok" for one in rolled):
            largest[""] = float("inf")
        reached = min(_share(one[""], self.horizon * simulator.dt) for one in rolled)
        value = largest.pop("")
        metrics = [
            Metric("largest component over data", value, self.factor, beside=largest),
            Metric("share of the horizon reached", reached, 1.0, "min"),
        ]
        good = "stays near the data" if value <= self.factor else "leaves the region of the data"
        end = left_at(rolled[0][""], self.horizon)
        return Finding.of(
            metrics,
            f"Over {self.horizon} steps the rollout {good} ({end}).",
            {"Size of the state": self._curve(rolled[0], evidence)},
            (
                "Take a smaller step, or a symplectic integrator.",
                "Inject noise while training (NoiseInjection).",
                "Train through longer rollouts (MultiStep with a larger horizon).",
            ),
            meaning=BOUNDED,
        )

    def _curve(self, rolled: dict[str, Trajectory], evidence: Evidence) -> Curve:
        box = evidence.box()
        lines = [
            line(name, one.t - one.t[0], one.x.abs().flatten(1).amax(1) / box)
            for name, one in rolled.items()
        ]
        ends = [
            f"{name or 'this simulator'}: {left_at(one, self.horizon)}"
            for name, one in rolled.items()
        ]
        label = "largest component / largest in the data"
        return Curve(
            lines, since(evidence), label, "From the first start. " + "; ".join(ends) + "."
        )


def _share(rolled: Trajectory, wanted: float) -> float:
    return 1.0 if rolled.status == "ok" else float(rolled.t[-1] - rolled.t[0]) / wanted


class StepHalving(simlearn.Check):
    """Halving the step changes a rollout little: a flow was learned, not a habit of the scheme.

    Args:
        horizon: Steps of the rollout.
        limit: Largest allowed change of a position, in the unit of the data.
    """

    def __init__(self, horizon: int = 1000, limit: float = 0.1):
        positive(horizon=horizon, limit=limit)
        self.horizon, self.limit = horizon, limit

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out at dt and at dt/2 and compare the first half of the columns."""
        if isinstance(simulator.dynamics, Map):
            kind = type(simulator.dynamics).__name__
            return Finding.not_applicable(f"{kind} is a map: it has no step to halve.")
        every = kept_every(self.horizon)
        rolled = evidence.rollouts(simulator, self.horizon, every)
        models = {"": simulator, **evidence.references}
        changes: dict[str, Tensor] = {}
        lines: list[Line] = []
        for name, coarse in rolled.items():
            apart, complete = self._halved(models[name], coarse, evidence)
            changes[name] = apart.amax(0) if complete else torch.full_like(apart[0], torch.inf)
            t = coarse.t[1 : len(apart)] - coarse.t[0]
            lines.append(line(name, t, apart[1:].amax(1).clamp_min(1e-17)))
        change = changes.pop("")
        beside = {name: float(other.max()) for name, other in changes.items()}
        value, unit = float(change.max()), evidence.units.get("position", "")
        metric = Metric(
            "largest change of a position", value, self.limit, "max", unit, beside=beside
        )
        caption = "Distance between the rollout and the one with half the step."
        return Finding.of(
            [metric],
            f"With half the step the position of {row_names(rolled[''])[int(change.argmax())]} "
            f"changes most, by {f'{value:.3g} {unit}'.strip()} over {self.horizon} steps.",
            {
                "Effect of halving the step": Curve(
                    lines, since(evidence), f"largest change{per(unit)}", caption, y_scale="log"
                )
            },
            ("Take a smaller step or a scheme of higher order (Yoshida4), and train with it.",),
            meaning=HALVING,
        )

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
