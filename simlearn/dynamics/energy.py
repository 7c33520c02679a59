"""Learned energies: Hamiltonian fields whose energy is a network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import HamiltonianField, SplitField, Time
from simlearn.dynamics.neural import TanhNet, positive, size_of, spread_of
from simlearn.state import Topology


def even(dim: int) -> None:
    """Refuse a state that cannot be split into positions and momenta."""
    if dim < 2 or dim % 2:
        raise ConfigError(
            f"A Hamiltonian state is (q, p), so dim must be even and positive, got {dim}."
        )


class Energy(HamiltonianField):
    """A Hamiltonian neural network.

    H(q, p) = unit · MLP((x − centre) / spread), dx/dt = J ∇H (Greydanus et al. 2019, eq. 2).

    Centre, spread and unit are 0, 1 and 1 until `standardize` sets them. They live inside the
    energy, so that the form stays canonical whatever they are.

    Args:
        dim: Columns of the state, positions and momenta together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.

    Raises:
        ConfigError: ``dim`` is odd.
    """

    centre: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, dim: int, width: int = 64, depth: int = 2):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        self.net = TanhNet([dim] + [width] * depth + [1], constant=False)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))
        self.register_buffer("unit", torch.ones(1))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom."""
        return [cls(dim=2, width=8)]

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        own = self.net((x - self.centre) / self.spread)
        return topology.per_system((self.unit * own).squeeze(-1))

    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """dH/dx, written by hand (a test holds it to autograd)."""
        return self.net.gradient((x - self.centre) / self.spread) * (self.unit / self.spread)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure the state by column, and the energy by what drives it."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        self.centre.copy_(x.mean(0))
        self.spread.copy_(spread_of(x))
        self.unit.copy_(_energy_units(slope, self.spread).mean())


def _energy_units(slope: Tensor, spread: Tensor) -> Tensor:
    """Sizes of the energy that the slopes need, kinetic and potential ``[2]``.

    dq/dt = dT/dp asks for |T| of the size of dq/dt times the spread of p, and dp/dt of the other.
    """
    first, second = slope.chunk(2, dim=-1)
    dq, dp = spread.chunk(2)
    return torch.stack([(size_of(first) * dp).mean(), (size_of(second) * dq).mean()])


class SeparableEnergy(SplitField):
    """H(q, p) = T(p) + V(q) with a network for each.

    Leapfrog can integrate it (Chen et al. 2020, eq. 4). Each network sees its half of the state as
    (x − centre) / spread and answers in its own unit of energy; these are 0, 1 and 1 until
    `standardize` sets them.

    Args:
        dim: Columns of the state, positions and momenta together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.

    Raises:
        ConfigError: ``dim`` is odd.
    """

    centre: Tensor
    spread: Tensor
    unit: Tensor

    def __init__(self, dim: int, width: int = 64, depth: int = 2):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        sizes = [dim // 2] + [width] * depth + [1]
        # a constant in an energy moves nothing: it would be a weight that no data determine
        self.kinetic, self.potential = TanhNet(sizes, False), TanhNet(sizes, False)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))
        self.register_buffer("unit", torch.ones(2))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom."""
        return [cls(dim=2, width=8)]

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """dT/dp."""
        (_, centre), (_, spread) = self.centre.chunk(2), self.spread.chunk(2)
        return self.kinetic.gradient((p - centre) / spread) * (self.unit[0] / spread)

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−dV/dq."""
        (centre, _), (spread, _) = self.centre.chunk(2), self.spread.chunk(2)
        return self.potential.gradient((q - centre) / spread) * (-self.unit[1] / spread)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """T + V, ``[systems]``."""
        q, p = ((x - self.centre) / self.spread).chunk(2, dim=-1)
        own = self.unit[0] * self.kinetic(p) + self.unit[1] * self.potential(q)
        return topology.per_system(own.squeeze(-1))

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure the state by column, and both energies by what they drive."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        self.centre.copy_(x.mean(0))
        self.spread.copy_(spread_of(x))
        self.unit.copy_(_energy_units(slope, self.spread))
