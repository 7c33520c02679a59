"""A star in the plane of a galaxy, after Hénon and Heiles."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_mechanics.common import Time, positive, uniform


class HenonHeilesLaw(simlearn.SplitField):
    """H = |p|²/2 + (x² + y²)/2 + λ (x² y − y³/3); x = (x, y, pₓ, p_y).

    Hénon and Heiles 1964 (AJ 69, 73). Orbits below the escape energy 1 / (6 λ²) stay in a triangle.

    Args:
        coupling: λ, in 1/length.
    """

    def __init__(self, coupling: float = 1.0):
        super().__init__()
        positive(coupling=coupling)
        self.coupling = coupling
        self.dim = 4

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity, p."""
        return p

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """(−x − 2 λ x y, −y − λ (x² − y²))."""
        x, y = q.unbind(dim=-1)
        bent = torch.stack([2 * x * y, x * x - y * y], dim=-1)
        return -q - self.coupling * bent

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        return topology.per_system((p * p).sum(-1) / 2 + self.potential(q))

    def potential(self, q: Tensor) -> Tensor:
        """The potential energy of each row, ``[rows]``."""
        x, y = q.unbind(dim=-1)
        return (x * x + y * y) / 2 + self.coupling * (x * x * y - y**3 / 3)


class HenonHeiles(simlearn.System):
    """Bound orbits in the potential of Hénon and Heiles, regular or chaotic; x = (x, y, pₓ, p_y).

    H = |p|²/2 + (x² + y²)/2 + λ (x² y − y³/3). With λ = 1 nearly all orbits are regular up to an
    energy of 1/12, a mixture at 1/8, and nearly all chaotic at 1/6 (Hénon and Heiles 1964).

    Args:
        coupling: λ, in 1/length. Good values: 0.5 to 2.
        energy: Largest energy, below 1 / (6 λ²); the smallest is a fifth of it. Good values: 0.02
            to 0.16 over λ².
    """

    def __init__(self, coupling: float = 1.0, energy: float = 0.125):
        positive(coupling=coupling, energy=energy)
        if energy >= 1 / (6 * coupling**2):
            raise ConfigError(
                f"energy must stay below {1 / (6 * coupling**2):.6g}, or orbits escape; got "
                f"{energy}."
            )
        self.coupling, self.energy = coupling, energy

    def truth(self) -> HenonHeilesLaw:
        """The law of Hénon and Heiles."""
        return HenonHeilesLaw(self.coupling)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random energy, a random point where it suffices, a random direction."""
        law = self.truth()
        energy = uniform(rng, self.energy / 5, self.energy, 1)
        reach = 1 / self.coupling
        while True:
            q = uniform(rng, -reach, reach, 1, 2)
            # inside the circle through the saddles, below 1 / (6 λ²) means inside the triangle
            if bool((q.norm() < reach) & (law.potential(q) < energy)):
                break
        angle = uniform(rng, 0, 2 * torch.pi, 1)
        speed = (2 * (energy - law.potential(q))).sqrt()
        p = speed * torch.stack([angle.cos(), angle.sin()], dim=-1)
        return torch.cat([q, p], dim=-1), Topology.isolated(1)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy."""
        return {"energy": self.truth().energy}

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return {"time": "", "position": "", "momentum": ""}
