"""What several systems of mechanics share: checked arguments, random draws, control forces."""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn import ConfigError, Graph, Invariant, Topology

Time = float | Tensor


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


def below(limit: float, why: str, **values: float) -> None:
    """Refuse arguments that reach a limit.

    Raises:
        ConfigError: One of them is not below ``limit``.
    """
    for name, value in values.items():
        if not value < limit:
            raise ConfigError(f"{name} must stay below {limit:.6g}, {why}; got {value}.")


def uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Uniform numbers in [low, high)."""
    return low + (high - low) * torch.rand(*shape, generator=rng)


def amplitude_and_phase(rng: torch.Generator, largest: float) -> tuple[Tensor, Tensor]:
    """An amplitude from a fifth of the largest up, and a phase, both uniform, ``[1, 1]``."""
    amplitude = uniform(rng, largest / 5, largest, 1, 1)
    return amplitude, 2 * torch.pi * torch.rand(1, 1, generator=rng)


def pushed(force: Tensor, topology: Topology) -> Tensor:
    """A force with the control input that acts now, if any, ``[rows, u]``.

    Raises:
        ConfigError: The inputs have another shape than the force.
    """
    if topology.inputs is None:
        return force
    if topology.inputs.shape != force.shape:
        raise ConfigError(
            f"The control input must be {list(force.shape)}, one value for each coordinate of each "
            f"row, got {list(topology.inputs.shape)}."
        )
    return force + topology.inputs


def random_levels(rng: torch.Generator, steps: int, rows: int, largest: float, hold: int) -> Tensor:
    """Uniform levels in [−largest, largest], each held for ``hold`` samples, ``[steps, rows, 1]``.

    Such a signal excites all frequencies below that of the hold (Ljung, System Identification,
    1999, ch. 13).
    """
    levels = uniform(rng, -largest, largest, -(-steps // hold), rows, 1)
    return levels.repeat_interleave(hold, dim=0)[:steps]


def undirected(pairs: Tensor, rows: int) -> Graph:
    """The symmetric graph of undirected pairs ``[2, pairs]``: first one way, then the other."""
    return Graph(torch.cat([pairs, pairs.flip(0)], dim=1), rows)


def bond_forces(tension: Tensor, topology: Topology) -> Tensor:
    """Forces of stretched bonds, one a directed edge: ``[E, columns]`` to ``[rows, columns]``.

    A positive tension draws the source forward and the target back, so the forces add up to zero.
    """
    source, target = topology.graph.edge_index
    none = tension.new_zeros((topology.rows, tension.shape[-1]))
    return none.index_add(0, source, tension).index_add(0, target, tension, alpha=-1)


def per_edge(value: Tensor, topology: Topology) -> Tensor:
    """Sum over the edges of each system, ``[E]`` to ``[systems]``."""
    none = value.new_zeros(topology.num_systems)
    return none.index_add(0, topology.system[topology.graph.edge_index[0]], value)


def total(column: int) -> Invariant:
    """The sum of one column of the state, such as a component of the momentum."""
    return lambda x, topology: topology.per_system(x[:, column])
