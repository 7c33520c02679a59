"""Putting constraints on the linear layers of dynamics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

import simlearn
from simlearn import ConfigError


def linear_layers(dynamics: simlearn.Dynamics) -> list[nn.Linear]:
    """All nn.Linear of the dynamics."""
    return [one for one in dynamics.modules() if isinstance(one, nn.Linear)]


def parametrize(layer: nn.Linear, matrix: nn.Module) -> None:
    """Let the weight be what ``matrix`` makes of its free numbers."""
    register_parametrization(layer, "weight", matrix)


def constrained(
    stabilizer: simlearn.Stabilizer,
    dynamics: simlearn.Dynamics,
    layers: Sequence[nn.Linear],
    constrain: Callable[[nn.Linear], None],
) -> simlearn.Dynamics:
    """The dynamics with these layers constrained.

    Raises:
        ConfigError: There are none, or one is constrained already.
    """
    name, kind = type(stabilizer).__name__, type(dynamics).__name__
    if not layers:
        wanted = "nn.Linear layers" if not linear_layers(dynamics) else "square nn.Linear layers"
        raise ConfigError(
            f"{name} needs dynamics with {wanted}, such as MLPField or LinearField, and {kind} has "
            "none. Leave it out of `stabilizers`."
        )
    if any(is_parametrized(one, "weight") for one in layers):
        raise ConfigError(
            f"{name} found layers of {kind} that are constrained already. Give one constraint of "
            "matrices only, and build the dynamics anew after a training that was broken off."
        )
    for layer in layers:
        constrain(layer)
    return dynamics
