"""A spiral that folds, after Rössler."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_chaos.common import UNITS, Number, Time, positive, relaxed, uniform


class RoesslerLaw(simlearn.VectorField):
    """dx/dt = −y − z, dy/dt = x + a y, dz/dt = b + z (x − c).

    Rössler 1976 (Phys. Lett. A 57, 397, eq. 2).

    Args:
        a: Growth of the spiral, in 1/time.
        b: Source of z.
        c: x beyond which z grows.
    """

    def __init__(self, a: float = 0.2, b: float = 0.2, c: float = 5.7):
        super().__init__()
        positive(a=a, b=b, c=c)
        self.a, self.b, self.c = a, b, c
        self.dim = 3

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        return torch.cat(self.slopes(*x.chunk(3, dim=-1)), dim=-1)

    def slopes(self, x: Number, y: Number, z: Number) -> tuple[Number, Number, Number]:
        """dx/dt, dy/dt and dz/dt."""
        return -y - z, x + self.a * y, self.b + z * (x - self.c)


class Roessler(simlearn.System):
    """Rössler's band on its attractor; x = (x, y, z), dimensionless.

    dx/dt = −y − z, dy/dt = x + a y, dz/dt = b + z (x − c) (Rössler 1976, Phys. Lett. A 57, 397). At
    the default arguments the exponents are 0.0714, 0 and −5.394, the Kaplan-Yorke dimension is
    2.013, and a revolution takes about 5.9.

    Args:
        a: Growth of the spiral, in 1/time. Good values: 0.1 to 0.2.
        b: Source of z. Good values: 0.1 to 0.2.
        c: x beyond which z grows; below 4 orbits are periodic at a = b = 0.2. Good values: 4.5 to
            6.
        transient: Time in which a random start comes onto the attractor; phases mix slowly. Good
            values: 100 to 500.
    """

    def __init__(self, a: float = 0.2, b: float = 0.2, c: float = 5.7, transient: float = 100.0):
        positive(a=a, b=b, c=c, transient=transient)
        self.a, self.b, self.c, self.transient = a, b, c, transient

    def truth(self) -> RoesslerLaw:
        """The law of Rössler."""
        return RoesslerLaw(self.a, self.b, self.c)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random phase of the spiral at a random radius from c/2 to c, relaxed."""
        law = self.truth()
        radius, phase = uniform(rng, self.c / 2, self.c, 1), uniform(rng, 0, 2 * torch.pi, 1)
        x0 = torch.stack([radius * phase.cos(), radius * phase.sin(), 0 * phase], dim=-1)
        x = relaxed(lambda x: law.slopes(*x.tolist()), x0, self.transient)
        return x, Topology.isolated(1)

    def exponents(self) -> tuple[float, ...]:
        """Lyapunov exponents in 1/time, largest first; none where no reference is known."""
        return (0.0714, 0.0, -5.394) if (self.a, self.b, self.c) == (0.2, 0.2, 5.7) else ()

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS
