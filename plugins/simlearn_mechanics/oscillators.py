"""One degree of freedom: a mass on a spring, and a pendulum."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"{name} must be positive, got {value}.")


def _on_shell(rng: torch.Generator, low: float, high: float) -> tuple[Tensor, Tensor]:
    """An amplitude in [low, high] and a phase, both uniform."""
    amplitude = low + (high - low) * torch.rand(1, 1, generator=rng)
    return amplitude, 2 * torch.pi * torch.rand(1, 1, generator=rng)


class MassSpringLaw(simlearn.SplitField):
    """H(q, p) = p² / 2m + k q² / 2.

    Args:
        mass: m, in mass units.
        stiffness: k, in force per length.
    """

    def __init__(self, mass: float = 1.0, stiffness: float = 1.0):
        super().__init__()
        _positive(mass=mass, stiffness=stiffness)
        self.mass, self.stiffness = mass, stiffness
        self.dim = 2

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity, p / m."""
        return p / self.mass

    def kick(self, t: Any, q: Tensor, topology: Topology) -> Tensor:
        """−k q."""
        return -self.stiffness * q

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        each = p**2 / (2 * self.mass) + self.stiffness * q**2 / 2
        return topology.per_system(each.squeeze(-1))


class MassSpring(simlearn.System):
    """A mass on a spring, free oscillations of random amplitude and phase; x = (q, p).

    Args:
        mass: m, in mass units. Good values: 0.1 to 10.
        stiffness: k, in force per length. Good values: 0.1 to 10.
        amplitude: Largest amplitude, in length; the smallest is a fifth of it. Good values: 0.1 to
            2.
    """

    def __init__(self, mass: float = 1.0, stiffness: float = 1.0, amplitude: float = 1.0):
        _positive(mass=mass, stiffness=stiffness, amplitude=amplitude)
        self.mass, self.stiffness, self.amplitude = mass, stiffness, amplitude

    def truth(self) -> MassSpringLaw:
        """Hooke's law."""
        return MassSpringLaw(self.mass, self.stiffness)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point of a random ellipse."""
        amplitude, phase = _on_shell(rng, self.amplitude / 5, self.amplitude)
        momentum = amplitude * (self.mass * self.stiffness) ** 0.5
        x = torch.cat([amplitude * phase.cos(), momentum * phase.sin()], dim=-1)
        return x, Topology.isolated(1)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy."""
        return {"energy": self.truth().energy}

    def units(self) -> Mapping[str, str]:
        """Whatever mass and stiffness are given in."""
        return {"time": "", "position": "", "momentum": ""}


class PendulumLaw(simlearn.SplitField):
    """H(q, p) = p² / 2ml² + m g l (1 − cos q).

    Args:
        mass: m, in mass units.
        length: l, in length units.
        gravity: g, in length/time².
    """

    def __init__(self, mass: float = 1.0, length: float = 1.0, gravity: float = 1.0):
        super().__init__()
        _positive(mass=mass, length=length, gravity=gravity)
        self.mass, self.length, self.gravity = mass, length, gravity
        self.dim = 2

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The angular velocity, p / (m l²)."""
        return p / (self.mass * self.length**2)

    def kick(self, t: Any, q: Tensor, topology: Topology) -> Tensor:
        """−m g l sin q."""
        return -self.mass * self.gravity * self.length * torch.sin(q)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        kinetic = p**2 / (2 * self.mass * self.length**2)
        each = kinetic + self.mass * self.gravity * self.length * (1 - torch.cos(q))
        return topology.per_system(each.squeeze(-1))


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
        _positive(mass=mass, length=length, gravity=gravity, amplitude=amplitude)
        if amplitude >= torch.pi:
            raise ConfigError(
                f"amplitude must stay below π, or the pendulum turns over; got {amplitude}."
            )
        self.mass, self.length, self.gravity, self.amplitude = mass, length, gravity, amplitude

    def truth(self) -> PendulumLaw:
        """Newton's law for the angle."""
        return PendulumLaw(self.mass, self.length, self.gravity)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random energy and a random share of it in motion."""
        amplitude, phase = _on_shell(rng, self.amplitude / 5, self.amplitude)
        angle = amplitude * phase.cos()
        speed2 = 2 * self.gravity / self.length * (angle.cos() - amplitude.cos())
        momentum = self.mass * self.length**2 * speed2.clamp_min(0).sqrt() * phase.sin().sign()
        return torch.cat([angle, momentum], dim=-1), Topology.isolated(1)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy."""
        return {"energy": self.truth().energy}

    def units(self) -> Mapping[str, str]:
        """An angle in radians; the rest in what mass, length and gravity are given in."""
        return {"time": "", "position": "rad", "momentum": ""}
