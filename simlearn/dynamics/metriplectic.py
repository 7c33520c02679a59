"""A learned field that keeps its energy and never loses entropy (GENERIC)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time, VectorField
from simlearn.dynamics.neural import TanhNet, positive, size_of, spread_of
from simlearn.dynamics.statematrix import StateMatrix, applied
from simlearn.state import Topology

SOFT = 0.1  # of a squared gradient of order 1


class Bowl(nn.Module):
    """F(z) = zᵀQz + b·z + MLP(z): a network that need not learn the quadratic part."""

    def __init__(self, dim: int, width: int, depth: int):
        super().__init__()
        self.net = TanhNet([dim] + [width] * depth + [1], constant=False)
        self.bend = nn.Parameter(torch.randn(dim, dim) / 2)
        self.tilt = nn.Parameter(torch.randn(dim))

    def forward(self, z: Tensor) -> Tensor:
        """F, ``[rows]``."""
        return self.net(z).squeeze(-1) + ((z @ self.bend) * z).sum(-1) + z @ self.tilt

    def gradient(self, z: Tensor) -> Tensor:
        """∇F, ``[rows, dim]``."""
        return self.net.gradient(z) + z @ (self.bend + self.bend.T) + self.tilt


class Planes(nn.Module):
    """Directions along the level set of a function: rows A_k ∇F / √(SOFT + |∇F|²), A_k skew.

    Each is at right angles to ∇F whatever the A_k are, for ∇Fᵀ A_k ∇F = 0. Divided, they keep their
    length where ∇F is large: a damped oscillator with its bath is fitted to 1 % from ten of 24
    seeds; without it and without the quadratic part of `Bowl` from one.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.raw = nn.Parameter(torch.randn(dim, dim, dim) / math.sqrt(dim))

    def forward(self, gradient: Tensor) -> Tensor:
        """``[rows, dim]`` to ``[rows, directions, dim]``; as many directions as columns."""
        size = torch.sqrt(SOFT + gradient.square().sum(-1, keepdim=True))
        return torch.einsum("kij,nj->nki", self.raw - self.raw.mT, gradient / size)


class Metriplectic(VectorField):
    """Learned energy E and entropy S, dx/dt = L(x) ∇E + M(x) ∇S.

    L is skew with L ∇S = 0, M symmetric and positive semidefinite with M ∇E = 0, so that
    dE/dt = 0 and dS/dt ≥ 0 for any weights. The degeneracy is built in: L = P_Sᵀ B P_S and
    M = P_Eᵀ (D Dᵀ) P_E, where the rows A_k ∇S of P_S are at right angles to ∇S, those of P_E to ∇E
    (Zhang, Shin and Karniadakis 2022), B is skew, and B and D are networks of the state. E and S
    are a quadratic function and a network each.

    All of it lives in columns of unit spread and in a unit of time of its own, both 1 until
    `standardize` sets them, and E and S in units of their own: data without a thermometer fix
    neither. With two columns no L but 0 is degenerate: what moves then is the relaxation along E.

    Args:
        dim: Columns of the state, any number from two.
        width: Neurons in each hidden layer of each of the four networks.
        depth: Hidden layers of each.

    Raises:
        ConfigError: Fewer than two columns, or a size that is not positive.
    """

    centre: Tensor
    spread: Tensor
    rate: Tensor

    def __init__(self, dim: int, width: int = 32, depth: int = 2):
        super().__init__()
        if dim < 2:
            raise ConfigError(
                f"Metriplectic needs at least two columns, got dim {dim}: in one, energy can only "
                "be kept by standing still."
            )
        positive(width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        self.energies, self.entropies = Bowl(dim, width, depth), Bowl(dim, width, depth)
        self.along_energy, self.along_entropy = Planes(dim), Planes(dim)
        self.turn = StateMatrix(dim, (dim, dim), width, depth, True)
        self.root = StateMatrix(dim, (dim, dim), width, depth, True)
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))
        self.register_buffer("rate", torch.ones(()))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Relaxation alone, and an odd number of columns."""
        return [cls(dim=2, width=8), cls(dim=3, width=8)]

    def _own(self, x: Tensor) -> Tensor:
        return (x - self.centre) / self.spread

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """E, ``[systems]``."""
        return topology.per_system(self.energies(self._own(x)))

    def entropy(self, x: Tensor, topology: Topology) -> Tensor:
        """S, ``[systems]``."""
        return topology.per_system(self.entropies(self._own(x)))

    def matrices(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """L and M of every row, ``[rows, dim, dim]`` each."""
        z = self._own(x)
        planes, walls, turn, root = self._parts(z)
        scale = self.rate.sqrt() * self.spread
        planes, fall = planes * scale, root.mT @ (walls * scale)
        return planes.mT @ turn @ planes, fall.mT @ fall

    def _parts(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """P_S, P_E, B and D at states in units of their spread."""
        planes = self.along_entropy(self.entropies.gradient(z))
        walls = self.along_energy(self.energies.gradient(z))
        turn = self.turn(z)
        return planes, walls, turn - turn.mT, self.root(z)

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """L ∇E + M ∇S."""
        z = self._own(x)
        planes, walls, turn, root = self._parts(z)
        energy, entropy = self.energies.gradient(z), self.entropies.gradient(z)
        turned = applied(planes.mT, applied(turn, applied(planes, energy)))
        fall = root.mT @ walls
        fallen = applied(fall.mT, applied(fall, entropy))
        return (turned + fallen) * (self.rate * self.spread)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure the state by column, and the unit of time by the slopes."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        self.centre.copy_(x.mean(0))
        self.spread.copy_(spread_of(x))
        self.rate.copy_((size_of(slope) / self.spread).mean())
