"""The numbers of the finding that are told and not judged."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor

from simlearn import Metric
from simlearn_checks.unlearnable import words

LARGEST = 100_000  # numbers of direction vectors that a report keeps


def vectors(told: words.Told) -> dict[str, Any]:
    """The vectors and numbers themselves, for programs.

    Directions are columns in units of ``scale`` and orthonormal there; a trajectory that should
    teach one starts at mean + amplitude · scale · direction.
    """
    frame, found, memory = told.frame, told.found, told.memory
    kept: dict[str, Any] = {
        "verdict": told.verdict,
        "energy": frame.energy.values.tolist(),
        "floor": frame.energy.floor,
        "kinds": list(frame.kinds),
        "transverse_exponents": found.exponents.tolist(),
        "standard_errors": found.errors.tolist(),
        "scale": frame.scale.tolist(),
        "mean": (frame.mean * frame.scale).tolist(),
    }
    if found.normal is not None and found.normal.numel() <= LARGEST:
        kept["directions"] = found.normal.T.tolist()
    if memory is not None:
        kept["sensitivity"] = memory.ratio.tolist()
    return kept


def told_only(told: words.Told) -> list[Metric]:
    """Numbers that are told and not judged; those that are infinite are told in words."""
    found, metrics = told.found, []
    if found.blocks is not None:
        metrics += [
            Metric("spectral radius of J_NN, mean", float(found.blocks.radius.mean())),
            Metric("norm of J_NN, largest", float(found.blocks.norm.max())),
        ]
    if found.leak is not None:
        metrics.append(Metric("leak of one step", found.leak, unit="spreads"))
    for name, value in (("predicted", told.predicted), ("observed", told.observed)):
        if math.isfinite(value):
            metrics.append(Metric(f"escape step, {name}", value, unit="steps"))
    if told.clamp is not None and math.isfinite(told.clamp.free_error):
        harm = told.clamp.free_error - told.clamp.clamped_error
        metrics.append(Metric("error that a clamp removes", harm, unit="spreads"))
    if told.memory is not None:
        worst: Tensor = told.memory.ratio.max()
        metrics.append(Metric("re-initialisation sensitivity, largest", float(worst)))
    return metrics
