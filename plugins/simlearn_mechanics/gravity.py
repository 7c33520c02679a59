"""Gravity between many bodies, one row a body; x = (q, v)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Self

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn.dynamics import PairField
from simlearn_mechanics.common import at_least, below, not_negative, positive, uniform

UNITS = {"time": "", "position": "", "velocity": ""}


class GravityLaw(PairField):
    """Newton's law with Plummer softening, f(r) = G r / (r² + ε²)^(3/2); x = (q, v).

    The potential is −G / √(r² + ε²). Plummer 1911 (MNRAS 71, 460).

    Args:
        names: Bodies, in the order of the data's node types.
        mass: Mass of each body.
        gravity: G, in length³ / (mass · time²).
        softening: ε, in length units; 0 is Newton's law.
    """

    _mass: Tensor

    def __init__(
        self,
        names: Sequence[str],
        mass: Sequence[float],
        gravity: float = 1.0,
        softening: float = 0.0,
    ):
        super().__init__()
        if len(names) != len(mass):
            raise ConfigError(
                f"GravityLaw was given {len(names)} names and {len(mass)} masses; one each."
            )
        for each in mass:
            positive(mass=each)
        positive(gravity=gravity)
        not_negative(softening=softening)
        self.names, self.mass = tuple(names), tuple(mass)
        self.gravity, self.softening = gravity, softening
        self.register_buffer("_mass", torch.tensor(self.mass, dtype=torch.float64))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A star and two planets, hard and soft."""
        names, mass = ("star", "near", "far"), (1.0, 0.01, 0.02)
        return [cls(names, mass), cls(names, mass, gravity=2.0, softening=0.3)]

    def masses(self) -> Tensor:
        """The given masses."""
        return self._mass

    def force_over_distance(self, r2: Tensor) -> Tensor:
        """G / (r² + ε²)^(3/2)."""
        return self.gravity * (r2 + self.softening**2) ** (-1.5)

    def potential(self, r: Tensor) -> Tensor:
        """−G / √(r² + ε²)."""
        return -self.gravity * (r * r + self.softening**2) ** (-0.5)


def _momentum(law: GravityLaw, axis: int) -> simlearn.Invariant:
    def momentum(x: Tensor, topology: Topology) -> Tensor:
        velocity = x.chunk(2, dim=-1)[1]
        return topology.per_system(law.row_masses(topology) * velocity[:, axis])

    return momentum


def _angular_momentum(law: GravityLaw, first: int, second: int) -> simlearn.Invariant:
    def angular_momentum(x: Tensor, topology: Topology) -> Tensor:
        q, v = x.chunk(2, dim=-1)
        each = q[:, first] * v[:, second] - q[:, second] * v[:, first]
        return topology.per_system(law.row_masses(topology) * each)

    return angular_momentum


def _invariants(law: GravityLaw, dimension: int) -> Mapping[str, simlearn.Invariant]:
    """Energy, momentum and angular momentum; in the plane only the one out of it."""
    found: dict[str, simlearn.Invariant] = {"energy": law.energy}
    for axis in range(dimension):
        found[f"momentum_{'xyz'[axis]}"] = _momentum(law, axis)
    for axis in range(3) if dimension == 3 else (2,):
        turning = _angular_momentum(law, (axis + 1) % 3, (axis + 2) % 3)
        found[f"angular_momentum_{'xyz'[axis]}"] = turning
    return found


def _names(bodies: int) -> tuple[str, ...]:
    return tuple(f"body-{k}" for k in range(bodies))


class ThreeBody(simlearn.System):
    """Three equal masses in the plane, near Lagrange's rotating triangle; x = (q, v).

    The start is the circular solution, v² = G m / (√3 r), with each velocity component changed by
    up to ``noise``: the triangle is unstable and breaks up into close encounters. Greydanus et al.
    2019 (arXiv 1906.01563) use G = m = 1, r in 0.9 to 1.2 and noise 0.2.

    Args:
        mass: Mass of each body. Good values: 0.1 to 10.
        gravity: G, in length³ / (mass · time²). Good values: 0.1 to 10.
        radius: Largest distance from the centre, in length; the smallest is three quarters of it.
            Good values: 0.5 to 5.
        noise: Largest relative change of a velocity component; 0 is the exact triangle. Good
            values: 0 to 0.2.
        softening: ε, in length units; 0 is Newton's law. Good values: 0 to 0.1 times the radius.
    """

    stack: ClassVar[bool] = False

    def __init__(
        self,
        mass: float = 1.0,
        gravity: float = 1.0,
        radius: float = 1.2,
        noise: float = 0.2,
        softening: float = 0.0,
    ):
        positive(mass=mass, gravity=gravity, radius=radius)
        not_negative(noise=noise, softening=softening)
        self.mass, self.gravity, self.radius = mass, gravity, radius
        self.noise, self.softening = noise, softening

    def truth(self) -> GravityLaw:
        """Newton's law."""
        return GravityLaw(_names(3), [self.mass] * 3, self.gravity, self.softening)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A triangle of random size and orientation, its rotation disturbed."""
        radius = uniform(rng, 0.75 * self.radius, self.radius, 1)
        angle = uniform(rng, 0, 2 * torch.pi, 1) + 2 * torch.pi / 3 * torch.arange(3)
        outward = torch.stack([angle.cos(), angle.sin()], dim=-1)
        forward = torch.stack([-angle.sin(), angle.cos()], dim=-1)
        # the sides are √3 r, and each of the two others draws inward by cos 30°
        side2 = 3 * radius**2 + self.softening**2
        speed = radius * (3 * self.gravity * self.mass * side2 ** (-1.5)).sqrt()
        change = 1 + self.noise * uniform(rng, -1, 1, 3, 2)
        x = torch.cat([radius * outward, speed * forward * change], dim=-1)
        return x, Topology.complete(3, _names(3))

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """Energy, momentum and angular momentum."""
        return _invariants(self.truth(), 2)

    def units(self) -> Mapping[str, str]:
        """Whatever G, the masses and the radius are given in."""
        return UNITS


class NBody(simlearn.System):
    """A small cluster of gravitating bodies in two or three dimensions; x = (q, v).

    Positions uniform in a ball, velocities random, centre of mass at rest at the origin, scaled to
    a given ratio of kinetic to potential energy. Aarseth, Gravitational N-Body Simulations, 2003.

    Args:
        bodies: Number of bodies. Good values: 2 to 100.
        dimension: 2 or 3. Good values: 2 where the result is to be looked at.
        mass: Mass of each body, where ``masses`` are not given. Good values: 0.1 to 10.
        masses: Mass of every body, one each; equal ones where not given. Good values: within a
            factor of 1000 of each other.
        gravity: G, in length³ / (mass · time²). Good values: 0.1 to 10.
        softening: ε, in length units; 0 is Newton's law, with close encounters that take long to
            integrate. Good values: 0.05 to 0.3 times the radius.
        radius: Radius of the ball, in length. Good values: 0.5 to 5.
        virial: Kinetic energy over minus the potential energy, below 1; 0.5 is equilibrium. Good
            values: 0.1 to 0.5.
    """

    stack: ClassVar[bool] = False

    def __init__(
        self,
        bodies: int = 5,
        dimension: int = 2,
        mass: float = 1.0,
        masses: Sequence[float] | None = None,
        gravity: float = 1.0,
        softening: float = 0.1,
        radius: float = 1.0,
        virial: float = 0.5,
    ):
        at_least(2, bodies=bodies)
        positive(mass=mass, gravity=gravity, radius=radius, virial=virial)
        not_negative(softening=softening)
        below(1, "or the bodies fly apart", virial=virial)
        if dimension not in (2, 3):
            raise ConfigError(f"dimension must be 2 or 3, got {dimension}.")
        if masses is not None and len(masses) != bodies:
            raise ConfigError(
                f"NBody was given {len(masses)} masses for {bodies} bodies; one each."
            )
        self.bodies, self.dimension, self.mass, self.masses = bodies, dimension, mass, masses
        self.gravity, self.softening, self.radius, self.virial = gravity, softening, radius, virial

    def truth(self) -> GravityLaw:
        """Softened gravity."""
        mass = [self.mass] * self.bodies if self.masses is None else self.masses
        return GravityLaw(_names(self.bodies), mass, self.gravity, self.softening)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random cluster with its centre at rest."""
        shape, law = (self.bodies, self.dimension), self.truth()
        topology = Topology.complete(self.bodies, _names(self.bodies))
        mass = law.masses()[:, None]
        outward = torch.nn.functional.normalize(torch.randn(shape, generator=rng), dim=-1)
        depth = torch.rand(self.bodies, 1, generator=rng) ** (1 / self.dimension)
        q, v = self.radius * depth * outward, torch.randn(shape, generator=rng)
        q, v = (part - (mass * part).sum(0) / mass.sum() for part in (q, v))
        bound = law.energy(torch.cat([q, 0 * v], dim=-1), topology)
        kinetic = (mass * v * v).sum() / 2
        v = v * (-self.virial * bound / kinetic).sqrt()
        return torch.cat([q, v], dim=-1), topology

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """Energy, momentum and angular momentum."""
        return _invariants(self.truth(), self.dimension)

    def units(self) -> Mapping[str, str]:
        """Whatever G, the masses and the radius are given in."""
        return UNITS
