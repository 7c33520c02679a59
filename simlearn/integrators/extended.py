"""Tao's scheme: explicit and symplectic where the energy does not split."""

from __future__ import annotations

import math
from types import UnionType
from typing import Any, ClassVar

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry, Energetic, Integrator, moved
from simlearn.state import Topology

OUTER = 1 / (2 - 2 ** (1 / 3))
TRIPLE = (OUTER, 1 - 2 * OUTER, OUTER)  # Yoshida 1990, eq. 2.11


class Tao(Integrator):
    """An explicit symplectic scheme for any Hamiltonian, order 2.

    The state (q, p) is given a copy (a, b) and both move under
    H(q, b) + H(a, p) + ω (|q − a|² + |p − b|²)/2, whose three parts are solved exactly in turn
    (Tao 2016, eqs. 1 to 4). The copy is the carry: the scheme is symplectic and reversible on
    state and copy together. Three slopes a step.

    Implicit midpoint is symplectic on the state itself; this is cheaper where a slope is expensive.

    Args:
        omega: How tightly state and copy are bound, in 1 / time. Too loose and they part, too tight
            and the error grows with omega · dt². Good values: 1 to 20, omega · dt below about 1.

    Raises:
        ConfigError: ``omega`` is not positive.
    """

    order: ClassVar[int] = 2
    symplectic: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    extended: ClassVar[bool] = True
    needs: ClassVar[type | UnionType] = Energetic

    def __init__(self, omega: float = 5.0):
        self.omega = _bound(omega)

    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """The copy, and the slope where the first part of the energy is looked at."""
        return x, field(t, x, topology)

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        return _bound_steps((1.0,), self.omega, field, t, x, dt, topology, carry)


class Tao4(Integrator):
    """Three steps of `Tao` of lengths (w₁, w₀, w₁)·dt, order 4 (Tao 2016, eq. 5).

    Symplectic and reversible on state and copy together. Nine slopes a step.

    Args:
        omega: How tightly state and copy are bound, in 1 / time. Good values: 1 to 20, omega · dt
            below about 0.5.

    Raises:
        ConfigError: ``omega`` is not positive.
    """

    order: ClassVar[int] = 4
    symplectic: ClassVar[bool] = True
    reversible: ClassVar[bool] = True
    extended: ClassVar[bool] = True
    needs: ClassVar[type | UnionType] = Energetic

    def __init__(self, omega: float = 5.0):
        self.omega = _bound(omega)

    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """The copy, and the slope where the first part of the energy is looked at."""
        return x, field(t, x, topology)

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        return _bound_steps(TRIPLE, self.omega, field, t, x, dt, topology, carry)


def _bound(omega: float) -> float:
    if not math.isfinite(omega) or omega <= 0:
        raise ConfigError(f"omega must be positive and finite, got {omega}. Try 5.")
    return omega


def _bound_steps(
    lengths: tuple[float, ...],
    omega: float,
    field: Any,
    t: Time,
    x: Tensor,
    dt: Time,
    topology: Topology,
    carry: Carry,
) -> tuple[Tensor, Carry]:
    """Strang steps of so many dt, in u = (q, b) and v = (a, p).

    H(q, b) moves v by the slope at u, H(a, p) moves u by the slope at v, and the spring between
    the copies turns u − v by 2 ω dt.
    """
    (q, p), (a, b), slope = x.chunk(2, dim=-1), carry[0].chunk(2, dim=-1), carry[1]
    u, v = torch.cat([q, b], dim=-1), torch.cat([a, p], dim=-1)
    for length in lengths:
        h = length * dt
        half = 0.5 * h
        v = moved(v, slope, half)
        u = moved(u, field(t + half, v, topology), half)
        u, v = _turned(u, v, 2 * omega * h)
        u = moved(u, field(t + half, v, topology), half)
        t = t + h
        slope = field(t, u, topology)
        v = moved(v, slope, half)
    (q, b), (a, p) = u.chunk(2, dim=-1), v.chunk(2, dim=-1)
    return torch.cat([q, p], dim=-1), (torch.cat([a, b], dim=-1), slope)


def _turned(u: Tensor, v: Tensor, angle: Time) -> tuple[Tensor, Tensor]:
    """The mean of both stays, the difference turns."""
    if isinstance(angle, Tensor):
        cos, sin = angle.cos(), angle.sin()
    else:
        cos, sin = math.cos(angle), math.sin(angle)  # type: ignore[assignment]
    total, (first, second) = u + v, (u - v).chunk(2, dim=-1)
    apart = torch.cat([cos * first - sin * second, sin * first + cos * second], dim=-1)
    return (total + apart) / 2, (total - apart) / 2
