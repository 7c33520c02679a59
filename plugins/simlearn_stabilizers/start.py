"""A start from which every direction contracts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

import simlearn
from simlearn import ConfigError, Simulator, Trajectory
from simlearn.analysis.contraction import log_norm, norm
from simlearn.dynamics import Dynamics, Flattened, LinearField, LinearMap, MLPField, ResidualMap


class StableInitialization(simlearn.Stabilizer):
    """Starts a network where every direction of every subspace contracts.

    What the data never show keeps the response it was drawn with, compressed to those directions:
    Nᵀ W₀ N. Stable eigenvalues of W₀ do not help, nor do row sums (Gershgorin): the numerical range
    must lie to the left, W₀ + W₀ᵀ < 0 for a field, ‖W₀‖ < 1 for a map. A tanh network starts as
    the gradient of a bowl, f(x) = −κ W₁⁺ tanh(... tanh(W₁ x)) with orthogonal columns W₁ and hidden
    layers that pass on, so that its Jacobian −κ W₁ᵀ D W₁ is negative definite at every state.

    Plain gradient descent, with or without momentum, leaves it so where there are no data. Adam
    and RMSprop do not: they move every weight of a neuron by about the same step. Weight decay
    shrinks it. Put it after Standardize.

    Args:
        rate: κ, the rate at which the untrained model contracts, 1/time.
        gain: Size of the columns of W₁ in units of the spread: small keeps tanh nearly linear.
    """

    def __init__(self, rate: float = 1.0, gain: float = 0.5):
        if not rate > 0 or not gain > 0:
            raise ConfigError(
                f"StableInitialization needs a positive rate and gain, got {rate} and {gain}."
            )
        self.rate, self.gain = rate, gain

    @property
    def bias(self) -> str:
        """What it does, in a sentence."""
        return (
            "None on what the data teach, in the end: directions without data contract at about "
            f"{self.rate:g} per time, as long as the optimizer leaves them alone (plain gradient "
            "descent does, Adam does not)."
        )

    def prepare(self, simulator: Simulator, training: Sequence[Trajectory]) -> None:
        """Set the weights.

        Raises:
            ConfigError: The dynamics are none that it knows, or too narrow, or a step is too long.
        """
        dynamics = simulator.dynamics
        while isinstance(dynamics, Flattened):
            dynamics = dynamics.field
        with torch.no_grad():
            if isinstance(dynamics, LinearField):
                self._field(dynamics.linear)
            elif isinstance(dynamics, LinearMap):
                self._map(dynamics.linear, simulator.dt)
            else:
                self._network(dynamics, simulator.dt)

    def _field(self, layer: nn.Linear) -> None:
        """A − (μ₂(A) + κ) 1: the same draw, shifted until its numerical range is stable."""
        weight = layer.weight
        excess = log_norm(weight) + self.rate
        _put(layer, weight - excess.clamp_min(0.0) * torch.eye(len(weight)).to(weight))

    def _map(self, layer: nn.Linear, dt: float) -> None:
        """The same draw, shrunk to the norm exp(−κ dt)."""
        weight = layer.weight
        _put(layer, weight * (math.exp(-self.rate * dt) / norm(weight)).clamp(max=1.0))

    def _network(self, dynamics: Dynamics, dt: float) -> None:
        spread, rate = _scales(dynamics, dt, self.rate)
        layers = [one for one in dynamics.net.layers if isinstance(one, nn.Linear)]  # type: ignore[union-attr]
        first, *hidden, last = layers
        if first.out_features < first.in_features:
            raise ConfigError(
                f"StableInitialization needs at least as many neurons as columns, got "
                f"{first.out_features} for {first.in_features}."
            )
        columns = torch.linalg.qr(first.weight)[0]
        _put(first, self.gain * columns)
        for one in hidden:
            _put(one, torch.eye(one.out_features).to(one.weight))
        _put(last, -self.rate / self.gain * (spread / rate)[:, None] * columns.T)
        for one in layers:
            if one.bias is not None:
                one.bias.zero_()


def _put(layer: nn.Linear, value: Tensor) -> None:
    """Set a weight, also where a constraint stands before it.

    Raises:
        ConfigError: The constraint turns it into another matrix; a smaller one is all right.
    """
    if not is_parametrized(layer, "weight"):
        layer.weight.copy_(value)
        return
    layer.weight = value  # goes through the constraint's inverse
    size = layer.weight.norm() * value.norm()
    if float((layer.weight * value).sum()) < (1 - 1e-6) * float(size):
        raise ConfigError(
            "StableInitialization cannot start from its weights: another stabilizer constrains "
            f"the layer of {list(value.shape)} to other matrices. Take one of the two."
        )


def _scales(dynamics: Dynamics, dt: float, rate: float) -> tuple[Tensor, Tensor]:
    """Spread of the inputs and unit of the outputs of the network inside, ``[dim]``.

    Raises:
        ConfigError: The dynamics hold no such network, or contract by more than a state in a step.
    """
    if isinstance(dynamics, MLPField) and not dynamics.second_order:
        if dynamics.inputs or dynamics.attributes:
            raise ConfigError(
                "StableInitialization knows networks of the state alone, not of inputs and "
                "parameters. Leave it out, or add NoiseInjection instead."
            )
        return dynamics.spread, dynamics.rate
    if isinstance(dynamics, ResidualMap):
        if rate * dt >= 1:
            raise ConfigError(
                f"A rate of {rate:g} takes a state back by {rate * dt:g} of itself in a step of "
                f"{dt:g}. Take a rate below {1 / dt:g}."
            )
        one = next(dynamics.parameters()).new_ones(dynamics.dim)  # type: ignore[arg-type]
        return one, one
    raise ConfigError(
        "StableInitialization knows MLPField (of first order), ResidualMap, LinearField and "
        f"LinearMap, got {type(dynamics).__name__}. Leave it out, or add NoiseInjection instead."
    )
