"""Discrete time: a network that steps, and the Hénon map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor

from simlearn.dynamics.base import Map, Time
from simlearn.dynamics.neural import TanhNet, positive
from simlearn.state import Topology


class ResidualMap(Map):
    """A one-step network without a time scale of its own: x ↦ x + dt · MLP(x).

    Args:
        dim: Columns of the state.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2):
        super().__init__()
        positive(dim=dim, width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        self.net = TanhNet([dim] + [width] * depth + [dim])

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Two columns."""
        return [cls(dim=2, width=8)]

    def forward(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The next state."""
        return x + dt * self.net(x)


class HenonMap(Map):
    """The Hénon map as a shear and a rotation of the plane: q' = p + 1 − a q², p' = b q.

    For |b| = 1 it preserves area, so it is the simplest nonlinear symplectic map (Hénon 1976, eq.
    4).

    Args:
        a: Strength of the quadratic term. Good values: 0.1 to 1.4.
        b: Contraction of area per step, −1 for the area- and orientation-preserving map.
    """

    def __init__(self, a: float = 0.2, b: float = -1.0):
        super().__init__()
        self.a, self.b = a, b
        self.dim = 2

    def forward(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The next state; one step whatever ``dt``."""
        q, p = x.chunk(2, dim=-1)
        return torch.cat([p + 1 - self.a * q * q, self.b * q], dim=-1)
