"""Schemes that advance a vector field: one idea a file."""

from simlearn.integrators.base import Carry, Integrator, SplitIntegrator
from simlearn.integrators.explicit import RK4, Euler, Heun
from simlearn.integrators.implicit import ImplicitMidpoint
from simlearn.integrators.symplectic import Leapfrog, SymplecticEuler, Yoshida4

__all__ = [
    "RK4",
    "Carry",
    "Euler",
    "Heun",
    "ImplicitMidpoint",
    "Integrator",
    "Leapfrog",
    "SplitIntegrator",
    "SymplecticEuler",
    "Yoshida4",
]
