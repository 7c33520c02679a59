"""The real solar system, from the ephemeris that astropy carries."""

from __future__ import annotations

import simlearn
from simlearn_ephemeris.solar_system import SolarSystem

__all__ = ["SolarSystem"]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """The generator."""
    return [SolarSystem]
