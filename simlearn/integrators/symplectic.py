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
    lengths: ClassVar[tuple[float, ...]] = (1.0,)

    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """The force where the rollout begins: every later step needs one new force only."""
        return _force(field, t, x, topology)

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        return _composed(self.lengths, field, t, x, dt, topology, carry)


class Yoshida4(SplitIntegrator):
    """Three leapfrog steps of lengths (w₁, w₀, w₁)·dt, order 4 (Yoshida 1990, eq. 2.11).

    It is symplectic and reversible.
    """

    order: ClassVar[int] = 4

    _outer = 1 / (2 - 2 ** (1 / 3))
    lengths: ClassVar[tuple[float, ...]] = (_outer, 1 - 2 * _outer, _outer)

    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """The force where the rollout begins."""
        return _force(field, t, x, topology)

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        return _composed(self.lengths, field, t, x, dt, topology, carry)


class Yoshida6(SplitIntegrator):
    """Seven leapfrog steps of lengths (w₃, w₂, w₁, w₀, w₁, w₂, w₃)·dt, order 6.

    It is symplectic and reversible. Yoshida 1990, solution A of table 1, with the digits of Hairer,
    Lubich and Wanner 2006, eq. V.3.11. Worth its seven forces a step where the orbit is smooth and
    the error asked for is small.
    """

    order: ClassVar[int] = 6

    _three, _two, _one = 0.78451361047755726, 0.23557321335935813, -1.17767998417887101
    _half = (_three, _two, _one)
    lengths: ClassVar[tuple[float, ...]] = (*_half, 1 - 2 * (_three + _two + _one), *_half[::-1])

    def start(self, field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
        """The force where the rollout begins."""
        return _force(field, t, x, topology)

    def step(
        self, field: Any, t: Time, x: Tensor, dt: Time, topology: Topology, carry: Carry
    ) -> tuple[Tensor, Carry]:
        """One step."""
        return _composed(self.lengths, field, t, x, dt, topology, carry)


def _force(field: Any, t: Time, x: Tensor, topology: Topology) -> Carry:
    return (field.kick(t, x.chunk(2, dim=-1)[0], topology),)


def _composed(
    lengths: tuple[float, ...],
    field: Any,
    t: Time,
    x: Tensor,
    dt: Time,
    topology: Topology,
    carry: Carry,
) -> tuple[Tensor, Carry]:
    """Leapfrog steps of so many dt, one after the other."""
    q, p = x.chunk(2, dim=-1)
    force = carry[0]
    for length in lengths:
        h = length * dt
        half = 0.5 * h
        p = moved(p, force, half)
        q = moved(q, field.drift(p, topology), h)
        t = t + h
        force = field.kick(t, q, topology)
        p = moved(p, force, half)
    return torch.cat([q, p], dim=-1), (force,)
