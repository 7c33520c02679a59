"""Two pendula, one hung from the other: the smallest chaotic machine."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_mechanics.common import positive, uniform


class DoublePendulumLaw(simlearn.HamiltonianField):
    """Two point masses on rigid rods, angles from the vertical; x = (θ₁, θ₂, p₁, p₂).

    H = [m₂ l₂² p₁² + (m₁ + m₂) l₁² p₂² − 2 m₂ l₁ l₂ p₁ p₂ cos(θ₁ − θ₂)]
    / {2 m₂ l₁² l₂² [m₁ + m₂ sin²(θ₁ − θ₂)]}
    + (m₁ + m₂) g l₁ (1 − cos θ₁) + m₂ g l₂ (1 − cos θ₂).

    It is not separable: the kinetic energy depends on the angles. Landau and Lifshitz, Mechanics,
    §5 problem 1, after the Legendre transformation.

    Args:
        mass1: m₁ of the upper mass, in mass units.
        mass2: m₂ of the lower mass, in mass units.
        length1: l₁ of the upper rod, in length units.
        length2: l₂ of the lower rod, in length units.
        gravity: g, in length/time².
    """

    def __init__(
        self,
        mass1: float = 1.0,
        mass2: float = 1.0,
        length1: float = 1.0,
        length2: float = 1.0,
        gravity: float = 1.0,
    ):
        super().__init__()
        positive(mass1=mass1, mass2=mass2, length1=length1, length2=length2, gravity=gravity)
        self.mass1, self.mass2 = mass1, mass2
        self.length1, self.length2 = length1, length2
        self.gravity = gravity
        self.dim = 4

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, zero where both hang at rest, ``[systems]``."""
        angle1, angle2, p1, p2 = x.unbind(dim=-1)
        above, below, _ = self._kinetic(angle1 - angle2, p1, p2)
        weight1, weight2 = self._weights()
        potential = weight1 * (1 - torch.cos(angle1)) + weight2 * (1 - torch.cos(angle2))
        return topology.per_system(above / below + potential)

    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """dH/dx in closed form, ``[rows, 4]``."""
        angle1, angle2, p1, p2 = x.unbind(dim=-1)
        m1, m2, l1, l2 = self.mass1, self.mass2, self.length1, self.length2
        apart = angle1 - angle2
        above, below, mixed = self._kinetic(apart, p1, p2)
        sin = torch.sin(apart)
        bent = 2 * (m2 * l1 * l2) ** 2 * torch.sin(2 * apart)
        turn = (2 * m2 * l1 * l2 * p1 * p2 * sin - bent * above / below) / below
        weight1, weight2 = self._weights()
        slopes = [
            turn + weight1 * torch.sin(angle1),
            -turn + weight2 * torch.sin(angle2),
            2 * (m2 * l2**2 * p1 - mixed * p2) / below,
            2 * ((m1 + m2) * l1**2 * p2 - mixed * p1) / below,
        ]
        return torch.stack(slopes, dim=-1)

    def _weights(self) -> tuple[float, float]:
        """Torques of the weight of either rod held level."""
        both = (self.mass1 + self.mass2) * self.gravity * self.length1
        return both, self.mass2 * self.gravity * self.length2

    def _kinetic(self, apart: Tensor, p1: Tensor, p2: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The kinetic energy as a fraction, and half the factor of −p₁ p₂ above."""
        m1, m2, l1, l2 = self.mass1, self.mass2, self.length1, self.length2
        mixed = m2 * l1 * l2 * torch.cos(apart)
        above = m2 * l2**2 * p1**2 + (m1 + m2) * l1**2 * p2**2 - 2 * mixed * p1 * p2
        below = 2 * m2 * (l1 * l2) ** 2 * (m1 + m2 * torch.sin(apart) ** 2)
        return above, below, mixed


class DoublePendulum(simlearn.System):
    """A double pendulum let go at rest from random angles; x = (θ₁, θ₂, p₁, p₂).

    Small angles swing quasi-periodically. From about 1.5 rad on the motion is chaotic, and
    trajectories part within a few tens of time units whatever the model.

    Args:
        mass1: m₁ of the upper mass, in mass units. Good values: 0.5 to 2.
        mass2: m₂ of the lower mass, in mass units. Good values: 0.5 to 2.
        length1: l₁ of the upper rod, in length units. Good values: 0.5 to 2.
        length2: l₂ of the lower rod, in length units. Good values: 0.5 to 2.
        gravity: g, in length/time². Good values: 0.5 to 10.
        amplitude: Largest angle of either rod at the start, in radians. Good values: 0.3 to 3.
    """

    def __init__(
        self,
        mass1: float = 1.0,
        mass2: float = 1.0,
        length1: float = 1.0,
        length2: float = 1.0,
        gravity: float = 1.0,
        amplitude: float = 1.0,
    ):
        positive(mass1=mass1, mass2=mass2, length1=length1, length2=length2, gravity=gravity)
        positive(amplitude=amplitude)
        self.mass1, self.mass2 = mass1, mass2
        self.length1, self.length2 = length1, length2
        self.gravity, self.amplitude = gravity, amplitude

    def truth(self) -> DoublePendulumLaw:
        """The Hamiltonian law."""
        return DoublePendulumLaw(self.mass1, self.mass2, self.length1, self.length2, self.gravity)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """Two random angles, at rest."""
        angles = uniform(rng, -self.amplitude, self.amplitude, 1, 2)
        return torch.cat([angles, torch.zeros(1, 2)], dim=-1), Topology.isolated(1)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy."""
        return {"energy": self.truth().energy}

    def units(self) -> Mapping[str, str]:
        """Angles in radians; the rest in what masses, lengths and gravity are given in."""
        return {"time": "", "position": "rad", "momentum": ""}
