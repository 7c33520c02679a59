"""Directions of the parameters that the data do not determine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from simlearn import Curve, Evidence, Metric, Simulator


@dataclass(frozen=True)
class Parameters:
    """What is said of parameters beside the directions of the state."""

    metrics: list[Metric] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    curves: Mapping[str, Curve] = field(default_factory=dict)


def of(simulator: Simulator, evidence: Evidence) -> Parameters:
    """Nothing yet."""
    return Parameters()
