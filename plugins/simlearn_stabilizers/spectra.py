"""Stabilizers that place the eigenvalues of square layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import nn

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import Map
from simlearn_stabilizers.matrices import Hurwitz, Schur, Skew
from simlearn_stabilizers.wrapping import constrained, linear_layers, parametrize


class Antisymmetric(simlearn.Stabilizer):
    """Makes every square layer W − Wᵀ − γ I: its eigenvalues have the real part −γ exactly.

    A field dx/dt = A x then neither grows nor oscillates out of reach; Euler's scheme follows it
    for steps below 2γ/(γ² + ω²) only (Haber and Ruthotto 2017; Chang et al. 2019).

    Args:
        damping: γ ≥ 0, per unit of time. Good values: 0 to 0.1.
    """

    def __init__(self, damping: float = 0.0):
        if not 0 <= damping < torch.inf:
            raise ConfigError(f"Antisymmetric needs a finite damping >= 0, got {damping}.")
        self.damping = damping

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            "Lets square layers turn and fade all directions alike at the rate "
            f"{self.damping:g}: a linear field then has no growth, no saddle and no other decay."
        )

    def wrap(self, dynamics: simlearn.Dynamics) -> simlearn.Dynamics:
        """Parametrize every square layer of a vector field."""
        _refuse_map(self, dynamics)
        return _square(self, dynamics, lambda: Skew(self.damping))


class HurwitzStable(simlearn.Stabilizer):
    """Makes every square layer (J − R) Q, J skew and R, Q positive: all eigenvalues left of 0.

    Every matrix with real parts below −margin can be reached. Solutions of dx/dt = A x may still
    grow for a while before they decay.

    Args:
        margin: Slowest decay, per unit of time.
    """

    def __init__(self, margin: float = 1e-3):
        if not 0 < margin < torch.inf:
            raise ConfigError(f"HurwitzStable needs a finite margin > 0, got {margin}.")
        self.margin = margin

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            f"Lets no mode of a linear field decay slower than at the rate {self.margin:g}: it "
            "cannot represent growth, chaos or undamped oscillation."
        )

    def wrap(self, dynamics: simlearn.Dynamics) -> simlearn.Dynamics:
        """Parametrize every square layer of a vector field that is not Hamiltonian."""
        _refuse_map(self, dynamics)
        if isinstance(dynamics, simlearn.HamiltonianField | simlearn.SplitField):
            raise ConfigError(
                f"HurwitzStable makes fields decay, but {type(dynamics).__name__} conserves its "
                "energy whatever its layers are. Leave it out, or take a VectorField such as "
                "LinearField."
            )
        return _square(self, dynamics, lambda: Hurwitz(self.margin))


class SchurStable(simlearn.Stabilizer):
    """Makes every square layer of a map S⁻¹ K S with ‖K‖₂ < 1: all eigenvalues in the unit disc.

    Every matrix of spectral radius below 1 − margin can be reached. Iterates of x ↦ A x may still
    grow for a while before they decay.

    Args:
        margin: Distance of the spectral radius from 1.
    """

    def __init__(self, margin: float = 1e-3):
        if not 0 < margin < 1:
            raise ConfigError(f"SchurStable needs a margin between 0 and 1, got {margin}.")
        self.margin = margin

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            f"Lets no mode of a linear map shrink by less than {self.margin:g} a step: it cannot "
            "represent growth, chaos or undamped oscillation."
        )

    def wrap(self, dynamics: simlearn.Dynamics) -> simlearn.Dynamics:
        """Parametrize every square layer of a map."""
        if not isinstance(dynamics, Map):
            raise ConfigError(
                f"SchurStable keeps the steps of a Map inside the unit disc, got "
                f"{type(dynamics).__name__}, a vector field. Take HurwitzStable."
            )
        return _square(self, dynamics, lambda: Schur(self.margin))


def _square(
    stabilizer: simlearn.Stabilizer, dynamics: simlearn.Dynamics, matrix: Callable[[], nn.Module]
) -> simlearn.Dynamics:
    """Constrain the square layers, and say where that says nothing of the dynamics."""
    every = linear_layers(dynamics)
    square = [one for one in every if one.in_features == one.out_features]
    constrained(stabilizer, dynamics, square, lambda one: parametrize(one, matrix()))
    if len(every) > 1:
        name, kind = type(stabilizer).__name__, type(dynamics).__name__
        warnings.warn(
            f"{name} holds {len(square)} of the {len(every)} layers of {kind}. The eigenvalues of "
            f"those matrices are bounded, not the stability of {kind}; only linear dynamics "
            "(LinearField, LinearMap) inherit it.",
            stacklevel=3,
        )
    return dynamics


def _refuse_map(stabilizer: simlearn.Stabilizer, dynamics: simlearn.Dynamics) -> None:
    if isinstance(dynamics, Map):
        raise ConfigError(
            f"{type(stabilizer).__name__} stabilizes fields, dx/dt = A x, got "
            f"{type(dynamics).__name__}, a map. Take SchurStable or SpectralNorm."
        )
