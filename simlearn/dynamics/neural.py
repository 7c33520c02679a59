"""Networks and their analytic gradients; plain neural vector fields and maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import Map, Time, VectorField
from simlearn.state import Topology


class TanhNet(nn.Module):
    """A tanh network ``[rows, sizes[0]]`` to ``[rows, sizes[-1]]`` with its own gradient."""

    def __init__(self, sizes: Sequence[int], constant: bool = True):
        super().__init__()
        shapes = list(pairwise(sizes))
        biases = [True] * (len(shapes) - 1) + [constant]
        self.layers = nn.ModuleList(
            nn.Linear(a, b, bias) for (a, b), bias in zip(shapes, biases, strict=True)
        )

    def _linear(self) -> list[nn.Linear]:
        return list(self.layers)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """The output of the network."""
        *hidden, last = self._linear()
        for layer in hidden:
            x = torch.tanh(layer(x))
        return last(x)

    def gradient(self, x: Tensor) -> Tensor:
        """Gradient ``[rows, sizes[0]]`` of a scalar network in its input.

        One forward and one backward product a layer.

        No autograd graph is needed, so it runs under inference mode and costs half of
        `torch.func.grad`.
        """
        *hidden, last = self._linear()
        slopes = []
        for layer in hidden:
            x = torch.tanh(layer(x))
            slopes.append(1 - x * x)
        gradient = last.weight.expand(x.shape[0], -1)
        for layer, slope in zip(reversed(hidden), reversed(slopes), strict=True):
            gradient = (gradient * slope) @ layer.weight
        return gradient


def positive(**sizes: int) -> None:
    """Refuse sizes that are not positive."""
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{name} must be at least 1, got {size}.")


@runtime_checkable
class Standardizable(Protocol):
    """Dynamics that can measure states and slopes in units of their own spread."""

    def standardize(self, x: Tensor, slope: Tensor) -> None:
        """Take centre and spread from samples ``[samples, rows, dim]`` of states and of dx/dt."""
        ...


class MLPField(VectorField):
    """A plain neural ODE: dx/dt = MLP((x − centre) / spread) · rate.

    All rows share the network.

    Centre and spread of the state and size of the slope are 0 and 1 until `standardize` sets them
    by column.

    Args:
        dim: Columns of the state.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
    """

    centre: Tensor
    spread: Tensor
    rate: Tensor

    def __init__(self, dim: int, width: int = 64, depth: int = 2):
        super().__init__()
        positive(dim=dim, width=width, depth=depth)
        self.dim, self.width, self.depth = dim, width, depth
        self.net = TanhNet([dim] + [width] * depth + [dim])
        self.register_buffer("centre", torch.zeros(dim))
        self.register_buffer("spread", torch.ones(dim))
        self.register_buffer("rate", torch.ones(dim))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Two columns."""
        return [cls(dim=2, width=8)]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        return self.net((x - self.centre) / self.spread) * self.rate

    def standardize(self, x: Tensor, slope: Tensor) -> None:
        """Measure state and slope by column; a constant column keeps the unit 1."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        size = slope.square().mean(0).sqrt()
        spread = x.std(0)
        self.centre.copy_(x.mean(0))
        self.spread.copy_(torch.where(spread > 0, spread, 1.0))
        self.rate.copy_(torch.where(size > 0, size, 1.0))


class Flattened(VectorField):
    """A baseline that looks at all rows of a system at once.

    To the field inside, a system is one row of ``rows · dim`` columns.

    It knows nothing of bodies or graphs: rows permuted is another input to it.

    Args:
        field: A field whose ``dim`` is the number of rows of one system times the columns of a row.
        rows: Rows of one system.
    """

    equivariant: ClassVar[bool] = False

    def __init__(self, field: VectorField, rows: int):
        super().__init__()
        positive(rows=rows)
        if field.dim is None or field.dim % rows:
            raise ConfigError(
                f"Flattened over {rows} rows needs a field whose dim is a multiple of {rows}, got "
                f"{field.dim}."
            )
        self.field, self.rows = field, rows
        self.dim = field.dim // rows

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Three rows of two columns."""
        return [cls(MLPField(dim=6, width=8), rows=3)]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt of all rows; every system must have ``rows`` rows."""
        if topology.rows_each != self.rows:
            raise ConfigError(
                f"Flattened was made for {self.rows} rows a system, got {topology.rows} rows in "
                f"{topology.num_systems} systems."
            )
        flat = Topology.isolated(topology.num_systems).to(x.device)
        if isinstance(t, Tensor) and t.ndim:
            t = t.reshape(topology.num_systems, self.rows, 1)[:, 0]
        answer = self.field(t, x.reshape(topology.num_systems, -1), flat)
        return answer.reshape(x.shape)

    def standardize(self, x: Tensor, slope: Tensor) -> None:
        """Measure every coordinate of every row by itself."""
        if isinstance(self.field, Standardizable):
            self.field.standardize(x.flatten(1)[:, None], slope.flatten(1)[:, None])


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
