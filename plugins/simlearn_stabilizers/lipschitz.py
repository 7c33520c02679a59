"""Networks of known Lipschitz constant, and the dynamics they make."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import Map, VectorField

Time = float | Tensor


class GroupSort(nn.Module):
    """Sorts the columns within groups; pairs give MaxMin.

    Its Jacobian is a permutation, so it keeps the norm of every gradient, and it is 1-Lipschitz
    (Anil, Lucas and Grosse 2019).

    Args:
        size: Columns of a group; it divides the columns of the input.
    """

    def __init__(self, size: int = 2):
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """The sorted columns."""
        groups = x.unflatten(-1, (-1, self.size))
        if self.size == 2:
            a, b = groups.unbind(-1)
            # minimum and maximum hand a NaN on, as sort does, and cost a tenth of it
            return torch.stack([torch.minimum(a, b), torch.maximum(a, b)], -1).flatten(-2)
        return groups.sort(-1).values.flatten(-2)


def cayley(free: Tensor) -> Tensor:
    """Columns of an orthogonal matrix ``[m, n]``, m ≥ n, from as many free numbers.

    With the n upper rows U and the others V, and A = U − Uᵀ + VᵀV, it is (I − A)(I + A)⁻¹ above
    −2V(I + A)⁻¹ (Trockman and Kolter 2021). I + A is never singular: its symmetric part
    is I + VᵀV.
    """
    n = free.shape[1]
    upper, lower = free[:n], free[n:]
    eye = torch.eye(n, dtype=free.dtype, device=free.device)
    a = upper - upper.mT + lower.mT @ lower
    above = torch.cat([eye - a, -2 * lower])
    return torch.linalg.solve(eye + a, above, left=False)


class LipschitzNet(nn.Module):
    """A GroupSort network of (semi-)orthogonal layers, ‖g(x) − g(y)‖ ≤ ‖x − y‖ for any weights.

    The layers are computed from free numbers at every call, and nothing needs to be folded.
    """

    def __init__(self, dim: int, width: int, depth: int):
        super().__init__()
        shapes = list(pairwise([dim] + [width] * depth + [dim]))
        self.activation = GroupSort()
        self.free = nn.ParameterList(torch.empty(max(s), min(s)) for s in shapes)
        self.biases = nn.ParameterList(torch.empty(s[1]) for s in shapes)
        self.grows = [b >= a for a, b in shapes]
        for (a, _), free, bias in zip(shapes, self.free, self.biases, strict=True):
            nn.init.normal_(free, std=1 / math.sqrt(len(free)))
            nn.init.uniform_(bias, -1 / math.sqrt(a), 1 / math.sqrt(a))

    def weights(self) -> list[Tensor]:
        """The layers' matrices, all of norm 1."""
        return [
            cayley(free) if grows else cayley(free).mT
            for free, grows in zip(self.free, self.grows, strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        """The output of the network."""
        *hidden, last = zip(self.weights(), self.biases, strict=True)
        for weight, bias in hidden:
            x = self.activation(nn.functional.linear(x, weight, bias))
        return nn.functional.linear(x, *last)


def _network(dim: int, width: int, depth: int) -> LipschitzNet:
    if min(dim, width, depth) < 1 or width % 2:
        raise ConfigError(
            "A GroupSort network needs dim and depth of at least 1 and an even width, got dim "
            f"{dim}, width {width} and depth {depth}."
        )
    return LipschitzNet(dim, width, depth)


def _refuse(name: str, **values: float) -> None:
    for argument, value in values.items():
        if not 0 < value < math.inf:
            raise ConfigError(f"{name} needs a finite {argument} > 0, got {value}.")


class LipschitzField(VectorField):
    """A field with a Lipschitz constant that is known: dx/dt = bound · g(x), g 1-Lipschitz.

    Neighbouring solutions part, or approach, no faster than e^(bound · t), for any weights. g is a
    GroupSort network of orthogonal layers (Anil, Lucas and Grosse 2019).

    Args:
        dim: Columns of the state.
        width: Neurons in each hidden layer, an even number.
        depth: Hidden layers.
        bound: The Lipschitz constant, per unit of time.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2, bound: float = 1.0):
        super().__init__()
        _refuse("LipschitzField", bound=bound)
        self.dim, self.width, self.depth, self.bound = dim, width, depth, bound
        self.net = _network(dim, width, depth)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Two columns."""
        return [cls(dim=2, width=8, bound=2.0)]

    def forward(self, t: Time, x: Tensor, topology: simlearn.Topology) -> Tensor:
        """Bound · g(x)."""
        return self.bound * self.net(x)


class ContractingField(VectorField):
    """A field that contracts everywhere: dx/dt = −(bound + rate) x + bound · g(x), g 1-Lipschitz.

    Its logarithmic norm is at most −rate at every state, for any weights, so that any two solutions
    approach each other at least like e^(−rate · t). It has one attractor, an equilibrium: no chaos,
    no cycles, no second basin. Euler's scheme contracts with it for steps below
    2 / (2 bound + rate) only.

    Args:
        dim: Columns of the state.
        width: Neurons in each hidden layer, an even number.
        depth: Hidden layers.
        bound: Lipschitz constant of the learned part, per unit of time.
        rate: The contraction rate, per unit of time.
    """

    def __init__(
        self, dim: int, width: int = 64, depth: int = 2, bound: float = 1.0, rate: float = 0.1
    ):
        super().__init__()
        _refuse("ContractingField", bound=bound, rate=rate)
        self.dim, self.width, self.depth = dim, width, depth
        self.bound, self.rate = bound, rate
        self.net = _network(dim, width, depth)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Two columns."""
        return [cls(dim=2, width=8)]

    def forward(self, t: Time, x: Tensor, topology: simlearn.Topology) -> Tensor:
        """The decay and the learned part."""
        return self.bound * self.net(x) - (self.bound + self.rate) * x


class LipschitzMap(Map):
    """A contraction: x ↦ bound · g(x) with g 1-Lipschitz and bound < 1; one step whatever ``dt``.

    All solutions approach one fixed point (Banach), for any weights: no chaos, no cycles, no second
    basin.

    Args:
        dim: Columns of the state.
        width: Neurons in each hidden layer, an even number.
        depth: Hidden layers.
        bound: The Lipschitz constant of a step, below 1.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2, bound: float = 0.99):
        super().__init__()
        if not 0 < bound < 1:
            raise ConfigError(
                f"LipschitzMap is a contraction, so 0 < bound < 1, got {bound}. Take ResidualMap "
                "for a map that may expand."
            )
        self.dim, self.width, self.depth, self.bound = dim, width, depth, bound
        self.net = _network(dim, width, depth)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Two columns."""
        return [cls(dim=2, width=8)]

    def forward(self, t: Time, x: Tensor, dt: Time, topology: simlearn.Topology) -> Tensor:
        """The next state."""
        return self.bound * self.net(x)
