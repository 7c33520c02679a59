"""SympNets: one step of a Hamiltonian system as a chain of shears."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.dynamics.neural import positive
from simlearn.dynamics.shears import Shear, Stage, SymplecticMap


class Symmetric(nn.Module):
    """z ↦ (S + Sᵀ) z + b, the gradient of zᵀSz + bᵀz."""

    def __init__(self, half: int):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(half, half) / (2 * math.sqrt(half)))
        self.bias = nn.Parameter(torch.zeros(half))

    def forward(self, z: Tensor) -> Tensor:
        """The gradient, ``[rows, half]``."""
        return torch.addmm(self.bias, z, self.matrix + self.matrix.T)


class Pointwise(nn.Module):
    """z ↦ a ⊙ σ(z) with the logistic σ, the gradient of Σ a_i ∫σ(z_i)."""

    def __init__(self, half: int):
        super().__init__()
        self.size = nn.Parameter(torch.randn(half))

    def forward(self, z: Tensor) -> Tensor:
        """The gradient, ``[rows, half]``."""
        return self.size * torch.sigmoid(z)


class Ridges(nn.Module):
    """z ↦ Kᵀ (a ⊙ σ(K z + b)) with the logistic σ, the gradient of Σ a_j ∫σ(K z + b)_j."""

    def __init__(self, half: int, width: int):
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(width, half))
        self.bias = nn.Parameter(torch.randn(width))
        self.size = nn.Parameter(torch.randn(width) / math.sqrt(width))

    def forward(self, z: Tensor) -> Tensor:
        """The gradient, ``[rows, half]``."""
        hidden = torch.sigmoid(nn.functional.linear(z, self.matrix, self.bias))
        return (self.size * hidden) @ self.matrix


class LASympNet(SymplecticMap):
    """An LA-SympNet: linear symplectic modules and pointwise activations in turn.

    A linear module is ``sublayers`` shears with symmetric matrices, p ← p + h (S + Sᵀ) q + h b and
    q ← q + h (S + Sᵀ) p + h b in turn; an activation is p ← p + h a ⊙ σ(q), or q ← q + h a ⊙ σ(p)
    after the next one; one more linear module comes last (Jin et al. 2020). The step
    stands before every shear, so that it may vary.

    Args:
        dim: Columns of the state, positions and momenta together.
        layers: Activations.
        sublayers: Shears of each linear module.

    Raises:
        ConfigError: ``dim`` is odd, or a size is not positive.
    """

    def __init__(self, dim: int, layers: int = 3, sublayers: int = 2):
        super().__init__(dim, layers)
        positive(sublayers=sublayers)
        self.sublayers = sublayers
        half, chain = dim // 2, list[Stage]()
        for layer in range(layers + 1):
            chain += [Shear(Symmetric(half), kicks=k % 2 == 0) for k in range(sublayers)]
            if layer < layers:
                chain.append(Shear(Pointwise(half), kicks=layer % 2 == 0))
        self.chain = nn.ModuleList(chain)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One and two degrees of freedom."""
        return [cls(dim=2), cls(dim=4, layers=2, sublayers=3)]

    def stages(self) -> Sequence[Stage]:
        """Linear shears and activations."""
        return list(self.chain)  # type: ignore[arg-type]


class GSympNet(SymplecticMap):
    """A G-SympNet: shears by gradients of sums of ridge functions.

    p ← p + h Kᵀ(a ⊙ σ(K q + b)) and q ← q + h Kᵀ(a ⊙ σ(K p + b)) in turn (Jin et al. 2020).
    The step stands before every shear, so that it may vary.

    Args:
        dim: Columns of the state, positions and momenta together.
        layers: Shears.
        width: Ridge functions of each.

    Raises:
        ConfigError: ``dim`` is odd, or a size is not positive.
    """

    def __init__(self, dim: int, layers: int = 6, width: int = 30):
        super().__init__(dim, layers)
        positive(width=width)
        self.width = width
        self.chain = nn.ModuleList(
            Shear(Ridges(dim // 2, width), kicks=k % 2 == 0) for k in range(layers)
        )

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One and two degrees of freedom."""
        return [cls(dim=2, width=8), cls(dim=4, layers=3, width=8)]

    def stages(self) -> Sequence[Stage]:
        """The shears."""
        return list(self.chain)  # type: ignore[arg-type]
