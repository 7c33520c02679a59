"""Schemes that advance a vector field: one idea a file."""

from simlearn.integrators.adaptive import DormandPrince
from simlearn.integrators.base import Carry, Integrator, SplitIntegrator
from simlearn.integrators.energy import DiscreteGradient
from simlearn.integrators.explicit import RK4, Euler, Heun
from simlearn.integrators.extended import Tao, Tao4
from simlearn.integrators.implicit import ImplicitMidpoint
from simlearn.integrators.symplectic import Leapfrog, SymplecticEuler, Yoshida4, Yoshida6

__all__ = [
    "RK4",
    "Carry",
    "DiscreteGradient",
    "DormandPrince",
    "Euler",
    "Heun",
    "ImplicitMidpoint",
    "Integrator",
    "Leapfrog",
    "SplitIntegrator",
    "SymplecticEuler",
    "Tao",
    "Tao4",
    "Yoshida4",
    "Yoshida6",
]
