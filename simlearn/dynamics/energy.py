"""Learned energies: Hamiltonian fields whose energy is a network."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import HamiltonianField, SplitField, Time
from simlearn.dynamics.neural import TanhNet, positive
from simlearn.state import Topology


def even(dim: int) -> None:
    """Refuse a state that cannot be split into positions and momenta."""
    if dim < 2 or dim % 2:
        raise ConfigError(
            f"A Hamiltonian state is (q, p), so dim must be even and positive, got {dim}."
        )


class Energy(HamiltonianField):
    """A Hamiltonian neural network.

    H(q, p) = MLP(q, p), dx/dt = J ∇H (Greydanus et al. 2019, eq. 2).

    Args:
        dim: Columns of the state, positions and momenta together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.

    Raises:
        ConfigError: ``dim`` is odd.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        self.net = TanhNet([dim] + [width] * depth + [1], constant=False)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom."""
        return [cls(dim=2, width=8)]

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        return topology.per_system(self.net(x).squeeze(-1))

    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """dH/dx, written by hand (a test holds it to autograd)."""
        return self.net.gradient(x)


class SeparableEnergy(SplitField):
    """H(q, p) = T(p) + V(q) with a network for each.

    Leapfrog can integrate it (Chen et al. 2020, eq. 4).

    Args:
        dim: Columns of the state, positions and momenta together.
        width: Neurons in each hidden layer.
        depth: Hidden layers.

    Raises:
        ConfigError: ``dim`` is odd.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2):
        super().__init__()
        even(dim)
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        sizes = [dim // 2] + [width] * depth + [1]
        # a constant in an energy moves nothing: it would be a weight that no data determine
        self.kinetic, self.potential = TanhNet(sizes, False), TanhNet(sizes, False)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom."""
        return [cls(dim=2, width=8)]

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """dT/dp."""
        return self.kinetic.gradient(p)

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−dV/dq."""
        return -self.potential.gradient(q)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """T + V, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        return topology.per_system((self.kinetic(p) + self.potential(q)).squeeze(-1))
