"""What several chaotic systems share: checked arguments, random draws, the way to the attractor."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from scipy.integrate import ODEintWarning, odeint
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology

Time = float | Tensor
# an equation is written once, for columns of a state as for single numbers
Number = TypeVar("Number", float, Tensor)
Array = TypeVar("Array", np.ndarray, Tensor)

UNITS = {"time": ""}
TOLERANCE = 1e-9


def positive(**values: float) -> None:
    """Refuse arguments that are not above zero.

    Raises:
        ConfigError: One of them is zero, negative or NaN.
    """
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"{name} must be positive, got {value}.")


def at_least(least: int, **values: int) -> None:
    """Refuse counts that are too small.

    Raises:
        ConfigError: One of them is below ``least``.
    """
    for name, value in values.items():
        if value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}.")


def uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Uniform numbers in [low, high), float64."""
    return low + (high - low) * torch.rand(*shape, generator=rng, dtype=torch.float64)


def relaxed(
    slope: Callable[[np.ndarray], Sequence[float] | np.ndarray], x0: Tensor, span: float
) -> Tensor:
    """Where a flow carries a single state ``[1, dim]`` in the time ``span``.

    By LSODA on plain numbers, ten times as fast as on tensors: a shard relaxes 64 starts.

    Raises:
        ConfigError: The state leaves every bound.
    """
    with warnings.catch_warnings(), np.errstate(over="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", ODEintWarning)  # its message is read below
        states, told = odeint(
            lambda x, t: slope(x),
            x0.squeeze(0).numpy(),
            [0.0, span],
            rtol=TOLERANCE,
            atol=TOLERANCE,
            mxstep=100_000,
            full_output=True,
        )
    if told["message"] != "Integration successful.":
        states = np.full_like(states, np.nan)
    return bounded(torch.from_numpy(states[-1:].copy()))


def iterated(law: simlearn.Map, x: Tensor, topology: Topology, steps: int) -> Tensor:
    """Where a map carries a state in so many steps.

    Raises:
        ConfigError: The state leaves every bound.
    """
    for _ in range(steps):
        x = law(0.0, x, 1.0, topology)
    return bounded(x)


def bounded(x: Tensor) -> Tensor:
    """The state, if it is finite.

    Raises:
        ConfigError: It is not.
    """
    if not bool(x.isfinite().all()):
        raise ConfigError(
            "With these parameters the starts do not stay bounded, so there is no attractor to "
            "draw from. Take parameters in the range of the good values."
        )
    return x
