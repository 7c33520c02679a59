"""Sums over neighbours, as the laws write them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simlearn import DataError, Topology
from simlearn_networks.common import Aggregation

if TYPE_CHECKING:
    from simlearn.state.operator import Adjacency


def adjacency(topology: Topology, aggregation: Aggregation) -> Adjacency:
    """A: column 0 of ``edge_attr`` weighs the edges, or every edge counts as one."""
    return topology.adjacency(aggregation, None if topology.edge_attr is None else 0)


def diffused(x: Tensor, topology: Topology, aggregation: Aggregation) -> Tensor:
    """Σⱼ Aᵢⱼ (xⱼ − xᵢ), ``[rows, k]``: one product, Σⱼ Aᵢⱼ being its last column."""
    both = torch.cat([x, torch.ones_like(x[:, :1])], dim=-1)
    total = adjacency(topology, aggregation) @ both
    return total[:, :-1] - total[:, -1:] * x


def pulled(theta: Tensor, topology: Topology, aggregation: Aggregation) -> Tensor:
    """Σⱼ Aᵢⱼ sin(θⱼ − θᵢ), ``[rows, 1]``, from sin(θⱼ − θᵢ) = sin θⱼ cos θᵢ − cos θⱼ sin θᵢ."""
    sine, cosine = theta.sin(), theta.cos()
    total = adjacency(topology, aggregation) @ torch.cat([sine, cosine], dim=-1)
    return total[:, :1] * cosine - total[:, 1:] * sine


def bonds(theta: Tensor, topology: Topology, aggregation: Aggregation) -> Tensor:
    """−½ Σⱼ Aᵢⱼ cos(θⱼ − θᵢ), ``[rows]``: each end's half of the energy whose force is `pulled`."""
    both = torch.cat([theta.cos(), theta.sin()], dim=-1)
    return -((adjacency(topology, aggregation) @ both) * both).sum(-1) / 2


def ends(x: Tensor, topology: Topology) -> tuple[Tensor, Tensor]:
    """State of the source and of the target of every edge, each ``[E, k]``."""
    source, target = topology.graph.edge_index
    return x.index_select(0, source), x.index_select(0, target)


def gathered(terms: Tensor, topology: Topology, aggregation: Aggregation) -> Tensor:
    """Σⱼ Aᵢⱼ Qᵢⱼ of terms that do not factorise, one an edge: ``[E, k]`` to ``[rows, k]``."""
    weight = adjacency(topology, aggregation).weight.to(terms.dtype)
    none = terms.new_zeros(topology.rows, terms.shape[-1])
    return none.index_add(0, topology.graph.edge_index[1], weight[:, None] * terms)


def power(x: Tensor, exponent: float) -> Tensor:
    """x^exponent; where the exponent is no whole number, a negative x counts as zero."""
    if float(exponent).is_integer():
        return x ** int(exponent)
    return x.clamp(min=0) ** exponent


def hill(x: Tensor, exponent: float) -> Tensor:
    """x^h/(x^h + 1), which saturates at one."""
    raised = power(x, exponent)
    return raised / (raised + 1)


def of_nodes(topology: Topology, law: str, *names: str) -> tuple[Tensor, ...]:
    """The first columns of ``node_attr``, each ``[rows, 1]``.

    Raises:
        DataError: The nodes do not carry so many.
    """
    attr = topology.node_attr
    columns = 0 if attr is None else attr.reshape(topology.rows, -1).shape[1]
    if attr is None or columns < len(names):
        raise DataError(
            f"{law} needs node_attr [rows, {len(names)}] with the columns {', '.join(names)}; the "
            f"topology has {columns}."
        )
    return tuple(attr.reshape(topology.rows, -1)[:, : len(names)].split(1, dim=1))


def symmetric(topology: Topology) -> bool:
    """Whether every edge stands there in both directions, with one weight."""
    source, target = topology.graph.edge_index
    weight = torch.ones(len(source)) if topology.edge_attr is None else topology.edge_attr[:, 0]
    forth = torch.argsort(source * topology.rows + target, stable=True)
    back = torch.argsort(target * topology.rows + source, stable=True)
    return (
        torch.equal(source[forth], target[back])
        and torch.equal(target[forth], source[back])
        and torch.equal(weight[forth], weight[back])
    )


def balanced(topology: Topology, aggregation: Aggregation) -> bool:
    """Whether A is symmetric, so that what one end of an edge loses the other gains."""
    return aggregation != "mean" and symmetric(topology)
