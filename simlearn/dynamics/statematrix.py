"""Learned matrices that depend on the state, or on nothing."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from simlearn.dynamics.neural import TanhNet, spread_of

START = 0.3  # a typical entry of a constant before training, as large as a network's answer


class StateMatrix(nn.Module):
    """A matrix for each row: unit ⊙ N(shift + scale · x) with a network N, or unit ⊙ constant.

    Shift, scale and unit are 0, 1 and 1 until `standardize` sets them.
    """

    shift: Tensor
    scale: Tensor
    unit: Tensor

    def __init__(self, dim: int, shape: tuple[int, int], width: int, depth: int, varies: bool):
        super().__init__()
        self.shape, self.net, self.constant = shape, None, None
        if varies:
            self.net = TanhNet([dim] + [width] * depth + [math.prod(shape)])
        else:
            self.constant = nn.Parameter(START * torch.randn(shape))
        self.register_buffer("shift", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("unit", torch.ones(shape))

    def forward(self, x: Tensor) -> Tensor:
        """The matrices, ``[rows, *shape]``, or one for all rows ``[1, *shape]``."""
        if self.net is None:
            assert self.constant is not None
            return (self.constant * self.unit)[None]
        found: Tensor = self.net(torch.addcmul(self.shift, x, self.scale))
        return found.unflatten(-1, self.shape) * self.unit

    def standardize(self, x: Tensor, unit: Tensor) -> None:
        """Take shift and scale from samples ``[samples, dim]``; ``unit`` broadcasts to a matrix."""
        self.scale.copy_(1 / spread_of(x))
        self.shift.copy_(-x.mean(0) * self.scale)
        self.unit.copy_(unit.expand_as(self.unit))


def applied(matrix: Tensor, vector: Tensor) -> Tensor:
    """Matrix times vector in each row: ``[rows, a, b]`` and ``[rows, b]`` to ``[rows, a]``."""
    return (matrix @ vector[..., None]).squeeze(-1)
