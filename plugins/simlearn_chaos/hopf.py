"""A limit cycle with known normal exponents, and its twin that repels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Self

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_chaos.common import UNITS, Time, positive, uniform


class HopfLaw(simlearn.VectorField):
    """dr/dt = ± (μ r − r³), dφ/dt = ω, dz/dt = −γ z; x = (r cos φ, r sin φ, z).

    The normal form of Hopf's bifurcation (Guckenheimer and Holmes 1983, sec. 3.4) with a direction
    that decays by itself. The cycle is r = √μ, z = 0.

    Args:
        mu: μ, in 1/time.
        omega: ω, in radians per time.
        gamma: γ, in 1/time.
        attracting: Whether the cycle attracts (the sign is +) or repels (−).
    """

    def __init__(
        self, mu: float = 1.0, omega: float = 1.0, gamma: float = 0.3, attracting: bool = True
    ):
        super().__init__()
        positive(mu=mu, omega=omega, gamma=gamma)
        self.mu, self.omega, self.gamma, self.attracting = mu, omega, gamma, attracting
        self.dim = 3

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """The cycle that attracts and the one that repels."""
        return [cls(), cls(attracting=False)]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        x, y, z = x.chunk(3, dim=-1)
        out = self.mu - x * x - y * y
        if not self.attracting:
            out = -out
        around = (out * x - self.omega * y, out * y + self.omega * x)
        return torch.cat([*around, -self.gamma * z], dim=-1)


class Hopf(simlearn.System):
    """A limit cycle in space, started on the cycle; x = (r cos φ, r sin φ, z).

    dr/dt = ± (μ r − r³), dφ/dt = ω, dz/dt = −γ z (Guckenheimer and Holmes 1983, sec. 3.4). All
    data lie on the circle r = √μ, z = 0, where x = √μ cos(ω t + φ), y = √μ sin(ω t + φ). They are
    the same whether the circle attracts or repels, so they cannot tell the exponents: 0, −2 μ and
    −γ where it attracts, 0, +2 μ and −γ where it repels. There rounding errors grow as exp(2 μ t):
    keep trajectories shorter than 10 / μ.

    Args:
        mu: μ, in 1/time; the radius of the circle is √μ. Good values: 0.5 to 2.
        omega: ω, in radians per time. Good values: 0.5 to 5.
        gamma: γ, in 1/time. Good values: 0.1 to 1.
        attracting: Whether the cycle attracts. False reverses the radial term alone, for a twin
            with the same data on the cycle. Good values: true.
    """

    def __init__(
        self, mu: float = 1.0, omega: float = 1.0, gamma: float = 0.3, attracting: bool = True
    ):
        positive(mu=mu, omega=omega, gamma=gamma)
        self.mu, self.omega, self.gamma, self.attracting = mu, omega, gamma, attracting

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """The cycle that attracts and the one that repels."""
        return [cls(), cls(attracting=False)]

    def truth(self) -> HopfLaw:
        """The normal form."""
        return HopfLaw(self.mu, self.omega, self.gamma, self.attracting)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random phase on the cycle."""
        phase = uniform(rng, 0, 2 * torch.pi, 1)
        x = torch.stack([phase.cos(), phase.sin(), 0 * phase], dim=-1)
        return self.mu**0.5 * x, Topology.isolated(1)

    def exponents(self) -> tuple[float, ...]:
        """Lyapunov exponents of the cycle in 1/time, largest first; exact."""
        across = -2 * self.mu if self.attracting else 2 * self.mu
        return tuple(sorted((0.0, across, -self.gamma), reverse=True))

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS
