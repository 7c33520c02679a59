"""Does a long rollout stay where physics puts it, and does it depend on the step?"""

from __future__ import annotations

import torch

import simlearn
from simlearn import Curve, Evidence, Finding, Metric, Simulator
from simlearn.dynamics import Map
from simlearn_checks.common import kept_every, left_at, line, positive, row_names


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
        worst, reached, lines, ends = 0.0, 1.0, [], []
        beside: dict[str, float] = {}
        for number in range(min(self.starts, max(1, len(evidence.held_out)))):
            rolled = evidence.rollouts(simulator, self.horizon, every, number, self.factor)
            for name, one in rolled.items():
                size = one.x.abs().flatten(1).amax(1) / box
                wanted = self.horizon * simulator.dt
                share = float(one.t[-1] - one.t[0]) / wanted if one.status != "ok" else 1.0
                if name:
                    beside[name] = max(beside.get(name, 0.0), float(size.max()))
                else:
                    stopped = one.status != "ok"
                    worst = max(worst, float("inf") if stopped else float(size.max()))
                    reached = min(reached, share)
                if number == 0:
                    lines.append(line(name, one.t - one.t[0], size))
                    ends.append(
                        f"{name or 'this simulator'}: {left_at(one, simulator, self.horizon)}"
                    )
        metrics = [
            Metric("largest component over data", worst, self.factor, beside=beside),
            Metric("share of the horizon reached", reached, 1.0, "min"),
        ]
        curve = Curve(
            lines,
            "time since the start",
            "largest component / largest in the data",
            "; ".join(ends) + ".",
        )
        good = "stays near the data" if worst <= self.factor else "leaves the region of the data"
        return Finding.of(
            metrics,
            f"Over {self.horizon} steps the rollout {good} "
            f"({left_at(rolled[''], simulator, self.horizon)}).",
            {"Size of the state": curve},
            (
                "Take a smaller step, or a symplectic integrator.",
                "Inject noise while training (NoiseInjection).",
                "Train through longer rollouts (MultiStep with a larger horizon).",
            ),
        )


class StepHalving(simlearn.Check):
    """Halving the step changes a rollout only a little.

    What was learned is a flow, not a habit of the integrator.

    Args:
        horizon: Steps of the rollout.
        limit: Largest allowed change of a position, in the unit of the data.
        unit: That unit, for the report.
    """

    def __init__(self, horizon: int = 1000, limit: float = 0.1, unit: str = ""):
        positive(horizon=horizon, limit=limit)
        self.horizon, self.limit, self.unit = horizon, limit, unit

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out at dt and at dt/2 and compare the first half of the columns."""
        if isinstance(simulator.dynamics, Map):
            return Finding.not_applicable(
                f"{type(simulator.dynamics).__name__} is a map: it has no step to halve."
            )
        every = kept_every(self.horizon)
        rolled = evidence.rollouts(simulator, self.horizon, every)
        models = {"": simulator, **evidence.references}
        begin = evidence.start()
        beside, lines, change, names = {}, [], torch.zeros(1), row_names(begin)
        for name, coarse in rolled.items():
            half = models[name].with_step(models[name].dt / 2)
            ratio = 2 * max(1, round(every * simulator.dt / models[name].dt))
            fine = half.rollout(begin.x[0], ratio * (coarse.steps - 1), begin.topology, every=ratio)
            steps = min(coarse.steps, fine.steps)
            columns = max(1, coarse.dim // 2)
            apart = (coarse.x[:steps, :, :columns] - fine.x[:steps, :, :columns]).norm(dim=-1)
            complete = coarse.status == fine.status == "ok"
            lines.append(line(name, coarse.t[:steps] - coarse.t[0], apart.amax(1).clamp_min(1e-17)))
            if name:
                beside[name] = float(apart.max()) if complete else float("inf")
            else:
                change = apart.amax(0) if complete else torch.full_like(apart[0], torch.inf)
        worst = int(change.argmax())
        metric = Metric(
            "largest change of a position",
            float(change.max()),
            self.limit,
            "max",
            self.unit,
            beside=beside,
        )
        curve = Curve(
            lines,
            "time since the start",
            f"largest change / {self.unit or 'data units'}",
            "Distance between the rollout and the one with half the step.",
            y_scale="log",
        )
        return Finding.of(
            [metric],
            f"With half the step the position of {names[worst]} changes most, by "
            f"{float(change.max()):.3g} "
            f"{self.unit} over {self.horizon} steps.",
            {"Effect of halving the step": curve},
            ("Take a smaller step or a scheme of higher order (Yoshida4), and train with it.",),
        )
