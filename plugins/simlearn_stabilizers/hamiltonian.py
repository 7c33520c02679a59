"""Layers that are steps of a Hamiltonian system."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import ClassVar, Self

import torch
from torch import Tensor, nn

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import Map

Time = float | Tensor


class GradientLayer(nn.Module):
    """z ↦ Kᵀ tanh(K z + b), the gradient of Σ log cosh(K z + b): its Jacobian is symmetric."""

    def __init__(self, dim: int, width: int):
        super().__init__()
        self.matrix = nn.Parameter(torch.empty(width, dim))
        self.bias = nn.Parameter(torch.empty(width))
        # ‖K‖ is of order 1 whatever the width
        nn.init.normal_(self.matrix, std=1 / math.sqrt(width))
        nn.init.uniform_(self.bias, -1.0, 1.0)

    def forward(self, z: Tensor) -> Tensor:
        """The gradient."""
        return torch.tanh(nn.functional.linear(z, self.matrix, self.bias)) @ self.matrix


class HamiltonianLayers(Map):
    """A symplectic map of Verlet layers, for any weights.

    Each layer is p ← p − h K₂ᵀ tanh(K₂ q + b₂), then q ← q + h K₁ᵀ tanh(K₁ p + b₁), with
    h = dt / layers. Haber and Ruthotto 2017 introduced such layers without the Kᵀ in front, which
    keep volume; with it (Chang et al. 2018) both halves are gradients of energies and the map is
    symplectic. Where tanh is linear a layer is stable by itself for h ‖K₁‖ ‖K₂‖ < 2, and for equal
    K grows beyond it. The network sees no time but ``dt``.

    Args:
        dim: Columns of the state, positions and momenta together.
        layers: Layers of one step.
        width: Rows of each K.

    Raises:
        ConfigError: ``dim`` is odd.
    """

    symplectic: ClassVar[bool] = True

    def __init__(self, dim: int, layers: int = 4, width: int = 32):
        super().__init__()
        if min(dim, layers, width) < 1 or dim % 2:
            raise ConfigError(
                "HamiltonianLayers needs layers and width of at least 1 and an even dim, for "
                f"x = (q, p), got dim {dim}, layers {layers} and width {width}."
            )
        self.dim, self.layers, self.width = dim, layers, width
        self.drifts = nn.ModuleList(GradientLayer(dim // 2, width) for _ in range(layers))
        self.kicks = nn.ModuleList(GradientLayer(dim // 2, width) for _ in range(layers))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One degree of freedom."""
        return [cls(dim=2, layers=2, width=8)]

    def forward(self, t: Time, x: Tensor, dt: Time, topology: simlearn.Topology) -> Tensor:
        """The next state."""
        q, p = x.chunk(2, dim=-1)
        h = dt / self.layers
        for drift, kick in zip(self.drifts, self.kicks, strict=True):
            p = p - h * kick(q)
            q = q + h * drift(p)
        return torch.cat([q, p], dim=-1)

    def stiffness(self, dt: float) -> Tensor:
        """H ‖K₁‖ ‖K₂‖ of each layer ``[layers]``; below 2 its linear part is stable by itself."""
        norms = [
            torch.linalg.matrix_norm(drift.matrix, 2) * torch.linalg.matrix_norm(kick.matrix, 2)
            for drift, kick in zip(self.drifts, self.kicks, strict=True)
        ]
        return dt / self.layers * torch.stack(norms)
