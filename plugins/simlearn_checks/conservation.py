"""Is what physics conserves conserved?"""

from __future__ import annotations

from torch import Tensor

import simlearn
from simlearn import Curve, Evidence, Finding, Metric, Simulator, Trajectory, energy_of
from simlearn.dynamics import HamiltonianField, SplitField
from simlearn_checks.common import kept_every, left_at, line, positive


class EnergyDrift(simlearn.Check):
    """The energy error of a long rollout oscillates but does not grow.

    With e(t) = |E(t) − E(0)|, the mean of e over the last tenth of the rollout is held against
    that over the first tenth. The energy is the truth's where it is known, else the learned one.

    Args:
        horizon: Steps of the rollout.
        max_ratio: Largest allowed ratio of the two means; 1 means no trend.
        max_relative: Largest allowed mean of e over |E(0)|; not judged where it is not given.
    """

    def __init__(
        self, horizon: int = 100_000, max_ratio: float = 1.15, max_relative: float | None = None
    ):
        positive(horizon=horizon, max_ratio=max_ratio)
        self.horizon, self.max_ratio, self.max_relative = horizon, max_ratio, max_relative

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out and compare the first and the last tenth."""
        field = simulator.dynamics
        if evidence.truth is None and not isinstance(field, SplitField | HamiltonianField):
            return Finding.not_applicable(
                f"{type(field).__name__} has no energy, and no truth was given."
            )
        if not getattr(evidence.truth or field, "autonomous", True):
            return Finding.not_applicable("The force depends on time, so energy is not conserved.")
        rolled = evidence.rollouts(simulator, self.horizon, kept_every(self.horizon))
        models = {"": simulator, **evidence.references}
        ratios, sizes, lines = {}, {}, []
        for name, one in rolled.items():
            source = models[name] if hasattr(models[name].dynamics, "energy") else simulator
            energy = energy_of(source, evidence, one.x, one.topology)
            assert energy is not None
            error = (energy - energy[0]).abs()
            ratios[name], sizes[name] = _trend(error, energy, one)
            relative = (energy - energy[0])[:, 0] / energy[0, 0].abs()
            lines.append(line(name, one.t - one.t[0], relative))
        noise = _noise(rolled[""], simulator, evidence)
        metrics = [
            Metric(
                "energy error, last tenth / first",
                ratios.pop(""),
                self.max_ratio,
                noise=noise,
                beside=ratios,
            ),
            Metric("mean relative energy error", sizes.pop(""), self.max_relative, beside=sizes),
        ]
        apart = max((abs(v) for one in lines[1:] for v in one.y), default=0) > 100 * max(
            abs(v) for v in lines[0].y
        )
        curve = Curve(
            lines,
            "time since the start",
            "(E − E₀) / |E₀|",
            "An energy error that keeps its width is what a symplectic simulator promises.",
            y_scale="symlog" if apart else "linear",
        )
        end = left_at(rolled[""], simulator, self.horizon)
        trend = "has no trend" if metrics[0].passed else "grows"
        return Finding.of(
            metrics,
            f"The energy error {trend} over {self.horizon} steps (mean {metrics[1].value:.2g} of "
            f"the energy; {end}).",
            {"Energy": curve},
            (
                "Use a symplectic integrator (Leapfrog, Yoshida4) with a SplitField, or "
                "ImplicitMidpoint.",
                "Take a smaller step.",
            ),
        )


def _trend(error: Tensor, energy: Tensor, rolled: Trajectory) -> tuple[float, float]:
    """Ratio of the means of the last and first tenth, worst system.

    Infinite where the rollout stopped.
    """
    tenth = max(1, len(error) // 10)
    floor = 1e-14 * energy[0].abs()
    ratio = (error[-tenth:].mean(0) + floor) / (error[1 : tenth + 1].mean(0) + floor)
    size = error.mean(0) / energy[0].abs().clamp_min(1e-300)
    return (float(ratio.max()) if rolled.status == "ok" else float("inf")), float(size.max())


def _noise(rolled: Trajectory, simulator: Simulator, evidence: Evidence) -> float:
    """Spread of the ratio when the last tenth is replaced by the tenths before it.

    Halved to a standard error.
    """
    energy = energy_of(simulator, evidence, rolled.x, rolled.topology)
    assert energy is not None
    tenth = max(1, rolled.steps // 10)
    means = (energy - energy[0]).abs()[:, 0][: 10 * tenth].reshape(-1, tenth).mean(1)
    if len(means) < 4 or float(means[0]) == 0:
        return 0.0
    return float((means[1:] / means[0]).std() / 2)


class MomentumDrift(simlearn.Check):
    """Total momentum is kept.

    Σ w_i p_i, w the weights of the symplectic form (the masses in the (q, v) chart).

    Only for fields without an outer potential. The drift is relative to Σ w_i |p_i|.

    Args:
        horizon: Steps of the rollout.
        limit: Largest allowed relative drift.
    """

    def __init__(self, horizon: int = 1000, limit: float = 1e-11):
        positive(horizon=horizon, limit=limit)
        self.horizon, self.limit = horizon, limit

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out and add up."""
        if not isinstance(simulator.dynamics, SplitField):
            return Finding.not_applicable(
                f"{type(simulator.dynamics).__name__} has no momentum to speak of."
            )
        rolled = evidence.rollouts(simulator, self.horizon, kept_every(self.horizon))
        models = {"": simulator, **evidence.references}
        beside, lines, worst = {}, [], float("nan")
        for name, one in rolled.items():
            field = models[name].dynamics
            weight = (field if isinstance(field, SplitField) else simulator.dynamics).form(
                one.topology
            )
            momentum = weight[:, None] * one.x.chunk(2, dim=-1)[1]
            total = one.topology.per_system(momentum, dim=1)
            scale = one.topology.per_system(momentum[0].norm(dim=-1)).clamp_min(1e-300)
            drift = (total - total[0]).norm(dim=-1) / scale
            lines.append(line(name, one.t - one.t[0], drift.amax(1).clamp_min(1e-18)))
            if name:
                beside[name] = float(drift.max())
            else:
                worst = float(drift.max()) if one.status == "ok" else float("inf")
        kept = "is kept to rounding" if worst < 1e-9 else "drifts"
        curve = Curve(
            lines,
            "time since the start",
            "|ΔP| / Σ|p|",
            "Every force acts on both partners alike.",
            y_scale="log",
        )
        return Finding.of(
            [Metric("relative momentum drift", worst, self.limit, beside=beside)],
            f"Total momentum {kept} over {self.horizon} steps (largest relative change "
            f"{worst:.2g}).",
            {"Momentum": curve},
            ("Use a field of pair forces (PairForce), which keeps momentum by construction.",),
        )
