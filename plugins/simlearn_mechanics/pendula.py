"""A plane pendulum: free, damped, driven."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_mechanics.common import (
    Time,
    amplitude_and_phase,
    at_least,
    not_negative,
    positive,
    pushed,
    random_levels,
)

UNITS = {"time": "", "position": "rad", "momentum": ""}


class PendulumLaw(simlearn.SplitField):
    """H(q, p) = p² / 2ml² + m g l (1 − cos q).

    Args:
        mass: m, in mass units.
        length: l, in length units.
        gravity: g, in length/time².
    """

    def __init__(self, mass: float = 1.0, length: float = 1.0, gravity: float = 1.0):
        super().__init__()
        positive(mass=mass, length=length, gravity=gravity)
        self.mass, self.length, self.gravity = mass, length, gravity
        self.dim = 2

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The angular velocity, p / (m l²)."""
        return p / (self.mass * self.length**2)

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−m g l sin q."""
        return -self.mass * self.gravity * self.length * torch.sin(q)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        kinetic = p**2 / (2 * self.mass * self.length**2)
        each = kinetic + self.mass * self.gravity * self.length * (1 - torch.cos(q))
        return topology.per_system(each.squeeze(-1))


def _start(
    rng: torch.Generator, mass: float, length: float, gravity: float, largest: float
) -> tuple[Tensor, Topology]:
    """A random energy and a random share of it in motion."""
    amplitude, phase = amplitude_and_phase(rng, largest)
    angle = amplitude * phase.cos()
    speed2 = 2 * gravity / length * (angle.cos() - amplitude.cos())
    momentum = mass * length**2 * speed2.clamp_min(0).sqrt() * phase.sin().sign()
    return torch.cat([angle, momentum], dim=-1), Topology.isolated(1)


def _below_the_top(amplitude: float) -> None:
    if amplitude >= torch.pi:
        raise ConfigError(
            f"amplitude must stay below π, or the pendulum turns over; got {amplitude}."
        )


class Pendulum(simlearn.System):
    """A plane pendulum released at rest or in motion, never over the top.

    The state is (angle, angular momentum).

    Args:
        mass: m, in mass units. Good values: 0.1 to 10.
        length: l, in length units. Good values: 0.1 to 10.
        gravity: g, in length/time². Good values: 0.1 to 10.
        amplitude: Largest angle reached, in radians; the smallest is a fifth of it. Good values:
            0.5 to 2.8.
    """

    def __init__(
        self, mass: float = 1.0, length: float = 1.0, gravity: float = 1.0, amplitude: float = 2.0
    ):
        positive(mass=mass, length=length, gravity=gravity, amplitude=amplitude)
        _below_the_top(amplitude)
        self.mass, self.length, self.gravity, self.amplitude = mass, length, gravity, amplitude

    def truth(self) -> PendulumLaw:
        """Newton's law for the angle."""
        return PendulumLaw(self.mass, self.length, self.gravity)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random energy and a random share of it in motion."""
        return _start(rng, self.mass, self.length, self.gravity, self.amplitude)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy."""
        return {"energy": self.truth().energy}

    def units(self) -> Mapping[str, str]:
        """An angle in radians; the rest in what mass, length and gravity are given in."""
        return UNITS


class DampedPendulumLaw(simlearn.VectorField):
    """dq/dt = p / ml², dp/dt = −m g l sin q − γ p + u: friction, and a torque where one acts.

    u is the control input of the topology, ``[rows, 1]``; without one it is zero.

    Args:
        mass: m, in mass units.
        length: l, in length units.
        gravity: g, in length/time².
        damping: γ, in 1/time.
    """

    def __init__(
        self, mass: float = 1.0, length: float = 1.0, gravity: float = 1.0, damping: float = 0.1
    ):
        super().__init__()
        positive(mass=mass, length=length, gravity=gravity)
        not_negative(damping=damping)
        self.mass, self.length, self.gravity, self.damping = mass, length, gravity, damping
        self.dim = 2

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """(angular velocity, torque)."""
        q, p = x.chunk(2, dim=-1)
        weight = -self.mass * self.gravity * self.length * torch.sin(q)
        torque = pushed(weight - self.damping * p, topology)
        return torch.cat([p / (self.mass * self.length**2), torque], dim=-1)


class DampedPendulum(simlearn.System):
    """A plane pendulum with linear friction, from below the top; x = (angle, angular momentum).

    q'' + γ q' + (g/l) sin q = 0.

    Args:
        mass: m, in mass units. Good values: 0.1 to 10.
        length: l, in length units. Good values: 0.1 to 10.
        gravity: g, in length/time². Good values: 0.1 to 10.
        damping: γ, in 1/time. Good values: 0.01 to 0.5.
        amplitude: Largest angle that the start would reach without friction, in radians; the
            smallest is a fifth of it. Good values: 0.5 to 2.8.
    """

    def __init__(
        self,
        mass: float = 1.0,
        length: float = 1.0,
        gravity: float = 1.0,
        damping: float = 0.1,
        amplitude: float = 2.0,
    ):
        positive(mass=mass, length=length, gravity=gravity, amplitude=amplitude)
        not_negative(damping=damping)
        _below_the_top(amplitude)
        self.mass, self.length, self.gravity = mass, length, gravity
        self.damping, self.amplitude = damping, amplitude

    def truth(self) -> DampedPendulumLaw:
        """Newton's law for the angle, with friction."""
        return DampedPendulumLaw(self.mass, self.length, self.gravity, self.damping)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random energy and a random share of it in motion."""
        return _start(rng, self.mass, self.length, self.gravity, self.amplitude)

    def units(self) -> Mapping[str, str]:
        """An angle in radians; the rest in what mass, length and gravity are given in."""
        return UNITS


class DrivenPendulum(simlearn.System):
    """A plane pendulum under a random control torque, with friction; x = (angle, momentum).

    q'' + γ q' + (g/l) sin q = u/ml² with u held between samples. The trajectories carry u as
    ``inputs``. The angle is not wrapped: a strong torque may carry it over the top.

    Args:
        mass: m, in mass units. Good values: 0.1 to 10.
        length: l, in length units. Good values: 0.1 to 10.
        gravity: g, in length/time². Good values: 0.1 to 10.
        damping: γ, in 1/time; 0 is none. Good values: 0 to 0.5.
        amplitude: Largest angle that the start alone would reach, in radians; the smallest is a
            fifth of it. Good values: 0.5 to 2.8.
        torque: Largest control torque, either way. Good values: 0.1 to 1 times m g l.
        hold: Samples between changes of the torque. Good values: 1 to 20.
    """

    def __init__(
        self,
        mass: float = 1.0,
        length: float = 1.0,
        gravity: float = 1.0,
        damping: float = 0.1,
        amplitude: float = 2.0,
        torque: float = 0.5,
        hold: int = 5,
    ):
        positive(mass=mass, length=length, gravity=gravity, amplitude=amplitude, torque=torque)
        not_negative(damping=damping)
        at_least(1, hold=hold)
        _below_the_top(amplitude)
        self.mass, self.length, self.gravity = mass, length, gravity
        self.damping, self.amplitude, self.torque, self.hold = damping, amplitude, torque, hold

    def truth(self) -> DampedPendulumLaw:
        """Newton's law for the angle, with friction and the control torque."""
        return DampedPendulumLaw(self.mass, self.length, self.gravity, self.damping)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random energy and a random share of it in motion."""
        return _start(rng, self.mass, self.length, self.gravity, self.amplitude)

    def inputs(self, times: Tensor, rng: torch.Generator) -> Tensor:
        """Random levels, ``[steps, 1, 1]``."""
        return random_levels(rng, len(times), 1, self.torque, self.hold)

    def units(self) -> Mapping[str, str]:
        """An angle in radians; the rest in what mass, length and gravity are given in."""
        return UNITS
