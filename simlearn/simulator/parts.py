"""Which dynamics, integrators and steps go together."""

from __future__ import annotations

import math

from simlearn.component import ConfigError
from simlearn.dynamics.base import Dynamics, Map, VectorField
from simlearn.integrators.base import Integrator, named


def fit_together(dynamics: Dynamics, integrator: Integrator | None, dt: float) -> None:
    """Refuse parts that do not fit.

    Raises:
        ConfigError: It says which and what would.
    """
    if not math.isfinite(dt) or dt <= 0:
        raise ConfigError(f"The step dt must be positive and finite, got {dt}.")
    kind = type(dynamics).__name__
    if isinstance(dynamics, Map):
        if integrator is not None:
            raise ConfigError(
                f"{kind} is a map and steps by itself, but was given {type(integrator).__name__}. "
                "Leave the integrator out."
            )
        return
    if not isinstance(dynamics, VectorField):
        raise ConfigError(f"A simulator needs a VectorField or a Map, got {kind}.")
    if integrator is None:
        raise ConfigError(f"{kind} is a vector field and needs an integrator, for example RK4.")
    scheme = type(integrator).__name__
    if not isinstance(dynamics, integrator.needs):
        raise ConfigError(
            f"{scheme} needs a {named(integrator.needs)}, got {kind}. "
            "Use ImplicitMidpoint or RK4, or split the energy into kinetic and potential "
            "(SeparableEnergy)."
        )
    if integrator.autonomous and not getattr(dynamics, "autonomous", True):
        raise ConfigError(
            f"{scheme} keeps an energy, but that of {kind} changes with time (autonomous = False). "
            "Use ImplicitMidpoint or RK4."
        )
