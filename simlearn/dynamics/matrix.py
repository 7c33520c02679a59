"""Linear dynamics: one matrix, as a field and as a map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from torch import Tensor, nn

from simlearn.dynamics.base import Map, Time, VectorField
from simlearn.dynamics.neural import positive
from simlearn.state import Topology


class LinearField(VectorField):
    """A linear field, dx/dt = A x (+ b), the same matrix for every row.

    Args:
        dim: Columns of the state.
        bias: Whether there is a constant b.
    """

    def __init__(self, dim: int, bias: bool = False):
        super().__init__()
        positive(dim=dim)
        self.dim, self.bias = dim, bias
        self.linear = nn.Linear(dim, dim, bias)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Without and with a constant."""
        return [cls(dim=2), cls(dim=3, bias=True)]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """A x + b."""
        return self.linear(x)


class LinearMap(Map):
    """A linear map, x ↦ A x (+ b), the same matrix for every row; one step whatever ``dt``.

    Args:
        dim: Columns of the state.
        bias: Whether there is a constant b.
    """

    def __init__(self, dim: int, bias: bool = False):
        super().__init__()
        positive(dim=dim)
        self.dim, self.bias = dim, bias
        self.linear = nn.Linear(dim, dim, bias)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Without and with a constant."""
        return [cls(dim=2), cls(dim=3, bias=True)]

    def forward(self, t: Time, x: Tensor, dt: Time, topology: Topology) -> Tensor:
        """The next state."""
        return self.linear(x)
