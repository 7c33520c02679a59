"""Networks and their analytic gradients; plain neural vector fields and maps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time, VectorField
from simlearn.dynamics.slopes import input_gradient
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

        One forward and one backward product a layer. No autograd graph is needed, so it runs under
        inference mode and costs half of `torch.func.grad`.
        """
        *hidden, last = self.layers._modules.values()  # quicker: a rollout asks twice a step
        own: list[Any] = [weight for one in hidden for weight in (one.weight, one.bias)]
        return input_gradient(x, last.weight, own)  # type: ignore[arg-type]


def positive(**sizes: int) -> None:
    """Refuse sizes that are not positive."""
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"{name} must be at least 1, got {size}.")


@runtime_checkable
class Standardizable(Protocol):
    """Dynamics that can measure what they see and answer in units of its own spread."""

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Take scales from samples ``[samples, rows, dim]`` of states and of dx/dt.

        ``drive`` is ``[samples, rows, inputs + parameters]``, where the dynamics see any.
        """
        ...


def spread_of(columns: Tensor) -> Tensor:
    """Standard deviation of each column ``[dim]``; 1 where a column is constant."""
    spread = columns.std(0)
    return torch.where(spread > 0, spread, 1.0)


def size_of(columns: Tensor) -> Tensor:
    """Root mean square of each column ``[dim]``; 1 where a column is zero."""
    size = columns.square().mean(0).sqrt()
    return torch.where(size > 0, size, 1.0)


class MLPField(VectorField):
    """A plain neural ODE: dx/dt = rate · MLP(z), z = ((x, u, θ) − centre) / spread.

    All rows share the network. It sees the state, and the control inputs u and the parameters θ of
    the system where it is told how many there are. Of second order, x = (q, v) and
    dx/dt = (v, rate · MLP(z)): only the acceleration is learned.

    Centre, spread and rate are 0, 1 and 1 until `standardize` sets them by column.

    Args:
        dim: Columns of the state.
        width: Neurons in each hidden layer.
        depth: Hidden layers.
        inputs: Columns of the control input.
        attributes: Parameters of each system (columns of ``system_attr``).
        second_order: Whether the second half of the state is the velocity of the first.

    Raises:
        ConfigError: A size is not positive, or ``second_order`` with an odd ``dim``.
    """

    centre: Tensor
    spread: Tensor
    rate: Tensor

    def __init__(
        self,
        dim: int,
        width: int = 64,
        depth: int = 2,
        inputs: int = 0,
        attributes: int = 0,
        second_order: bool = False,
    ):
        super().__init__()
        positive(dim=dim, width=width, depth=depth)
        if second_order and dim % 2:
            raise ConfigError(f"A field of second order has x = (q, v), so dim is even; got {dim}.")
        if inputs < 0 or attributes < 0:
            raise ConfigError(
                f"inputs and attributes count columns, got {inputs} and {attributes}."
            )
        self.dim, self.width, self.depth = dim, width, depth
        self.inputs, self.attributes, self.second_order = inputs, attributes, second_order
        seen, learned = dim + inputs + attributes, dim // 2 if second_order else dim
        self.net = TanhNet([seen] + [width] * depth + [learned])
        self.register_buffer("centre", torch.zeros(seen))
        self.register_buffer("spread", torch.ones(seen))
        self.register_buffer("rate", torch.ones(learned))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Of first and of second order."""
        return [cls(dim=2, width=8), cls(dim=2, width=8, second_order=True)]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt.

        Raises:
            ConfigError: Inputs or parameters are not those it was made for.
        """
        seen = x
        if self.inputs or self.attributes:
            seen = torch.cat([x, drive_of(topology, self.inputs, self.attributes)], dim=-1)
        slope = self.net((seen - self.centre) / self.spread) * self.rate
        return torch.cat([x.chunk(2, dim=-1)[1], slope], dim=-1) if self.second_order else slope

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure state, drive and slope by column; a constant column keeps the unit 1."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        if drive is not None:
            x = torch.cat([x, drive.reshape(-1, drive.shape[-1])], dim=-1)
        self.centre.copy_(x.mean(0))
        self.spread.copy_(spread_of(x))
        self.rate.copy_(size_of(slope)[-len(self.rate) :])


def drive_of(topology: Topology, inputs: int, attributes: int) -> Tensor:
    """Control inputs and parameters of the systems, for every row ``[rows, inputs + attributes]``.

    Raises:
        ConfigError: There are none, or not as many.
    """
    found = []
    for count, value, name in (
        (inputs, topology.inputs, "inputs"),
        (attributes, topology.system_attr, "attributes (system_attr)"),
    ):
        have = 0 if value is None else value.shape[-1]
        if count and (value is None or have != count):
            raise ConfigError(f"The field was made for {count} {name}, the data have {have}.")
        if count and value is not None:
            found.append(value if name == "inputs" else topology.per_row(value))
    return torch.cat(found, dim=-1)


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
        flat = flat.replace(
            inputs=_wide(topology.inputs, topology.num_systems), system_attr=topology.system_attr
        )
        if isinstance(t, Tensor) and t.ndim:
            t = t.reshape(topology.num_systems, self.rows, 1)[:, 0]
        answer = self.field(t, x.reshape(topology.num_systems, -1), flat)
        return answer.reshape(x.shape)

    @property
    def inputs(self) -> int:
        """Control inputs of each row."""
        return getattr(self.field, "inputs", 0) // self.rows

    @property
    def attributes(self) -> int:
        """Parameters of each system."""
        return getattr(self.field, "attributes", 0)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure every coordinate of every row by itself."""
        if not isinstance(self.field, Standardizable):
            return
        if drive is not None:
            rows, shared = drive.split([self.inputs, self.attributes], dim=-1)
            drive = torch.cat([rows.flatten(1), shared[:, 0]], dim=-1)[:, None]
        self.field.standardize(x.flatten(1)[:, None], slope.flatten(1)[:, None], drive)


def _wide(value: Tensor | None, systems: int) -> Tensor | None:
    """All rows of a system side by side: ``[rows, u]`` to ``[systems, rows/systems · u]``."""
    return None if value is None else value.reshape(systems, -1)
