"""Generators of classical mechanics."""

from __future__ import annotations

import simlearn
from simlearn_mechanics.oscillators import MassSpring, MassSpringLaw, Pendulum, PendulumLaw

__all__ = ["MassSpring", "MassSpringLaw", "Pendulum", "PendulumLaw"]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """Systems and their laws."""
    return [MassSpring, MassSpringLaw, Pendulum, PendulumLaw]
