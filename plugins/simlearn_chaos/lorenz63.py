"""Convection in three modes, after Lorenz."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_chaos.common import UNITS, Number, Time, positive, relaxed, uniform


class Lorenz63Law(simlearn.VectorField):
    """dx/dt = σ (y − x), dy/dt = x (ρ − z) − y, dz/dt = x y − β z.

    Lorenz 1963 (J. Atmos. Sci. 20, 130, eq. 25 to 27). Volumes shrink at the rate σ + 1 + β.

    Args:
        sigma: σ, the Prandtl number.
        rho: ρ, the Rayleigh number over its critical value.
        beta: β, the shape of the convection cells.
    """

    def __init__(self, sigma: float = 10.0, rho: float = 28.0, beta: float = 8 / 3):
        super().__init__()
        positive(sigma=sigma, rho=rho, beta=beta)
        self.sigma, self.rho, self.beta = sigma, rho, beta
        self.dim = 3

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        return torch.cat(self.slopes(*x.chunk(3, dim=-1)), dim=-1)

    def slopes(self, x: Number, y: Number, z: Number) -> tuple[Number, Number, Number]:
        """dx/dt, dy/dt and dz/dt."""
        return self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z


class Lorenz63(simlearn.System):
    """Lorenz's convection on its attractor; x = (x, y, z), dimensionless.

    dx/dt = σ (y − x), dy/dt = x (ρ − z) − y, dz/dt = x y − β z (Lorenz 1963, J. Atmos. Sci. 20,
    130). The three exponents add up to −(σ + 1 + β); at the default arguments they are 0.9056, 0
    and −14.5723 and the Kaplan-Yorke dimension is 2.062.

    Args:
        sigma: σ, the Prandtl number. Good values: 10.
        rho: ρ, the Rayleigh number over its critical value; below 24.06 orbits end in a fixed
            point. Good values: 25 to 60.
        beta: β, the shape of the convection cells. Good values: 8/3.
        transient: Time in which a random start comes onto the attractor. Good values: 10 to 50.
    """

    def __init__(
        self,
        sigma: float = 10.0,
        rho: float = 28.0,
        beta: float = 8 / 3,
        transient: float = 20.0,
    ):
        positive(sigma=sigma, rho=rho, beta=beta, transient=transient)
        self.sigma, self.rho, self.beta, self.transient = sigma, rho, beta, transient

    def truth(self) -> Lorenz63Law:
        """The law of Lorenz."""
        return Lorenz63Law(self.sigma, self.rho, self.beta)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random point near the origin of (x, y) and z = ρ, relaxed."""
        law = self.truth()
        x0 = uniform(rng, -10, 10, 1, 3)
        x0[0, 2] += self.rho
        x = relaxed(lambda x: law.slopes(*x.tolist()), x0, self.transient)
        return x, Topology.isolated(1)

    def exponents(self) -> tuple[float, ...]:
        """Lyapunov exponents in 1/time, largest first; none where no reference is known."""
        if (self.sigma, self.rho, self.beta) != (10, 28, 8 / 3):
            return ()
        return (0.9056, 0.0, -14.5723)

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS
