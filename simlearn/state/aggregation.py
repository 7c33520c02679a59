"""What the weight of an edge is divided by where neighbours are summed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.state.operator import Adjacency
from simlearn.state.tracing import batched, recorded

if TYPE_CHECKING:
    from simlearn.state.topology import Topology

Aggregation = Literal["sum", "mean", "symmetric", "graphon", "mean_degree"]


def adjacency_of(topology: Topology, aggregation: Aggregation, column: int | None) -> Adjacency:
    """A of a topology; see `Topology.adjacency`."""
    graph, (source, target) = topology.graph, topology.graph.edge_index
    weight = _weights(topology, column)
    if aggregation in ("mean", "symmetric", "mean_degree"):
        if _readable(weight) and bool((weight < 0).any()):
            first = int((weight < 0).int().argmax())
            raise DataError(
                f"Edge {first} ({int(source[first])} → {int(target[first])}) has the weight "
                f"{weight[first].item():g}. Aggregation by {aggregation} divides by the sum of "
                "weights, so these must not be negative; use sum or graphon."
            )
        arrives = weight.new_zeros(graph.rows).index_add(0, target, weight)
        leaves = weight.new_zeros(graph.rows).index_add(0, source, weight)
    if aggregation == "mean":
        weight = _over(weight, arrives[target])
    elif aggregation == "symmetric":
        weight = _over(weight, arrives[target] * leaves[source], 0.5)
    elif aggregation in ("graphon", "mean_degree"):
        rows = topology.per_system(torch.ones_like(topology.system, dtype=torch.float64))
        own = topology.system[target]
        if aggregation == "graphon":
            weight = weight / rows[own]
        else:
            weight = _over(weight, (topology.per_system(arrives) / rows)[own])
    elif aggregation != "sum":
        raise DataError(
            f"Aggregation is sum, mean, symmetric, graphon or mean_degree, got {aggregation!r}."
        )
    return Adjacency(graph.by_target, graph.by_source, weight)


def _weights(topology: Topology, column: int | None) -> Tensor:
    """``[E]`` in float64."""
    edges, attr = topology.graph.edge_index.shape[1], topology.edge_attr
    if column is None:
        return torch.ones(edges, dtype=torch.float64, device=topology.system.device)
    columns = 0 if attr is None else by_edge(attr).shape[1]
    if attr is None or not 0 <= column < columns:
        raise DataError(
            f"Weights were asked from column {column} of edge_attr, which has {columns} columns."
        )
    weight = by_edge(attr)[:, column].to(torch.float64, copy=True)
    if _readable(weight):
        refuse_infinite(topology, "edge_attr", weight)
    return weight


def refuse_infinite(topology: Topology, name: str, values: Tensor) -> None:
    """Say which edge or row has no number.

    Raises:
        DataError: A value is not finite.
    """
    wrong = ~values.isfinite()
    if bool(wrong.any()):
        first = tuple(wrong.nonzero()[0].tolist())
        where = f"row {first[0]}"
        if name == "edge_attr":
            source, target = topology.graph.edge_index[:, first[0]].tolist()
            where = f"edge {first[0]} ({source} → {target})"
        raise DataError(f"{name} of {where} is {values[first].item()}; give a number.")


def by_edge(attr: Tensor) -> Tensor:
    """``[E, a]`` of attributes that may be ``[E]``; E may be zero."""
    return attr[:, None] if attr.ndim == 1 else attr.flatten(1)


def _readable(weight: Tensor) -> bool:
    return not recorded() and not batched(weight)


def _over(weight: Tensor, size: Tensor, power: float = 1.0) -> Tensor:
    return torch.where(size > 0, weight / torch.where(size > 0, size, 1.0) ** power, 0.0)
