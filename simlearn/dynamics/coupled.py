"""Learned dynamics of a network: what a node does by itself, and what its neighbours do to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time, VectorField
from simlearn.dynamics.neural import TanhNet, drive_of, positive, size_of, spread_of
from simlearn.dynamics.pairterms import EdgeNetwork, Factorised, PairTerm
from simlearn.state import Aggregation, Topology, Trajectory

BEYOND = 0.1  # of the range of a column in training: how far beyond it networks still follow


@runtime_checkable
class Enclosed(Protocol):
    """Dynamics whose networks follow in the range of the training data only."""

    def enclose(self, training: Sequence[Trajectory]) -> None:
        """Take the range from the data, where it was not measured before."""
        ...

    def outside(self, x: Tensor, topology: Topology) -> Tensor:
        """Which nodes are seen outside of it, ``[rows]`` bool."""
        ...


class GraphCoupled(VectorField):
    """dxᵢ/dt = rate · (L(zᵢ) + Σⱼ Aᵢⱼ Q(zᵢ, zⱼ)), L and Q learned, shared by all nodes.

    This is the form of Barzel and Barabási (2013, eq. 1). z = (x − centre) / spread, with the
    parameters θᵢ of the node, the inputs and the parameters of the system appended where it is told
    how many there are. Of second order, x = (q, v) and dx/dt = (v, rate · (…)): swings and
    oscillators with inertia.

    Bounded extrapolation: networks see z no farther out than a tenth of its range in training. So
    what is learned is bounded whatever the state, by a constant and the strength of the node, and a
    rollout leaves the range at a bounded speed (of second order: acceleration) instead of
    overflowing. `outside` tells which nodes did.

    Centre, spread and rate are 0, 1 and 1 until `standardize` measures them; the range is unlimited
    until that or `enclose`, which every training calls.

    Args:
        dim: Columns of the state of a node.
        pair: The pair term Q; `Factorised` of the sizes needed where it is None.
        width: Neurons in each hidden layer of L.
        depth: Hidden layers of L.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
        weight: Column of ``edge_attr`` that holds the weights A; ones where it is None.
        node_parameters: Columns of ``node_attr`` that networks see, in units of about one.
        inputs: Columns of the control input.
        attributes: Parameters of each system (columns of ``system_attr``).
        second_order: Whether the second half of the state is the velocity of the first.

    Raises:
        ConfigError: A size is not positive, ``second_order`` with an odd ``dim``, or the pair term
            is of other sizes.
    """

    centre: Tensor
    spread: Tensor
    rate: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        dim: int = 1,
        pair: PairTerm | None = None,
        width: int = 30,
        depth: int = 2,
        aggregation: Aggregation = "sum",
        weight: int | None = None,
        node_parameters: int = 0,
        inputs: int = 0,
        attributes: int = 0,
        second_order: bool = False,
    ):
        super().__init__()
        positive(dim=dim, width=width, depth=depth)
        if second_order and dim % 2:
            raise ConfigError(f"A field of second order has x = (q, v), so dim is even; got {dim}.")
        if min(node_parameters, inputs, attributes) < 0:
            raise ConfigError(
                "node_parameters, inputs and attributes count columns, got "
                f"{node_parameters}, {inputs} and {attributes}."
            )
        self.dim, self.width, self.depth, self.second_order = dim, width, depth, second_order
        self.aggregation, self.weight = aggregation, weight
        self.node_parameters = node_parameters
        self.inputs, self.attributes = inputs, attributes
        learned, seen = (
            dim // 2 if second_order else dim,
            dim + node_parameters + inputs + attributes,
        )
        self.pair = Factorised(seen, learned) if pair is None else pair
        if (self.pair.seen, self.pair.learned) != (seen, learned):
            raise ConfigError(
                f"The field shows {seen} columns to its pair term and adds {learned} to dx/dt; "
                f"{type(self.pair).__name__} was made for {self.pair.seen} and "
                f"{self.pair.learned}."
            )
        self.own = TanhNet([seen] + [width] * depth + [learned])
        for name, value in (("centre", 0.0), ("spread", 1.0)):
            self.register_buffer(name, torch.full((seen,), value))
        for name, value in (("low", -torch.inf), ("high", torch.inf)):
            self.register_buffer(name, torch.full((seen,), value))
        self.register_buffer("rate", torch.ones(learned))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """With both pair terms, of first and of second order."""
        pair = EdgeNetwork(seen=2, learned=1, width=4)
        return [cls(width=4), cls(dim=2, pair=pair, width=4, second_order=True)]

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt.

        Raises:
            ConfigError: Parameters, inputs or attributes are not those it was made for.
            DataError: The weights of the edges do not fit the aggregation, or a parameter of a node
                is not finite.
        """
        z = self._seen(x, topology).clamp(self.low, self.high)
        adjacency = topology.adjacency(self.aggregation, self.weight)
        slope = self.rate * (self.own(z) + self.pair(z, topology, adjacency))
        return torch.cat([x.chunk(2, dim=-1)[1], slope], dim=-1) if self.second_order else slope

    def outside(self, x: Tensor, topology: Topology) -> Tensor:
        """Which nodes networks see at the edge of their range, ``[rows]`` bool."""
        z = self._seen(x, topology)
        return ((z < self.low) | (z > self.high) | z.isnan()).any(-1)

    def standardize(self, x: Tensor, slope: Tensor, drive: Tensor | None = None) -> None:
        """Measure state, drive and slope by column, and the range in which networks follow."""
        x, slope = x.reshape(-1, x.shape[-1]), slope.reshape(-1, slope.shape[-1])
        own = slice(0, x.shape[-1])
        parts = [(own, x)]
        if drive is not None:
            drive = drive.reshape(-1, drive.shape[-1])
            parts.append((slice(len(self.centre) - drive.shape[-1], len(self.centre)), drive))
        for columns, values in parts:
            self.centre[columns] = values.mean(0)
            self.spread[columns] = spread_of(values)
            z = (values - self.centre[columns]) / self.spread[columns]
            least, most = z.amin(0), z.amax(0)
            self.low[columns], self.high[columns] = _beyond(least, most, self.centre[columns])
        self.rate.copy_(size_of(slope)[-len(self.rate) :])

    @torch.no_grad()
    def enclose(self, training: Sequence[Trajectory]) -> None:
        """Take the range in which networks follow from the data, in columns that have none yet."""
        ranges = [self._range(one.to(self.low.device)) for one in training]
        least = torch.stack([low for low, _ in ranges]).amin(0).to(self.low)
        most = torch.stack([high for _, high in ranges]).amax(0).to(self.high)
        low, high = _beyond(least, most, (least + most).abs() / 2)
        # inf − inf: a column that no number was seen of stays unlimited
        free = self.low.isinf() & self.high.isinf() & low.isfinite() & high.isfinite()
        self.low.copy_(torch.where(free, low, self.low))
        self.high.copy_(torch.where(free, high, self.high))

    def _range(self, one: Trajectory) -> tuple[Tensor, Tensor]:
        """Smallest and largest z of a trajectory, ``[seen]``; samples that are missing are none."""
        least, most = torch.full_like(self.low, torch.inf), torch.full_like(self.low, -torch.inf)
        for k in range(one.steps):
            acting = {} if one.inputs is None else {"inputs": one.inputs[k]}
            z = self._seen(one.x[k], one.topology.replace(**acting)).to(self.low)
            if one.mask is not None:
                z = z[one.mask[k]]
            z = z[z.isfinite().all(-1)]
            if len(z):
                least, most = least.minimum(z.amin(0)), most.maximum(z.amax(0))
        return least, most

    def _seen(self, x: Tensor, topology: Topology) -> Tensor:
        """Z before it is bounded, ``[rows, seen]``."""
        seen = [x]
        if self.node_parameters:
            attr = topology.finite("node_attr")
            have = 0 if attr is None else attr.shape[-1]
            if attr is None or have != self.node_parameters:
                raise ConfigError(
                    f"The field was made for {self.node_parameters} parameters of each node "
                    f"(node_attr), the data have {have}."
                )
            seen.append(attr.to(x))
        if self.inputs or self.attributes:
            seen.append(drive_of(topology, self.inputs, self.attributes).to(x))
        whole = torch.cat(seen, dim=-1) if len(seen) > 1 else x
        return (whole - self.centre) / self.spread


def _beyond(least: Tensor, most: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """A range, a tenth wider at both ends.

    The range of a column that does not vary is its own size, as rounding moves it.
    """
    reach = torch.where(most > least, most - least, size.abs())
    return least - BEYOND * reach, most + BEYOND * reach
