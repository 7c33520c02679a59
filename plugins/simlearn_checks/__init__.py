"""Checks: what a gate can ask of a simulator."""

from __future__ import annotations

import simlearn
from simlearn_checks.bounded import Bounded
from simlearn_checks.conservation import EnergyDrift
from simlearn_checks.contraction import Contraction
from simlearn_checks.divergence import Divergence
from simlearn_checks.escape import Escape
from simlearn_checks.forecast import ForecastError
from simlearn_checks.halving import StepHalving
from simlearn_checks.horizon import ValidPredictionTime
from simlearn_checks.invariants import InvariantDrift
from simlearn_checks.law import ForceLaw
from simlearn_checks.lyapunov import LyapunovSpectrum
from simlearn_checks.masses import MassEstimates
from simlearn_checks.measure import InvariantMeasure
from simlearn_checks.momentum import MomentumDrift
from simlearn_checks.significance import Significance
from simlearn_checks.symplectic import SymplecticDefect
from simlearn_checks.unlearnable import UnlearnableDirections

_CHECKS: list[type] = [
    Bounded,
    Contraction,
    Divergence,
    EnergyDrift,
    Escape,
    ForceLaw,
    ForecastError,
    InvariantDrift,
    InvariantMeasure,
    LyapunovSpectrum,
    MassEstimates,
    MomentumDrift,
    Significance,
    StepHalving,
    SymplecticDefect,
    UnlearnableDirections,
    ValidPredictionTime,
]

__all__ = [
    "Bounded",
    "Contraction",
    "Divergence",
    "EnergyDrift",
    "Escape",
    "ForceLaw",
    "ForecastError",
    "InvariantDrift",
    "InvariantMeasure",
    "LyapunovSpectrum",
    "MassEstimates",
    "MomentumDrift",
    "Significance",
    "StepHalving",
    "SymplecticDefect",
    "UnlearnableDirections",
    "ValidPredictionTime",
]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """The checks."""
    return list(_CHECKS)
