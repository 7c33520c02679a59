"""What was learned: the law of a pair force."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Curve, Evidence, Finding, Metric, Remedy, Simulator
from simlearn.dynamics import PairField
from simlearn_checks.common import line, per, positive

BINS = 120
MEANING = (
    "a power law that was found holds where no trajectory went. A slope that is off, or a change "
    "of sign, says that the force is right at most along the paths of the data."
)
REMEDIES = (
    Remedy("Raise the weight of Roughness.", "stabilizer", "Roughness"),
    Remedy("Train on data in which pairs meet at more distances.", "data"),
)
WEIGHABLE = 0.01


class ForceLaw(simlearn.Check):
    """The learned pair force follows a power law, f ∝ r^exponent, with one sign.

    The slope is that of a straight line through log |f| against log r at 400 distances evenly
    spaced in log r. Its noise is half of what the slopes of both halves of the range differ by.

    Args:
        exponent: Expected slope; −2 for gravity.
        tolerance: Allowed deviation of the slope.
        r_min: Smallest distance judged, in the data's unit.
        r_max: Largest distance judged, in the data's unit.
    """

    def __init__(
        self,
        exponent: float = -2.0,
        tolerance: float = 0.02,
        r_min: float = 0.3,
        r_max: float = 10.0,
    ):
        positive(tolerance=tolerance, r_min=r_min)
        if r_max <= r_min:
            raise ConfigError(f"r_max must be larger than r_min, got {r_max} and {r_min}.")
        self.exponent, self.tolerance = exponent, tolerance
        self.r_min, self.r_max = r_min, r_max

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Fit the slope and look for changes of sign."""
        field = simulator.dynamics
        if not isinstance(field, PairField):
            return Finding.not_applicable(f"{type(field).__name__} is no pair force.")
        ends = math.log10(self.r_min), math.log10(self.r_max)
        r = torch.logspace(*ends, 400, dtype=torch.float64)
        with torch.no_grad():
            force = field.force(r)
        changes, slope = int((force[1:] * force[:-1] <= 0).sum()), _slope(r, force)
        models = {name: one.dynamics for name, one in evidence.references.items()}
        others = {name: one for name, one in models.items() if isinstance(one, PairField)}
        beside = {name: _slope(r, other.force(r)) for name, other in others.items()}
        off, noise = abs(slope - self.exponent), _bent(r, force)
        title = f"slope of log f, deviation from {self.exponent:g}"
        metrics = [
            Metric(title, off, self.tolerance, noise=noise),
            Metric("slope of log f against log r", slope, noise=noise, beside=beside),
            Metric("changes of sign", float(changes), 0.0),
        ]
        sign = "with one sign" if not changes else f"and changes sign {changes} times"
        unit = evidence.units.get("position", "")
        span = f"Between {self.r_min:g} and {self.r_max:g} {unit}".rstrip()
        return Finding.of(
            metrics,
            f"{span} the learned force goes as r^{slope:.4f} {sign}.",
            {"The learned force": self._curve(field, others, evidence)},
            REMEDIES,
            meaning=MEANING,
            causes=self._why(field, evidence, r, force),
        )

    def _why(
        self, field: PairField, evidence: Evidence, r: Tensor, force: Tensor
    ) -> tuple[str, ...]:
        """Where the force is furthest from the law, and whether pairs came there."""
        if not (evidence.training or evidence.held_out):
            return ()
        away = force.abs().clamp_min(1e-300).log() - self.exponent * r.log()
        worst = float(r[(away - away.median()).abs().argmax()])
        empty = any(low <= worst <= high for low, high in _unvisited(field, evidence)[2])
        seen = "no pair whose pull can be weighed comes" if empty else "pairs come, too"
        return (f"It is furthest from the law at a distance of {worst:.3g}, where {seen}.",)

    def _curve(
        self,
        field: PairField,
        others: Mapping[str, PairField],
        evidence: Evidence,
    ) -> Curve:
        low, high, shaded = _unvisited(field, evidence)
        r = torch.logspace(math.log10(low), math.log10(high), 600, dtype=torch.float64)
        with torch.no_grad():
            lines = [line(n, r, f.force(r).abs()) for n, f in {"": field, **others}.items()]
        unit = per(evidence.units.get("position", ""))
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


def _bent(r: Tensor, force: Tensor) -> float:
    """Half of what the slopes of both halves of the range differ by: how far it is from a line."""
    half = len(r) // 2
    return abs(_slope(r[:half], force[:half]) - _slope(r[half:], force[half:])) / 2


def _unvisited(
    field: PairField, evidence: Evidence
) -> tuple[float, float, list[tuple[float, float]]]:
    """Distances that no weighable pair visits.

    A pair is weighable if its pull on a partner is at least 1 % of all that the partner feels.
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
