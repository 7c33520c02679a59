"""Is what physics conserves conserved?"""

from __future__ import annotations

import math
from collections.abc import Mapping

from torch import Tensor

import simlearn
from simlearn import Curve, Evidence, Finding, Metric, Place, Simulator, Trajectory, energy_of
from simlearn_checks import causes, remedies
from simlearn_checks.common import kept_every, left_at, line, place, positive, since
from simlearn_checks.times import period, refuse, steps_in
from simlearn_checks.trends import BLOCKS, trend

TREND = "energy error, last tenth / first"
MEANING = (
    "an energy error without a trend lets a rollout of any length be trusted in its statistics, "
    "even where its phase is off; one that grows ends in an explosion or a standstill."
)
LOST_AT_ONCE = 0.5  # an error twice as large at first has settled at another energy


class EnergyDrift(simlearn.Check):
    """The energy error of a long rollout oscillates but does not grow.

    With e(t) = |E(t) − E(0)|, the mean of e over the last tenth of the rollout is held against that
    over the first tenth; a ratio below one half fails, too: such a rollout has lost its energy at
    once and settled. The energy is the truth's where it is known, else the learned one. Where the
    data show a period, the drift of E over |E(0)| per period is told, from a straight line through
    E(t), and judged where ``max_drift`` is given.

    Args:
        horizon: Steps of the rollout, or periods of the data ("1000 periods").
        max_ratio: Largest allowed ratio of the two means; 1 means no trend.
        max_relative: Largest allowed mean of e over |E(0)|; not judged for a learned energy, whose
            zero is arbitrary.
        max_drift: Largest allowed drift of E over |E(0)| per period of the data.
    """

    def __init__(
        self,
        horizon: int | str = 100_000,
        max_ratio: float = 1.15,
        max_relative: float = 0.25,
        max_drift: float | None = None,
    ):
        positive(max_ratio=max_ratio)
        refuse(horizon)
        if max_drift is not None:
            positive(max_drift=max_drift)
        self.horizon, self.max_ratio, self.max_relative = horizon, max_ratio, max_relative
        self.max_drift = max_drift

    @classmethod
    def examples(cls) -> list[EnergyDrift]:
        """Two thousand steps."""
        return [cls(horizon=2000)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out and compare the first and the last tenth."""
        source = _source(simulator, evidence)
        if isinstance(source, Finding):
            return source
        horizon = steps_in(self.horizon, simulator, evidence)
        rolled = evidence.rollouts(simulator, horizon, kept_every(horizon))
        energies = {name: _energies(name, one, simulator, evidence) for name, one in rolled.items()}
        known = source is evidence.truth
        metrics = self._metrics(rolled, energies, known, evidence)
        end = left_at(rolled[""], horizon)
        why = [] if all(one.passed for one in metrics) else causes.unsymplectic(simulator, evidence)
        said, advice = causes.told(why)
        return Finding.of(
            metrics,
            f"The error of the {'true' if known else 'learned'} energy {_words(metrics)} over "
            f"{horizon} steps (mean {metrics[2].value:.2g} of the energy; {end}).",
            {"Energy": _curve(rolled, energies, since(evidence))},
            remedies.ranked(advice, remedies.symplectic(simulator), remedies.finer(simulator)),
            meaning=MEANING,
            worst=_worst(rolled[""], energies[""], simulator.dt),
            causes=said,
        )

    def _metrics(
        self,
        rolled: Mapping[str, Trajectory],
        energies: Mapping[str, Tensor],
        known: bool,
        evidence: Evidence,
    ) -> list[Metric]:
        found = {name: _trend(energies[name], one) for name, one in rolled.items()}
        (ratio, size), (noise, spread) = found.pop(""), _noise(energies[""])
        ratios = {name: pair[0] for name, pair in found.items()}
        sizes = {name: pair[1] for name, pair in found.items()}
        largest = self.max_relative if known else None
        metrics = [
            Metric(TREND, ratio, self.max_ratio, noise=noise, beside=ratios),
            Metric("the same: not lost at once", ratio, LOST_AT_ONCE, "min", noise=noise),
            Metric("mean relative energy error", size, largest, noise=spread, beside=sizes),
        ]
        once = period(evidence)
        if once is None and self.max_drift is not None:
            raise simlearn.DataError(
                "max_drift is per period, and the held-out data show none twice. Leave it out, or "
                "give longer data."
            )
        if once is None:
            return metrics
        drifts = {name: _drift(energies[name], one) for name, one in rolled.items()}
        (rate, error), unit = drifts.pop(""), "1/period"
        beside = {name: pair[0] * once.value for name, pair in drifts.items()}
        mine, error = rate * once.value, error * once.value
        drift = Metric("energy drift", mine, self.max_drift, "max", unit, error, beside)
        if drift.passed or self.max_drift is not None:  # of a rollout that is lost only if asked
            metrics.append(drift)
        return metrics


def _source(simulator: Simulator, evidence: Evidence) -> object:
    """What has the energy that is followed, or why it does not apply."""
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
    return source


def _words(metrics: list[Metric]) -> str:
    if not math.isfinite(metrics[0].value):
        return "cannot be followed to the end, for the rollout is lost before,"
    if not metrics[1].passed:
        return "is largest at first, as if energy had been lost at once,"
    if metrics[0].marginal:
        return "cannot be told from a trend (take a longer horizon)"
    return "has no trend" if metrics[0].passed else "grows"


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


def _noise(energy: Tensor) -> tuple[float, float]:
    """Standard deviation of the ratio over the tenths between, and standard error of the mean."""
    tenth = max(1, len(energy) // 10)
    means = (energy - energy[0]).abs()[: 10 * tenth].unflatten(0, (-1, tenth)).mean(1)
    if len(means) < 4 or float(means[0].min()) == 0:
        return 0.0, 0.0
    size = energy[0].abs().clamp_min(1e-300)
    return (
        float((means[1:-1] / means[0]).std(0).max()),
        float((means.std(0) / len(means) ** 0.5 / size).max()),
    )


def _drift(energy: Tensor, rolled: Trajectory) -> tuple[float, float]:
    """|slope| of E / |E₀| and its standard error, 1/time, worst system; infinite where lost."""
    if rolled.status != "ok" or len(energy) < 2 * BLOCKS:
        return math.inf, 0.0
    off = (energy - energy[0]) / energy[0].abs().clamp_min(1e-300)
    rate, error, _ = trend((rolled.t - rolled.t[0]).double(), off)
    worst = int(rate.abs().argmax())
    return float(rate[worst].abs()), float(error[worst])


def _worst(rolled: Trajectory, energy: Tensor, dt: float) -> Place:
    """Where the error was largest."""
    error = (energy - energy[0]).abs().amax(1)
    return place(rolled, int(error.argmax()), dt)


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
