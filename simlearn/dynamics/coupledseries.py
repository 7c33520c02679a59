"""Network dynamics that are linear in their coefficients: splines of a node and of its pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import Time, VectorField, transformed
from simlearn.dynamics.neural import positive
from simlearn.dynamics.splinebasis import SplineBasis
from simlearn.state import Aggregation, Topology


class CoupledSeries(VectorField):
    """dxᵢ/dt = Σₐ cₐ sₐ(xᵢ) + Σₐᵦ Cₐᵦ pₐ(xᵢ) Σⱼ Aᵢⱼ pᵦ(xⱼ), linear in c and C.

    s and p are 1, x and cubic splines (`SplineBasis`), neutral to the law: no basis is chosen for
    any dynamics. `NetworkLadder` finds the coefficients in closed form.

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

    Raises:
        ConfigError: A number of splines is one, two or three.
    """

    dim: int

    def __init__(
        self,
        dim: int = 1,
        own: int = 10,
        pair: int = 5,
        aggregation: Aggregation = "sum",
        weight: int | None = None,
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
        self.self_basis, self.pair_basis = SplineBasis(dim, own), SplineBasis(dim, pair)
        count = self.self_basis.size + self.pair_basis.size**2
        self.coefficients = nn.Parameter(torch.zeros(count, dim, dtype=torch.float64))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """One column and two, with some coefficients."""
        made = [cls(own=4, pair=0), cls(dim=2, own=4, pair=4)]
        for one in made:
            rng = torch.Generator().manual_seed(0)
            with torch.no_grad():
                one.coefficients.copy_(0.1 * torch.randn(one.coefficients.shape, generator=rng))
        return made

    def measure(self, x: Tensor) -> None:
        """Take ranges and knots from samples ``[samples, dim]``."""
        self.self_basis.measure(x)
        self.pair_basis.measure(x)

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt, ``[rows, dim]``."""
        own, pair, felt = self._parts(x, topology)
        by_self, by_pair = self._weights()
        # over a, then over b: no [rows, P²] is made
        lever = (pair @ by_pair.flatten(1)).reshape(len(x), -1, self.dim)
        slope = own @ by_self + (felt[:, None] @ lever)[:, 0]
        if transformed() or torch.compiler.is_compiling() or bool(self.outside(x, topology).any()):
            off, pull = self._pull(x)
            slope = slope + off * pull
        return slope

    def columns(self, x: Tensor, topology: Topology) -> Tensor:
        """What each coefficient adds to dx/dt of any column, ``[rows, K]``."""
        own, pair, felt = self._parts(x, topology)
        return torch.cat([own, (pair[:, :, None] * felt[:, None]).flatten(1)], dim=-1)

    def tangent(self, x: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
        """∂(dx/dt)/∂x: of each node by itself ``[rows, dim, dim]``, by each edge ``[E, dim, dim]``.

        An edge's part has its weight in A.
        """
        adjacency = topology.adjacency(self.aggregation, self.weight)
        by_self, by_pair = self._weights()
        pair, slope = self.pair_basis.values(x), self.pair_basis.slopes(x)
        own = self.self_basis.slopes(x)[..., None] * by_self
        toward = torch.einsum("abm,rb->ram", by_pair, adjacency @ pair)
        diagonal = self._by_column(self.self_basis, own)
        diagonal = diagonal + self._by_column(self.pair_basis, slope[..., None] * toward)
        if bool(self.outside(x, topology).any()):
            diagonal = diagonal + torch.diag_embed(self._pull(x)[1])
        source, target = topology.graph.edge_index
        lever = (pair @ by_pair.flatten(1)).reshape(len(x), -1, self.dim)
        edges = slope.index_select(0, source)[..., None] * lever.index_select(0, target)
        edges = self._by_column(self.pair_basis, edges)
        return diagonal, adjacency.weight.to(x)[:, None, None] * edges

    def outside(self, x: Tensor, topology: Topology) -> Tensor:
        """Which nodes left the range of the training data, ``[rows]`` bool."""
        basis = self.self_basis
        return ((x < basis.low) | (x > basis.high) | x.isnan()).any(-1)

    def _pull(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """How far out each column is, and the slope that pulls it back, ``[rows, dim]``."""
        basis, (by_self, _) = self.self_basis, self._weights()
        steep = basis.slopes(torch.stack([basis.low, basis.high]))[..., None] * by_self
        low, high = self._by_column(basis, steep).diagonal(dim1=1, dim2=2).clamp_max(0.0)
        off = x - x.maximum(basis.low).minimum(basis.high)
        none = torch.zeros_like(off)
        pull = torch.where(off < 0, low.nan_to_num(), torch.where(off > 0, high.nan_to_num(), none))
        return off, pull

    def _parts(self, x: Tensor, topology: Topology) -> tuple[Tensor, Tensor, Tensor]:
        pair = self.pair_basis.values(x)
        felt = topology.adjacency(self.aggregation, self.weight) @ pair
        return self.self_basis.values(x), pair, felt

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Of s ``[S, dim]`` and of pairs ``[P, P, dim]``."""
        split, size = self.self_basis.size, self.pair_basis.size
        return self.coefficients[:split], self.coefficients[split:].reshape(size, size, self.dim)

    def _by_column(self, basis: SplineBasis, each: Tensor) -> Tensor:
        """Sums over the functions of each column: ``[rows, K, dim]`` to ``[rows, dim, dim]``."""
        found = each.new_zeros(len(each), self.dim, self.dim)
        return found.index_add(1, basis.column(), each).mT
