"""Generators of chaotic and nonlinear dynamics, with known Lyapunov exponents."""

from __future__ import annotations

import simlearn
from simlearn_chaos.coupled import CoupledLogisticMap, CoupledMaps
from simlearn_chaos.hopf import Hopf, HopfLaw
from simlearn_chaos.lorenz63 import Lorenz63, Lorenz63Law
from simlearn_chaos.lorenz96 import Lorenz96, Lorenz96Law
from simlearn_chaos.maps import Henon, Logistic, LogisticMap
from simlearn_chaos.roessler import Roessler, RoesslerLaw

_SYSTEMS: list[type] = [CoupledMaps, Henon, Hopf, Logistic, Lorenz63, Lorenz96, Roessler]
_LAWS: list[type] = [
    CoupledLogisticMap,
    HopfLaw,
    LogisticMap,
    Lorenz63Law,
    Lorenz96Law,
    RoesslerLaw,
]

__all__ = [
    "CoupledLogisticMap",
    "CoupledMaps",
    "Henon",
    "Hopf",
    "HopfLaw",
    "Logistic",
    "LogisticMap",
    "Lorenz63",
    "Lorenz63Law",
    "Lorenz96",
    "Lorenz96Law",
    "Roessler",
    "RoesslerLaw",
]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """The systems and their laws."""
    return [*_SYSTEMS, *_LAWS]
