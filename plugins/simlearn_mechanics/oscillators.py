"""A mass on a spring: free, damped, driven."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_mechanics.common import (
    Time,
    amplitude_and_phase,
    at_least,
    not_negative,
    positive,
    pushed,
    random_levels,
)

UNITS = {"time": "", "position": "", "momentum": ""}


class MassSpringLaw(simlearn.SplitField):
    """H(q, p) = p² / 2m + k q² / 2.

    Args:
        mass: m, in mass units.
        stiffness: k, in force per length.
    """

    def __init__(self, mass: float = 1.0, stiffness: float = 1.0):
        super().__init__()
        positive(mass=mass, stiffness=stiffness)
        self.mass, self.stiffness = mass, stiffness
        self.dim = 2

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity, p / m."""
        return p / self.mass

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−k q."""
        return -self.stiffness * q

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        each = p**2 / (2 * self.mass) + self.stiffness * q**2 / 2
        return topology.per_system(each.squeeze(-1))


def _start(
    rng: torch.Generator, mass: float, stiffness: float, largest: float
) -> tuple[Tensor, Topology]:
    """A random point of a random ellipse."""
    amplitude, phase = amplitude_and_phase(rng, largest)
    momentum = amplitude * (mass * stiffness) ** 0.5
    x = torch.cat([amplitude * phase.cos(), momentum * phase.sin()], dim=-1)
    return x, Topology.isolated(1)


class MassSpring(simlearn.System):
    """A mass on a spring, free oscillations of random amplitude and phase; x = (q, p).

    Args:
        mass: m, in mass units. Good values: 0.1 to 10.
        stiffness: k, in force per length. Good values: 0.1 to 10.
        amplitude: Largest amplitude, in length; the smallest is a fifth of it. Good values: 0.1 to
            2.
    """

    def __init__(self, mass: float = 1.0, stiffness: float = 1.0, amplitude: float = 1.0):
        positive(mass=mass, stiffness=stiffness, amplitude=amplitude)
        self.mass, self.stiffness, self.amplitude = mass, stiffness, amplitude

    def truth(self) -> MassSpringLaw:
        """Hooke's law."""
        return MassSpringLaw(self.mass, self.stiffness)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point of a random ellipse."""
        return _start(rng, self.mass, self.stiffness, self.amplitude)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy."""
        return {"energy": self.truth().energy}

    def units(self) -> Mapping[str, str]:
        """Whatever mass and stiffness are given in."""
        return UNITS


class DampedMassSpringLaw(simlearn.VectorField):
    """dq/dt = p / m, dp/dt = −k q − γ p + u: linear friction, and a control force where one acts.

    u is the control input of the topology, ``[rows, 1]``; without one it is zero.

    Args:
        mass: m, in mass units.
        stiffness: k, in force per length.
        damping: γ, in 1/time.
    """

    def __init__(self, mass: float = 1.0, stiffness: float = 1.0, damping: float = 0.1):
        super().__init__()
        positive(mass=mass, stiffness=stiffness)
        not_negative(damping=damping)
        self.mass, self.stiffness, self.damping = mass, stiffness, damping
        self.dim = 2

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """(velocity, force)."""
        q, p = x.chunk(2, dim=-1)
        force = pushed(-self.stiffness * q - self.damping * p, topology)
        return torch.cat([p / self.mass, force], dim=-1)


class DampedMassSpring(simlearn.System):
    """A mass on a spring with linear friction, from random amplitude and phase; x = (q, p).

    q'' + γ q' + (k/m) q = 0; the energy falls as exp(−γ t) on average where γ is small.

    Args:
        mass: m, in mass units. Good values: 0.1 to 10.
        stiffness: k, in force per length. Good values: 0.1 to 10.
        damping: γ, in 1/time; 2 √(k/m) is critical. Good values: 0.01 to 0.5.
        amplitude: Largest amplitude at the start, in length; the smallest is a fifth of it. Good
            values: 0.1 to 2.
    """

    def __init__(
        self,
        mass: float = 1.0,
        stiffness: float = 1.0,
        damping: float = 0.1,
        amplitude: float = 1.0,
    ):
        positive(mass=mass, stiffness=stiffness, amplitude=amplitude)
        not_negative(damping=damping)
        self.mass, self.stiffness, self.damping = mass, stiffness, damping
        self.amplitude = amplitude

    def truth(self) -> DampedMassSpringLaw:
        """Hooke's law with friction."""
        return DampedMassSpringLaw(self.mass, self.stiffness, self.damping)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point of a random ellipse."""
        return _start(rng, self.mass, self.stiffness, self.amplitude)

    def units(self) -> Mapping[str, str]:
        """Whatever mass and stiffness are given in."""
        return UNITS


class DrivenMassSpring(simlearn.System):
    """A mass on a spring under a random control force, with linear friction; x = (q, p).

    q'' + γ q' + (k/m) q = u/m with u held between samples. The trajectories carry u as ``inputs``.

    Args:
        mass: m, in mass units. Good values: 0.1 to 10.
        stiffness: k, in force per length. Good values: 0.1 to 10.
        damping: γ, in 1/time; 0 is none. Good values: 0 to 0.5.
        amplitude: Largest amplitude at the start, in length; the smallest is a fifth of it. Good
            values: 0.1 to 2.
        force: Largest control force, either way. Good values: 0.1 to 1 times stiffness times
            amplitude.
        hold: Samples between changes of the force. Good values: 1 to 20.
    """

    def __init__(
        self,
        mass: float = 1.0,
        stiffness: float = 1.0,
        damping: float = 0.1,
        amplitude: float = 1.0,
        force: float = 0.5,
        hold: int = 5,
    ):
        positive(mass=mass, stiffness=stiffness, amplitude=amplitude, force=force)
        not_negative(damping=damping)
        at_least(1, hold=hold)
        self.mass, self.stiffness, self.damping = mass, stiffness, damping
        self.amplitude, self.force, self.hold = amplitude, force, hold

    def truth(self) -> DampedMassSpringLaw:
        """Hooke's law with friction and the control force."""
        return DampedMassSpringLaw(self.mass, self.stiffness, self.damping)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point of a random ellipse."""
        return _start(rng, self.mass, self.stiffness, self.amplitude)

    def inputs(self, times: Tensor, rng: torch.Generator) -> Tensor:
        """Random levels, ``[steps, 1, 1]``."""
        return random_levels(rng, len(times), 1, self.force, self.hold)

    def units(self) -> Mapping[str, str]:
        """Whatever mass and stiffness are given in."""
        return UNITS
