"""Network dynamics that are linear in their coefficients: splines of a node and of its pairs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError, DataError
from simlearn.dynamics.base import Time, VectorField
from simlearn.dynamics.neural import positive
from simlearn.dynamics.splinebasis import SplineBasis
from simlearn.state import Aggregation, Topology
from simlearn.state.tracing import transformed


class Jet(NamedTuple):
    """A field at a state, and what it changes by.

    Attributes:
        rate: dx/dt, ``[rows, dim]``.
        columns: What each coefficient adds to dx/dt of any column inside the range, ``[rows, K]``.
        diagonal: ∂(dxᵢ/dt)/∂xᵢ, ``[rows, dim, dim]``.
        lever: Σₐ Cₐᵦ pₐ(xᵢ), ``[rows, P, dim]``.
        slope: ∂pᵦ(xⱼ)/∂xⱼ, ``[rows, P, dim]``; Aᵢⱼ Σᵦ leverᵢᵦ slopeⱼᵦ is ∂(dxᵢ/dt)/∂xⱼ.
    """

    rate: Tensor
    columns: Tensor
    diagonal: Tensor
    lever: Tensor
    slope: Tensor


class CoupledSeries(VectorField):
    """dxᵢ/dt = Σₐ cₐ sₐ(xᵢ) + Σₐᵦ Cₐᵦ pₐ(xᵢ) Σⱼ Aᵢⱼ pᵦ(xⱼ), linear in c and C.

    s and p are 1, x, cubic splines, and of angles sines and cosines (`SplineBasis`); s also has the
    products of two columns. They are neutral to the law: no basis is chosen for any dynamics.
    Parameters of the nodes, where named, multiply each function of the node that feels (sₐ and pₐ).
    `NetworkLadder` finds the coefficients in closed form.

    Bounded extrapolation: outside the range of the training data every function keeps its value at
    the edge, and the term of the node itself goes on along its tangent where that pulls back. So
    dx/dt pushes outward by no more than a constant and the strength of the node, and rollouts leave
    the range at a bounded speed; `outside` tells which nodes did.

    Args:
        dim: Columns of the state of a node.
        own: Splines of each column in s; none, or four or more.
        pair: Splines of each column in p.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
        weight: Column of ``edge_attr`` that holds the weights A; ones where it is None.
        angles: Columns (from 0) of the state that are angles, in radians.
        node: Columns (from 0) of ``node_attr`` that are parameters of the law.

    Raises:
        ConfigError: A number of splines is one, two or three, or there is no such column.
        DataError: The topology lacks the columns of ``node_attr``, or one of their values is not
            finite.
    """

    dim: int
    unit: Tensor

    def __init__(
        self,
        dim: int = 1,
        own: int = 10,
        pair: int = 5,
        aggregation: Aggregation = "sum",
        weight: int | None = None,
        angles: Sequence[int] = (),
        node: Sequence[int] = (),
    ):
        super().__init__()
        positive(dim=dim)
        for name, count in (("own", own), ("pair", pair)):
            if count and count < 4:
                raise ConfigError(
                    f"{name} is a number of cubic splines: 0 or at least 4, got {count}."
                )
        self.dim, self.own, self.pair = dim, own, pair
        self.aggregation, self.weight = aggregation, weight
        self.angles, self.node = tuple(angles), tuple(node)
        if any(k < 0 for k in self.node):
            raise ConfigError(f"node names columns of node_attr from 0, got {list(node)}.")
        self.self_basis = SplineBasis(dim, own, self.angles, products=True)
        self.pair_basis = SplineBasis(dim, pair, self.angles)
        self.register_buffer("unit", torch.ones(len(self.node), dtype=torch.float64))
        each = 1 + len(self.node)
        count = each * (self.self_basis.size + self.pair_basis.size**2)
        self.coefficients = nn.Parameter(torch.zeros(count, dim, dtype=torch.float64))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One column and two, an angle among them, with some coefficients."""
        made = [cls(own=4, pair=0), cls(dim=2, own=4, pair=4), cls(dim=2, own=4, angles=[0])]
        for one in made:
            rng = torch.Generator().manual_seed(0)
            with torch.no_grad():
                one.coefficients.copy_(0.1 * torch.randn(one.coefficients.shape, generator=rng))
        return made

    @torch.no_grad()
    def measure(self, x: Tensor, node_attr: Tensor | None = None) -> None:
        """Take ranges and knots from samples ``[samples, dim]``, scales of parameters of nodes."""
        self.self_basis.measure(x)
        self.pair_basis.measure(x)
        if self.node and node_attr is not None:
            largest = node_attr[:, list(self.node)].abs().amax(0)
            self.unit.copy_(torch.where(largest > 0, largest, 1.0))

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt, ``[rows, dim]``."""
        pair, given = self.pair_basis.values(x), self.given(x, topology)
        felt = topology.adjacency(self.aggregation, self.weight) @ pair
        by_self, _ = self._weights()
        own = _times(self.self_basis.values(x), given)
        # over a, then over b: no [rows, P²] is made
        lever = self._lever(_times(pair, given), felt.shape[1])
        slope = own @ by_self + (felt[..., None] * lever).sum(1)
        if transformed() or torch.compiler.is_compiling() or bool(self.outside(x, topology).any()):
            off, pull = self._pull(x, given)
            slope = slope + off * pull
        return slope

    def columns(self, x: Tensor, topology: Topology) -> Tensor:
        """What each coefficient adds to dx/dt of any column inside the range, ``[rows, K]``."""
        pair, given = self.pair_basis.values(x), self.given(x, topology)
        felt = topology.adjacency(self.aggregation, self.weight) @ pair
        return self._columns(_times(self.self_basis.values(x), given), _times(pair, given), felt)

    def jet(self, x: Tensor, topology: Topology) -> Jet:
        """Columns and the parts of ∂(dx/dt)/∂x at once."""
        given = self.given(x, topology)
        (own, own_slope), (pair, slope) = self.self_basis.jet(x), self.pair_basis.jet(x)
        felt = topology.adjacency(self.aggregation, self.weight) @ pair
        by_self, by_pair = self._weights()
        receiver = _times(pair, given)
        toward = (felt @ by_pair.transpose(0, 1).flatten(1)).reshape(len(x), -1, self.dim)
        diagonal = _by_column(own_slope, given, by_self.expand(len(x), -1, -1))
        diagonal = diagonal + _by_column(slope, given, toward)
        columns = self._columns(_times(own, given), receiver, felt)
        rate = columns @ self.coefficients
        if bool(self.outside(x, topology).any()):
            off, pull = self._pull(x, given)
            rate, diagonal = rate + off * pull, diagonal + torch.diag_embed(pull)
        return Jet(rate, columns, diagonal, self._lever(receiver, pair.shape[1]), slope)

    def tangent(self, x: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
        """∂(dx/dt)/∂x: of each node by itself ``[rows, dim, dim]``, by each edge ``[E, dim, dim]``.

        An edge's part has its weight in A.
        """
        jet, (source, target) = self.jet(x, topology), topology.graph.edge_index
        lever, slope = jet.lever.index_select(0, target), jet.slope.index_select(0, source)
        weight = topology.adjacency(self.aggregation, self.weight).weight.to(x)
        return jet.diagonal, weight[:, None, None] * (lever.mT @ slope)

    def outside(self, x: Tensor, topology: Topology) -> Tensor:
        """Which nodes left the range of the training data, ``[rows]`` bool."""
        basis = self.self_basis
        return ((x < basis.low) | (x > basis.high) | x.isnan()).any(-1)

    def _pull(self, x: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """How far out each column is, and the slope that pulls it back, ``[rows, dim]``."""
        basis, (by_self, _) = self.self_basis, self._weights()
        steep = basis.edge.repeat(1, 1 + len(self.node), 1)
        each = (steep * by_self).unflatten(1, (1 + len(self.node), -1)).sum(2)
        rest = each[:, 0] if given is None else torch.einsum("eam,ra->erm", each, given)
        low, high = rest.nan_to_num().clamp_max(0.0)
        off = x - x.maximum(basis.low).minimum(basis.high)
        none = torch.zeros_like(off)
        return off, torch.where(off < 0, low, torch.where(off > 0, high, none))

    def given(self, x: Tensor, topology: Topology) -> Tensor | None:
        """One and the parameters of the nodes, ``[rows, 1 + node]``; None where there are none."""
        if not self.node:
            return None
        known = topology.finite("node_attr")
        if known is None or known.shape[1] <= max(self.node):
            have = 0 if known is None else known.shape[1]
            raise DataError(
                f"CoupledSeries needs columns {list(self.node)} of node_attr, and the topology has "
                f"{have}. Give every node its parameters."
            )
        scaled = known[:, list(self.node)].to(x) / self.unit.to(x)
        return torch.cat([torch.ones_like(scaled[:, :1]), scaled], dim=1)

    def _columns(self, own: Tensor, receiver: Tensor, felt: Tensor) -> Tensor:
        return torch.cat([own, (receiver[:, :, None] * felt[:, None]).flatten(1)], dim=-1)

    def _lever(self, receiver: Tensor, size: int) -> Tensor:
        """What each function of a neighbour moves a node by, ``[rows, P, dim]``."""
        _, by_pair = self._weights()
        return (receiver @ by_pair.flatten(-2)).reshape(len(receiver), size, self.dim)

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Of s ``[S, dim]`` and of pairs ``[P, P, dim]``, the first P times 1 + node."""
        each, size = 1 + len(self.node), self.pair_basis.size
        split = each * self.self_basis.size
        pairs = self.coefficients[split:].reshape(each * size, size, self.dim)
        return self.coefficients[:split], pairs


def _times(values: Tensor, given: Tensor | None) -> Tensor:
    """Functions times 1 and each parameter of the node, ``[rows, (1 + node) · K]``."""
    return values if given is None else (given[..., None] * values[:, None]).flatten(1)


def _by_column(slopes: Tensor, given: Tensor | None, weights: Tensor) -> Tensor:
    """Σₐ ∂fₐ/∂x cₐ of weights ``[rows, (1 + node) · K, dim]``, as ``[rows, dim, dim]``."""
    if given is not None:
        weights = (given[..., None, None] * weights.unflatten(1, (given.shape[1], -1))).sum(1)
    return weights.mT @ slopes
