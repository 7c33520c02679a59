"""∂(dx/dt)/∂x of a coupled series, as a matrix."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Topology
from simlearn.state.operator import Csr
from simlearn.training.network.lean import Tangents

DENSE = 1500  # rows · dim up to which that matrix may be full
FILLED = 0.06  # share of its entries from which on it is


class Tangent:
    """∂(dx/dt)/∂x as a matrix of rows · dim, its pattern sorted once.

    It is full where much of it is filled: a product of dense matrices is several times faster then.
    """

    def __init__(self, field: CoupledSeries, topology: Topology):
        self.dim, self.size = field.dim, topology.rows * field.dim
        adjacency, edges = topology.adjacency(field.aggregation, field.weight), topology.graph
        source, target = edges.edge_index
        weight, each = adjacency.weight.double(), torch.arange(field.dim)
        self.full: Tensor | None = None
        if self.size <= DENSE and len(weight) > FILLED * topology.rows**2:
            full = weight.new_zeros(topology.rows, topology.rows)
            full.index_put_((target, source), weight, accumulate=True)
            self.full = torch.kron(full, weight.new_ones(field.dim, field.dim))
            return
        row = (target[:, None, None] * field.dim + each[:, None]).expand(-1, field.dim, field.dim)
        column = (source[:, None, None] * field.dim + each).expand(-1, field.dim, field.dim)
        self.csr = Csr.of(row.flatten(), column.flatten(), self.size)
        self.row = self.csr.rows()
        self.weight = weight.repeat_interleave(field.dim**2)[self.csr.edge]

    def at(self, jet: Tangents) -> Callable[[Tensor], Tensor]:
        """The product by the matrix at a state, ``[rows · dim, k]`` to the same."""
        lever, slope, own = map(torch.from_numpy, (jet.lever, jet.slope, jet.diagonal))
        lever, slope = (one.transpose(1, 2).flatten(0, 1) for one in (lever, slope))
        if self.full is not None:
            matrix = (lever @ slope.T).mul_(self.full)
            blocks = matrix.view(len(own), self.dim, len(own), self.dim)
            blocks.diagonal(dim1=0, dim2=2).add_(own.permute(1, 2, 0))
            return matrix.__matmul__
        parts = lever.index_select(0, self.row) * slope.index_select(0, self.csr.column)
        matrix = self.csr.filled(parts.sum(-1).mul_(self.weight))

        def product(s: Tensor) -> Tensor:
            by_self = (own @ s.unflatten(0, (-1, self.dim))).flatten(0, 1)
            return by_self.add_(matrix @ s)

        return product
