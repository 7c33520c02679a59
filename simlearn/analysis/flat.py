"""Simulators as plain functions: one system is one row of n numbers, many anchors are a batch."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from simlearn.component import ConfigError, DataError
from simlearn.dynamics.base import Dynamics, Map, Time
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory


class Motion(Protocol):
    """A step x ↦ F(x, t), or a field dx/dt = f(x, t): ``[anchors, n]`` to ``[anchors, n]``.

    Each anchor is answered by itself.
    """

    def __call__(self, x: Tensor, t: Time = 0.0, /) -> Tensor:
        """Where the anchors go, or how fast."""
        ...


def stepper(simulator: Simulator, topology: Topology | None = None) -> Motion:
    """One step of a simulator on flattened states, the integrator started anew.

    Steps in a row are a rollout where the start is a function of the state alone. A scheme that
    carries a copy of the state (Tao) makes another map of it; `doubled` is its own.

    Args:
        simulator: Of a field or a map, on vectors or on a graph.
        topology: Of one system, or of one for each anchor; a vector system where it is None. n is
            the rows of one times the columns.

    Raises:
        ConfigError: There are neither one nor as many systems as anchors.
    """
    one = Topology.isolated(1) if topology is None else topology

    def step(x: Tensor, t: Time = 0.0) -> Tensor:
        many = _for_all(one, x)
        return simulator.step(x.reshape(many.rows, -1), many, t).reshape(x.shape)

    return step


def doubled(simulator: Simulator, topology: Topology | None = None) -> Motion:
    """One step of state and copy, side by side, of a scheme whose carry begins with a copy.

    ``[anchors, 2n]`` to the same. What else is carried is a function of (q, copy of p), as in
    `Tao`, and is made anew.

    Raises:
        ConfigError: The scheme has no copy, or the systems are neither one nor one an anchor.
    """
    scheme, field = simulator.integrator, simulator.dynamics
    if scheme is None or not scheme.extended:
        raise ConfigError(f"{simulator.name} has no copy of its state; take `stepper`.")
    one = Topology.isolated(1) if topology is None else topology

    def step(both: Tensor, t: Time = 0.0) -> Tensor:
        many = _for_all(one, both)
        x, copy = (part.reshape(many.rows, -1) for part in both.chunk(2, dim=1))
        (q, _), (_, b) = x.chunk(2, dim=1), copy.chunk(2, dim=1)
        rest = scheme.start(field, t, torch.cat([q, b], dim=1), many)[1:]
        after, carry = scheme.step(field, t, x, simulator.dt, many, (copy, *rest))
        return torch.cat([y.reshape(len(both), -1) for y in (after, carry[0])], dim=1)

    return step


def slopes(dynamics: Dynamics, topology: Topology | None = None) -> Motion:
    """The vector field dx/dt on flattened states.

    Raises:
        ConfigError: The dynamics are a map, or the systems are neither one nor one an anchor.
    """
    if isinstance(dynamics, Map):
        raise ConfigError(f"{type(dynamics).__name__} is a map and has no slope; take `stepper`.")
    one = Topology.isolated(1) if topology is None else topology

    def slope(x: Tensor, t: Time = 0.0) -> Tensor:
        many = _for_all(one, x)
        return dynamics(t, x.reshape(many.rows, -1), many).reshape(x.shape)

    return slope


def scaled(motion: Motion, scale: Tensor) -> Motion:
    """The same motion in other units: z = x / scale, ``scale`` ``[n]``."""

    def moved(z: Tensor, t: Time = 0.0) -> Tensor:
        return motion(z * scale, t) / scale

    return moved


def states(trajectory: Trajectory) -> Tensor:
    """All states of a trajectory, ``[steps, systems, n]``.

    Raises:
        DataError: Its systems differ in size.
    """
    each = trajectory.topology.rows_each
    if each is None:
        raise DataError("The systems of a trajectory differ in size; analyse them one by one.")
    systems = trajectory.topology.num_systems
    return trajectory.x.reshape(trajectory.steps, systems, each * trajectory.dim)


def _for_all(one: Topology, x: Tensor) -> Topology:
    """A topology with a system for every anchor."""
    if one.num_systems == x.shape[0]:
        return one
    if one.num_systems != 1:
        raise ConfigError(
            f"The analysis wants the topology of one system, or of one for each of the "
            f"{x.shape[0]} anchors; got {one.num_systems} systems."
        )
    return one.repeat(x.shape[0])


def random_frame(anchors: int, n: int, count: int, seed: int) -> Tensor:
    """Orthonormal columns ``[anchors, n, count]``, float64, from a generator of their own."""
    rng = torch.Generator().manual_seed(seed)
    drawn = torch.randn(anchors, n, count, generator=rng, dtype=torch.float64)
    return torch.linalg.qr(drawn)[0]
