"""Is what physics conserves conserved?"""

from __future__ import annotations

import math

from torch import Tensor

import simlearn
from simlearn import Curve, Evidence, Finding, Metric, Simulator, Trajectory, energy_of
from simlearn.dynamics import SplitField
from simlearn_checks.common import kept_every, left_at, line, positive, since

TREND = "energy error, last tenth / first"
ENERGY = (
    "an energy error without a trend lets a rollout of any length be trusted in its statistics, "
    "even where its phase is off; one that grows ends in an explosion or a standstill."
)
MOMENTUM = (
    "a closed system cannot push itself. Momentum that drifts beyond rounding shows forces without "
    "partners, which the data never had."
)
LOST_AT_ONCE = 0.5  # an error twice as large at first has settled at another energy


class EnergyDrift(simlearn.Check):
    """The energy error of a long rollout oscillates but does not grow.

    With e(t) = |E(t) − E(0)|, the mean of e over the last tenth of the rollout is held against that
    over the first tenth; a ratio below one half fails, too: such a rollout has lost its energy at
    once and settled. The energy is the truth's where it is known, else the learned one.

    Args:
        horizon: Steps of the rollout.
        max_ratio: Largest allowed ratio of the two means; 1 means no trend.
        max_relative: Largest allowed mean of e over |E(0)|; not judged for a learned energy, whose
            zero is arbitrary.
    """

    def __init__(self, horizon: int = 100_000, max_ratio: float = 1.15, max_relative: float = 0.25):
        positive(horizon=horizon, max_ratio=max_ratio)
        self.horizon, self.max_ratio, self.max_relative = horizon, max_ratio, max_relative

    @classmethod
    def examples(cls) -> list[EnergyDrift]:
        """Two thousand steps."""
        return [cls(horizon=2000)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out and compare the first and the last tenth."""
        field = simulator.dynamics
        source = next((s for s in (evidence.truth, field) if hasattr(s, "energy")), None)
        if source is None:
            kind = type(field).__name__
            return Finding.not_applicable(f"Neither {kind} nor a known truth has an energy.")
        if not getattr(source, "autonomous", True):
            return Finding.not_applicable(
                f"{type(source).__name__} does not conserve its energy: it loses some, or a force "
                "that depends on time brings some."
            )
        rolled = evidence.rollouts(simulator, self.horizon, kept_every(self.horizon))
        energies = {name: _energies(name, one, simulator, evidence) for name, one in rolled.items()}
        found = {name: _trend(energies[name], one) for name, one in rolled.items()}
        (ratio, size), noise = found.pop(""), _noise(energies[""])
        ratios = {name: pair[0] for name, pair in found.items()}
        sizes = {name: pair[1] for name, pair in found.items()}
        largest = self.max_relative if source is evidence.truth else None
        metrics = [
            Metric(TREND, ratio, self.max_ratio, noise=noise, beside=ratios),
            Metric("the same: not lost at once", ratio, LOST_AT_ONCE, "min", noise=noise),
            Metric("mean relative energy error", size, largest, beside=sizes),
        ]
        trend = "has no trend" if metrics[0].passed else "grows"
        if not math.isfinite(ratio):
            trend = "cannot be followed to the end, for the rollout is lost before,"
        elif not metrics[1].passed:
            trend = "is largest at first, as if energy had been lost at once,"
        elif metrics[0].marginal:
            trend = "cannot be told from a trend (take a longer horizon)"
        end = left_at(rolled[""], self.horizon)
        return Finding.of(
            metrics,
            f"The error of the {'true' if source is evidence.truth else 'learned'} energy {trend} "
            f"over {self.horizon} steps (mean {size:.2g} of the energy; {end}).",
            {"Energy": _curve(rolled, energies, since(evidence))},
            (
                "Use a symplectic integrator with a SplitField, or ImplicitMidpoint.",
                "Take a smaller step.",
            ),
            meaning=ENERGY,
        )


def _energies(name: str, rolled: Trajectory, simulator: Simulator, evidence: Evidence) -> Tensor:
    """``[steps, systems]``, by the truth, by the model itself, or by the judged one's energy."""
    model = evidence.references[name] if name else simulator
    source = model if hasattr(model.dynamics, "energy") else simulator
    energy = energy_of(source, evidence, rolled.x, rolled.topology)
    assert energy is not None
    return energy


def _trend(energy: Tensor, rolled: Trajectory) -> tuple[float, float]:
    """Ratio of the means of the last and first tenth, worst system; infinite where it stopped."""
    error, tenth = (energy - energy[0]).abs(), max(1, len(energy) // 10)
    floor = 1e-14 * energy[0].abs()
    ratio = (error[-tenth:].mean(0) + floor) / (error[1 : tenth + 1].mean(0) + floor)
    size = error.mean(0) / energy[0].abs().clamp_min(1e-300)
    return (float(ratio.max()) if rolled.status == "ok" else float("inf")), float(size.max())


def _noise(energy: Tensor) -> float:
    """Standard deviation of the ratio over the tenths between, worst system."""
    tenth = max(1, len(energy) // 10)
    means = (energy - energy[0]).abs()[: 10 * tenth].unflatten(0, (-1, tenth)).mean(1)
    if len(means) < 4 or float(means[0].min()) == 0:
        return 0.0
    return float((means[1:-1] / means[0]).std(0).max())


def _relative(energy: Tensor) -> Tensor:
    """(E − E₀) / |E₀| of the first system, ``[steps]``."""
    return (energy[:, 0] - energy[0, 0]) / energy[0, 0].abs().clamp_min(1e-300)


def _curve(rolled: dict[str, Trajectory], energies: dict[str, Tensor], label: str) -> Curve:
    lines = [
        line(name, one.t - one.t[0], _relative(energies[name])) for name, one in rolled.items()
    ]
    caption = (
        "An error that keeps its width is what a symplectic simulator promises. "
        "A reference that leaves the frame has lost its energy."
    )
    return Curve(lines, label, "(E − E₀) / |E₀|", caption, focus=True)


class MomentumDrift(simlearn.Check):
    """Total momentum is kept: Σ w_i p_i, w the weights of the symplectic form.

    In the (q, v) chart the weights are the masses. Only for fields without an outer potential. The
    drift is relative to Σ w_i |p_i|.

    Args:
        horizon: Steps of the rollout.
        limit: Largest allowed relative drift.
    """

    def __init__(self, horizon: int = 1000, limit: float = 1e-11):
        positive(horizon=horizon, limit=limit)
        self.horizon, self.limit = horizon, limit

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out and add up."""
        own = simulator.dynamics
        if not isinstance(own, SplitField):
            return Finding.not_applicable(f"{type(own).__name__} has no momentum to speak of.")
        rolled = evidence.rollouts(simulator, self.horizon, kept_every(self.horizon))
        drifts = {}
        for name, one in rolled.items():
            field = evidence.references[name].dynamics if name else own
            drifts[name] = _momentum_drift(field if isinstance(field, SplitField) else own, one)
        lines = [
            line(name, one.t[1:] - one.t[0], drifts[name][1:].clamp_min(1e-18))
            for name, one in rolled.items()
        ]
        largest = {name: float(drift.max()) for name, drift in drifts.items()}
        worst = largest.pop("")
        worst = worst if rolled[""].status == "ok" else float("inf")
        kept = "is kept to rounding" if worst < 1e-9 else "drifts"
        caption = "Every force acts on both partners alike."
        return Finding.of(
            [Metric("relative momentum drift", worst, self.limit, beside=largest)],
            f"Total momentum {kept} over {self.horizon} steps "
            f"(largest relative change {worst:.2g}).",
            {"Momentum": Curve(lines, since(evidence), "|ΔP| / Σ|p|", caption, y_scale="log")},
            ("Use a field of pair forces (PairForce), which keeps momentum by construction.",),
            meaning=MOMENTUM,
        )


def _momentum_drift(field: SplitField, rolled: Trajectory) -> Tensor:
    """|P(t) − P(0)| / Σ|p|, worst system, ``[steps]``."""
    momentum = field.form(rolled.topology)[:, None] * rolled.x.chunk(2, dim=-1)[1]
    total = rolled.topology.per_system(momentum, dim=1)
    scale = rolled.topology.per_system(momentum[0].norm(dim=-1)).clamp_min(1e-300)
    return ((total - total[0]).norm(dim=-1) / scale).amax(1)
