"""Symplectic schemes for separable systems; the force of the last step is carried to the next."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from simlearn.dynamics.base import Time
from simlearn.integrators.base import Carry, SplitIntegrator, moved
from simlearn.state import Topology


class SymplecticEuler(SplitIntegrator):
    """Symplectic Euler, order 1: kick, then drift with the new momentum."""

    order: ClassVar[int] = 1
    reversible: ClassVar[bool] = False

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        q, p = x.chunk(2, dim=-1)
        p = moved(p, field.kick(t, q, topology), dt)
        return torch.cat([moved(q, field.drift(p, topology), dt), p], dim=-1), carry


class Leapfrog(SplitIntegrator):
    """Störmer-Verlet (kick, drift, kick), order 2, symplectic and reversible.

    Hairer, Lubich and Wanner 2006, eq. I.1.17. Each step needs one new force.
    """

    order: ClassVar[int] = 2

    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """The force where the rollout begins: every later step needs one new force only."""
        return (field.kick(t, x.chunk(2, dim=-1)[0], topology),)

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        q, p = x.chunk(2, dim=-1)
        q, p, force = _leap(field, t, q, p, carry[0], dt, topology)
        return torch.cat([q, p], dim=-1), (force,)


class Yoshida4(SplitIntegrator):
    """Three leapfrog steps of lengths (w₁, w₀, w₁)·dt, order 4 (Yoshida 1990, eq. 2.11).

    It is symplectic and reversible.
    """

    order: ClassVar[int] = 4

    _outer = 1 / (2 - 2 ** (1 / 3))
    _lengths = (_outer, 1 - 2 * _outer, _outer)

    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """The force where the rollout begins."""
        return (field.kick(t, x.chunk(2, dim=-1)[0], topology),)

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        q, p = x.chunk(2, dim=-1)
        force = carry[0]
        for length in self._lengths:
            q, p, force = _leap(field, t, q, p, force, length * dt, topology)
            t = t + length * dt
        return torch.cat([q, p], dim=-1), (force,)


def _leap(
    field: Any, t: Time, q: Tensor, p: Tensor, force: Tensor, dt: Time, topology: Topology
) -> tuple[Tensor, Tensor, Tensor]:
    half = 0.5 * dt
    p = moved(p, force, half)
    q = moved(q, field.drift(p, topology), dt)
    force = field.kick(t + dt, q, topology)
    return q, moved(p, force, half), force
