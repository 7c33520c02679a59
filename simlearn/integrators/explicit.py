"""Explicit Runge-Kutta schemes."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry, Integrator, moved
from simlearn.state import Topology


class Euler(Integrator):
    """The explicit Euler scheme, order 1: x + dt f(t, x)."""

    order: ClassVar[int] = 1

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        return moved(x, field(t, x, topology), dt), carry


class Heun(Integrator):
    """Heun's scheme, order 2: the mean of the slopes at both ends (explicit trapezoid)."""

    order: ClassVar[int] = 2

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        first = field(t, x, topology)
        second = field(t + dt, moved(x, first, dt), topology)
        return moved(x, first + second, dt / 2), carry


class RK4(Integrator):
    """The classical Runge-Kutta scheme, order 4 (Kutta 1901). Energy drifts over long rollouts."""

    order: ClassVar[int] = 4

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        half = dt / 2
        k1 = field(t, x, topology)
        k2 = field(t + half, moved(x, k1, half), topology)
        k3 = field(t + half, moved(x, k2, half), topology)
        k4 = field(t + dt, moved(x, k3, dt), topology)
        return moved(x, k1 + 2 * (k2 + k3) + k4, dt / 6), carry
