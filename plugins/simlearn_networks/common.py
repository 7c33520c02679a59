"""What several modules share: types, checked arguments, random draws."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from simlearn import ConfigError

Time = float | Tensor
# what the weight of an edge is divided by; see Topology.adjacency
Aggregation = Literal["sum", "mean", "symmetric", "graphon", "mean_degree"]

UNITS = {"time": ""}


def positive(**values: float) -> None:
    """Refuse arguments that are not above zero.

    Raises:
        ConfigError: One of them is zero, negative or NaN.
    """
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"{name} must be positive, got {value}.")


def not_negative(**values: float) -> None:
    """Refuse arguments below zero.

    Raises:
        ConfigError: One of them is negative or NaN.
    """
    for name, value in values.items():
        if not value >= 0:
            raise ConfigError(f"{name} must not be negative, got {value}. Zero switches it off.")


def at_least(least: int, **values: int) -> None:
    """Refuse counts that are too small.

    Raises:
        ConfigError: One of them is below ``least``.
    """
    for name, value in values.items():
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}.")


def share(**values: float) -> None:
    """Refuse what is no probability or share.

    Raises:
        ConfigError: One of them is not from 0 to 1.
    """
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"{name} must be from 0 to 1, got {value}.")


def uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Uniform numbers in [low, high), float64."""
    return low + (high - low) * torch.rand(*shape, generator=rng, dtype=torch.float64)


def normal(rng: torch.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def centred(value: Tensor) -> Tensor:
    """The rows less their mean, so that they add up to zero."""
    return value - value.mean(dim=0, keepdim=True)
