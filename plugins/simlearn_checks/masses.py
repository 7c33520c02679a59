"""What was learned: the masses, with their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import simlearn
from simlearn import ConfigError, Curve, Evidence, Finding, Line, Metric, Remedy, Simulator
from simlearn.dynamics import Estimate, PairField
from simlearn_checks.common import positive

OFF = "relative deviation"
MEANING = (
    "masses are what the data know about each body. A wide error says that this body pulls on "
    "nothing that was measured well enough; its number is then free to be anything, and forecasts "
    "that depend on it are not founded."
)


class MassEstimates(simlearn.Check):
    """The masses that were learned, with their errors, against known ones.

    All in units of the first body.

    Judged are the unclipped estimates of the closed form and the masses after fine-tuning. A mass
    whose relative error is above one half, or that is negative, is *not determined by these data*;
    that is told, not judged.

    Args:
        expected: Known mass of the first body over that of each named one.
        judged: Names that must be right; all of ``expected`` where it is not given.
        tolerance: Allowed relative deviation of the closed form.
        tolerance_trained: Allowed relative deviation after fine-tuning.
    """

    def __init__(
        self,
        expected: Mapping[str, float],
        judged: Sequence[str] | None = None,
        tolerance: float = 0.005,
        tolerance_trained: float = 0.01,
    ):
        positive(tolerance=tolerance, tolerance_trained=tolerance_trained, **expected)
        unknown = set(judged or ()) - set(expected)
        if unknown:
            raise ConfigError(
                f"MassEstimates judges {sorted(unknown)}, which `expected` does not name."
            )
        self.expected, self.judged = expected, judged
        self.tolerance, self.tolerance_trained = tolerance, tolerance_trained

    @classmethod
    def examples(cls) -> list[MassEstimates]:
        """Two planets."""
        return [cls(expected={"near": 100.0, "far": 50.0})]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Compare, and say what is not determined."""
        field = simulator.dynamics
        if not isinstance(field, PairField) or not evidence.estimates:
            return Finding.not_applicable(
                "The simulator carries no estimates of masses: train a PairForce with the "
                "closed-form start."
            )
        masses = dict(zip(field.names, field.masses().tolist(), strict=True))
        unknown = set(self.judged or self.expected) - set(evidence.estimates)
        if unknown:
            raise ConfigError(
                f"MassEstimates expects {sorted(unknown)}, the simulator knows {sorted(masses)}."
            )
        first = field.names[0]
        metrics = self._deviations(evidence.estimates, masses, masses[first])
        metrics += [_told(name, one, first) for name, one in evidence.estimates.items()]
        return Finding.of(
            metrics,
            _summary(evidence.estimates, first),
            {"Masses": self._curve(evidence)},
            (Remedy("Train on a longer span of data.", "data"),),
            meaning=MEANING,
        )

    def _deviations(
        self, estimates: Mapping[str, Estimate], masses: Mapping[str, float], unit: float
    ) -> list[Metric]:
        metrics = []
        for name in self.judged or self.expected:
            known, found = 1 / self.expected[name], estimates[name]
            closed, tuned = abs(found.value / known - 1), abs(masses[name] / unit / known - 1)
            noise = found.error / known  # the data determine both alike
            metrics += [
                Metric(f"{name}, closed form: {OFF}", closed, self.tolerance, noise=noise),
                Metric(f"{name}, fine-tuned: {OFF}", tuned, self.tolerance_trained, noise=noise),
            ]
        return metrics

    def _curve(self, evidence: Evidence) -> Curve:
        names = [n for n in evidence.estimates if n in self.expected]
        found = [evidence.estimates[n] for n in names]
        ratio = [one.value * self.expected[n] for n, one in zip(names, found, strict=True)]
        error = [one.error * self.expected[n] for n, one in zip(names, found, strict=True)]
        places = [float(k) for k in range(len(names))]
        return Curve(
            [
                Line(places, ratio, "judged", "learned", "learned, with standard error", error),
                Line(places, [1.0] * len(names), "truth", "known", "published"),
            ],
            "",
            "learned / published mass",
            "An error bar that covers zero means: not determined by these data.",
            y_scale="symlog",
            categories=names,
        )


def _told(name: str, one: Estimate, first: str) -> Metric:
    """Mass of the first body over this one's; told, not judged."""
    note = "" if one.determined else " (not determined by these data)"
    ratio = 1 / one.value if one.value else 1e300
    noise = one.error * ratio**2 if one.determined else 0.0
    return Metric(f"{name}: {first} / mass{note}", ratio, noise=noise)


def _summary(estimates: Mapping[str, Estimate], first: str) -> str:
    told = [
        f"{name} {1 / one.value:.6g} ± {100 * one.relative_error:.2g} %"
        for name, one in estimates.items()
        if one.determined
    ]
    vague = [
        f"{name} ({100 * one.relative_error:.0f} %)"
        for name, one in estimates.items()
        if not one.determined
    ]
    text = f"Mass of {first} over that of: {', '.join(told) or 'none'}."
    return text + (f" Not determined by these data: {', '.join(vague)}." if vague else "")
