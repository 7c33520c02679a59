"""Symplectic maps whose shears are gradients of networks: Hénon nets and generalised HNN."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.dynamics.base import Time
from simlearn.dynamics.neural import TanhNet, positive
from simlearn.dynamics.shears import Shear, Stage, SymplecticMap

TURNS = 4  # Hénon maps in a layer: at V = 0 four of them are the identity


class Slope(nn.Module):
    """The gradient of a scalar network."""

    def __init__(self, half: int, width: int, depth: int):
        super().__init__()
        self.net = TanhNet([half] + [width] * depth + [1], constant=False)

    def forward(self, z: Tensor) -> Tensor:
        """∇V, ``[rows, half]``."""
        return self.net.gradient(z)


class HenonLayer(Stage):
    """Four times the Hénon map (q, p) ← (p + η, −q + h ∇V(p)), with the potentials in turn."""

    def __init__(self, half: int, width: int, depth: int, potentials: int):
        super().__init__()
        self.slopes = nn.ModuleList(Slope(half, width, depth) for _ in range(potentials))
        self.shift = nn.Parameter(torch.zeros(half))

    def forward(self, q: Tensor, p: Tensor, h: Time) -> tuple[Tensor, Tensor]:
        """Round once."""
        for turn in range(TURNS):
            slope = self.slopes[turn % len(self.slopes)]
            q, p = p + self.shift, h * slope(p) - q
        return q, p

    def inverse(self, q: Tensor, p: Tensor, h: Time) -> tuple[Tensor, Tensor]:
        """Round the other way."""
        for turn in reversed(range(TURNS)):
            slope = self.slopes[turn % len(self.slopes)]
            before = q - self.shift
            q, p = h * slope(before) - p, before
        return q, p


class HenonNet(SymplecticMap):
    """A chain of Hénon layers, each four times (q, p) ↦ (p + η, −q + h ∇V(p)).

    V is a network and η a constant of the layer (Burby, Tang and Maulik 2020). The step stands
    before the potential, so that it may vary: at h = 0 four turns are the identity. To first order
    in h a layer with one V is a flow whose kinetic and potential energy are the same function,
    T(s) = U(−s), in any number of layers; with two V in turn T is
    even about −η/2 and U about η/2, which layers of different η lift.

    Args:
        dim: Columns of the state, positions and momenta together.
        layers: Hénon layers.
        width: Neurons in each hidden layer of V.
        depth: Hidden layers of V.
        tied: One potential in a layer, as in the paper, instead of two.

    Raises:
        ConfigError: ``dim`` is odd, or a size is not positive.
    """

    def __init__(
        self, dim: int, layers: int = 3, width: int = 30, depth: int = 1, tied: bool = False
    ):
        super().__init__(dim, layers)
        positive(width=width, depth=depth)
        self.width, self.depth, self.tied = width, depth, tied
        self.chain = nn.ModuleList(
            HenonLayer(dim // 2, width, depth, 1 if tied else 2) for _ in range(layers)
        )

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One and two degrees of freedom, two potentials and one."""
        return [cls(dim=2, layers=2, width=8), cls(dim=4, layers=2, width=8, tied=True)]

    def stages(self) -> Sequence[Stage]:
        """The layers."""
        return list(self.chain)  # type: ignore[arg-type]


class GHNN(SymplecticMap):
    """A generalised Hamiltonian network: a step is L steps of L learned Hamiltonians.

    p ← p + h ∇U_l(q), q ← q + h ∇T_l(p) with h = dt / L: symplectic Euler on H_l = T_l(p) − U_l(q),
    one after the other (Horn et al. 2023, SSRN 4555181). One layer is a separable Hamiltonian
    network, and many are dense in the symplectic maps.

    Args:
        dim: Columns of the state, positions and momenta together.
        layers: Hamiltonians.
        width: Neurons in each hidden layer of T and U.
        depth: Hidden layers of T and U.

    Raises:
        ConfigError: ``dim`` is odd, or a size is not positive.
    """

    def __init__(self, dim: int, layers: int = 5, width: int = 25, depth: int = 2):
        super().__init__(dim, layers)
        positive(width=width, depth=depth)
        self.width, self.depth = width, depth
        self.chain = nn.ModuleList(
            Shear(Slope(dim // 2, width, depth), kicks)
            for _ in range(layers)
            for kicks in (True, False)
        )

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One and two degrees of freedom."""
        return [cls(dim=2, layers=2, width=8), cls(dim=4, layers=2, width=8, depth=1)]

    def stages(self) -> Sequence[Stage]:
        """A kick and a drift of each Hamiltonian."""
        return list(self.chain)  # type: ignore[arg-type]
