"""Checks: what a gate can ask of a simulator."""

from __future__ import annotations

import simlearn
from simlearn_checks.conservation import EnergyDrift, MomentumDrift
from simlearn_checks.forecast import ForecastError
from simlearn_checks.law import ForceLaw
from simlearn_checks.masses import MassEstimates
from simlearn_checks.stability import Bounded, StepHalving

__all__ = [
    "Bounded",
    "EnergyDrift",
    "ForceLaw",
    "ForecastError",
    "MassEstimates",
    "MomentumDrift",
    "StepHalving",
]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """The checks."""
    return [
        Bounded,
        EnergyDrift,
        ForceLaw,
        ForecastError,
        MassEstimates,
        MomentumDrift,
        StepHalving,
    ]
