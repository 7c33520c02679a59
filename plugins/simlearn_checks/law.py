"""What was learned: the law of a pair force, and the masses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Curve, Evidence, Finding, Line, Metric, Simulator
from simlearn.dynamics import PairField
from simlearn_checks.common import line, positive

BINS = 120
WEIGHABLE = 0.01


class ForceLaw(simlearn.Check):
    """The learned pair force follows a power law f ∝ r^exponent, with one sign.

    Between two distances.

    The slope is that of a straight line through log |f| against log r at 400 distances evenly
    spaced in log r.

    Args:
        exponent: Expected slope; −2 for gravity.
        tolerance: Allowed deviation of the slope.
        r_min: Smallest distance judged, in the data's unit.
        r_max: Largest distance judged, in the data's unit.
        unit: That unit, for the report.
    """

    def __init__(
        self,
        exponent: float = -2.0,
        tolerance: float = 0.02,
        r_min: float = 0.3,
        r_max: float = 10.0,
        unit: str = "",
    ):
        positive(tolerance=tolerance, r_min=r_min)
        if r_max <= r_min:
            raise ConfigError(f"r_max must be larger than r_min, got {r_max} and {r_min}.")
        self.exponent, self.tolerance = exponent, tolerance
        self.r_min, self.r_max, self.unit = r_min, r_max, unit

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Fit the slope and look for changes of sign."""
        field = simulator.dynamics
        if not isinstance(field, PairField):
            return Finding.not_applicable(f"{type(field).__name__} is no pair force.")
        r = torch.logspace(math.log10(self.r_min), math.log10(self.r_max), 400, dtype=torch.float64)
        with torch.no_grad():
            force = field.force(r)
        changes = int((force[1:] * force[:-1] <= 0).sum())
        slope = _slope(r, force)
        others = {
            n: m.dynamics
            for n, m in evidence.references.items()
            if isinstance(m.dynamics, PairField)
        }
        beside = {n: _slope(r, other.force(r)) for n, other in others.items()}
        metrics = [
            Metric(
                f"slope of log f, deviation from {self.exponent:g}",
                abs(slope - self.exponent),
                self.tolerance,
            ),
            Metric("slope of log f against log r", slope, beside=beside),
            Metric("changes of sign", float(changes), 0.0),
        ]
        summary = (
            f"Between {self.r_min:g} and {self.r_max:g} {self.unit} the learned force falls as "
            f"r^{slope:.4f}"
            f"{' with one sign' if not changes else f' and changes sign {changes} times'}."
        )
        curves = {"The learned force": self._curve(simulator, field, others, evidence)}
        return Finding.of(
            metrics, summary, curves, ("Raise the weight of Roughness, or of the closed form.",)
        )

    def _curve(
        self,
        simulator: Simulator,
        field: PairField,
        others: Mapping[str, PairField],
        evidence: Evidence,
    ) -> Curve:
        low, high, shaded = _unvisited(field, evidence)
        r = torch.logspace(math.log10(low), math.log10(high), 600, dtype=torch.float64)
        with torch.no_grad():
            lines = [line(n, r, f.force(r).abs()) for n, f in {"": field, **others}.items()]
        unit = f" / {self.unit}" if self.unit else ""
        return Curve(
            lines,
            f"distance{unit}",
            "|f(r)|",
            "Where no pair lives whose pull can be weighed, the curve is what smoothness makes of "
            "its neighbours.",
            "log",
            "log",
            shaded,
            "no weighable pair visits",
        )


def _slope(r: Tensor, force: Tensor) -> float:
    x, y = r.log(), force.detach().abs().clamp_min(1e-300).log()
    x = x - x.mean()
    return float((x * y).sum() / (x * x).sum())


def _unvisited(
    field: PairField, evidence: Evidence
) -> tuple[float, float, list[tuple[float, float]]]:
    """Distances that no weighable pair visits.

    One whose pull on a partner is at least 1 % of all it feels.
    """
    seen = list(evidence.training) or list(evidence.held_out)
    hits, span = [], []
    for one in seen:
        first, second = field.pairs(one.topology)
        mass = field.row_masses(one.topology)
        x = one.x[:: max(1, one.steps // 400)]
        q = x[..., : one.dim // 2]
        apart = (q[:, second] - q[:, first]).norm(dim=-1)
        pull = field.force(apart).abs()
        felt = torch.stack([field.kick(0.0, state, one.topology).norm(dim=-1) for state in q]).mean(
            0
        )
        share = torch.maximum(mass[second] / felt[first], mass[first] / felt[second]) * pull.mean(0)
        hits.append(apart[:, share >= WEIGHABLE].flatten())
        span.append(apart.flatten())
    visited, all_of_them = torch.cat(hits), torch.cat(span)
    low, high = float(all_of_them.min()) * 0.8, float(all_of_them.max()) * 1.2
    edges = torch.logspace(math.log10(low), math.log10(high), BINS + 1, dtype=torch.float64)
    counts = torch.histogram(visited, edges).hist
    shaded: list[tuple[float, float]] = []
    for k in range(BINS):
        if counts[k] == 0:
            begin, end = float(edges[k]), float(edges[k + 1])
            if shaded and math.isclose(shaded[-1][1], begin):
                shaded[-1] = (shaded[-1][0], end)
            else:
                shaded.append((begin, end))
    return low, high, shaded


class MassEstimates(simlearn.Check):
    """The masses that were learned, with their errors, against known ones.

    In units of the first body.

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
        unit = masses[field.names[0]]
        metrics = []
        for name in self.judged or self.expected:
            if name not in evidence.estimates:
                raise ConfigError(
                    f"MassEstimates expects {name!r}, the simulator knows {sorted(masses)}."
                )
            known, found = 1 / self.expected[name], evidence.estimates[name]
            noise = found.error / known
            metrics += [
                Metric(
                    f"{name}, closed form: relative deviation",
                    abs(found.value / known - 1),
                    self.tolerance,
                    noise=noise,
                ),
                Metric(
                    f"{name}, fine-tuned: relative deviation",
                    abs(masses[name] / unit / known - 1),
                    self.tolerance_trained,
                ),
            ]
        for name, one in evidence.estimates.items():
            note = "" if one.determined else " (not determined by these data)"
            ratio = 1 / one.value if one.value else math.inf
            noise = one.error * ratio**2 if one.determined else 0.0
            metrics.append(Metric(f"{name}: {field.names[0]} / mass{note}", ratio, noise=noise))
        vague = [name for name, one in evidence.estimates.items() if not one.determined]
        told = [
            f"{name} {1 / one.value:.6g} ± {100 * one.relative_error:.2g} %"
            for name, one in evidence.estimates.items()
            if one.determined
        ]
        summary = f"Mass of {field.names[0]} over that of: {', '.join(told)}."
        if vague:
            errors = ", ".join(
                f"{n} ({100 * evidence.estimates[n].relative_error:.0f} %)" for n in vague
            )
            summary += f" Not determined by these data: {errors}."
        return Finding.of(
            metrics,
            summary,
            {"Masses": self._curve(evidence)},
            ("Train on a longer span of data.",),
        )

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
