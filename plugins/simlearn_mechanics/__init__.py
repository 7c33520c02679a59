"""Generators of classical mechanics, and their laws."""

from __future__ import annotations

import simlearn
from simlearn_mechanics.double_pendulum import DoublePendulum, DoublePendulumLaw
from simlearn_mechanics.embedded import EmbeddedOscillator, EmbeddedOscillatorLaw
from simlearn_mechanics.gravity import GravityLaw, NBody, ThreeBody
from simlearn_mechanics.henon_heiles import HenonHeiles, HenonHeilesLaw
from simlearn_mechanics.kepler import KeplerLaw, KeplerTwoBody
from simlearn_mechanics.lattices import FPUT, FPUTLaw
from simlearn_mechanics.oscillators import (
    DampedMassSpring,
    DampedMassSpringLaw,
    DrivenMassSpring,
    MassSpring,
    MassSpringLaw,
)
from simlearn_mechanics.pendula import (
    DampedPendulum,
    DampedPendulumLaw,
    DrivenPendulum,
    Pendulum,
    PendulumLaw,
)
from simlearn_mechanics.rigid import RigidBody, RigidBodyLaw
from simlearn_mechanics.spring_graph import SpringGraph
from simlearn_mechanics.springs import SpringChain, SpringLaw
from simlearn_mechanics.toda import Toda, TodaLaw

_SYSTEMS: list[type] = [
    DampedMassSpring,
    DampedPendulum,
    DoublePendulum,
    DrivenMassSpring,
    DrivenPendulum,
    EmbeddedOscillator,
    FPUT,
    HenonHeiles,
    KeplerTwoBody,
    MassSpring,
    NBody,
    Pendulum,
    RigidBody,
    SpringChain,
    SpringGraph,
    ThreeBody,
    Toda,
]
_LAWS: list[type] = [
    DampedMassSpringLaw,
    DampedPendulumLaw,
    DoublePendulumLaw,
    EmbeddedOscillatorLaw,
    FPUTLaw,
    GravityLaw,
    HenonHeilesLaw,
    KeplerLaw,
    MassSpringLaw,
    PendulumLaw,
    RigidBodyLaw,
    SpringLaw,
    TodaLaw,
]

__all__ = [
    "FPUT",
    "DampedMassSpring",
    "DampedMassSpringLaw",
    "DampedPendulum",
    "DampedPendulumLaw",
    "DoublePendulum",
    "DoublePendulumLaw",
    "DrivenMassSpring",
    "DrivenPendulum",
    "EmbeddedOscillator",
    "EmbeddedOscillatorLaw",
    "FPUTLaw",
    "GravityLaw",
    "HenonHeiles",
    "HenonHeilesLaw",
    "KeplerLaw",
    "KeplerTwoBody",
    "MassSpring",
    "MassSpringLaw",
    "NBody",
    "Pendulum",
    "PendulumLaw",
    "RigidBody",
    "RigidBodyLaw",
    "SpringChain",
    "SpringGraph",
    "SpringLaw",
    "ThreeBody",
    "Toda",
    "TodaLaw",
]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """Systems and their laws."""
    return [*_SYSTEMS, *_LAWS]
