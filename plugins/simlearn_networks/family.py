"""Graph families: what a config names where a system wants a graph."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Graph, Topology
from simlearn_networks.common import uniform


@dataclass(frozen=True)
class Links:
    """The edges of a graph as a family makes them.

    Attributes:
        nodes: Number of nodes.
        ends: ``[2, links]`` int64. Each undirected link once, in whichever order of its ends.
        directed: Whether a link leads from the first end to the second only.
        weight: ``[links]`` float64, None where every link counts as one.
        names: Of the nodes, empty where they have none.
    """

    nodes: int
    ends: Tensor
    directed: bool = False
    weight: Tensor | None = None
    names: tuple[str, ...] = ()


class GraphFamily(simlearn.Component):
    """Graphs of one kind, from which a system draws its own.

    A family that draws takes every random number from the generator that it is given. Both
    directions of an undirected link stand in the graph, with one weight, and edges are sorted by
    source, then target; so the same generator state gives the same graph, edge for edge.
    """

    @abstractmethod
    def links(self, rng: torch.Generator) -> Links:
        """A graph of the family, its links in an order that depends on the generator only."""

    @final
    def draw(self, rng: torch.Generator) -> Topology:
        """A graph of the family as one system; weights stand in column 0 of ``edge_attr``."""
        links = self.links(rng)
        ends, weight = links.ends, links.weight
        if not links.directed:
            back = (ends[0] != ends[1]).nonzero().squeeze(1)
            ends = torch.cat([ends, ends[:, back].flip(0)], dim=1)
            weight = None if weight is None else torch.cat([weight, weight[back]])
        order = torch.argsort(ends[0] * links.nodes + ends[1], stable=True)
        return Topology(
            Graph(ends[:, order].contiguous(), links.nodes),
            edge_attr=None if weight is None else weight[order].unsqueeze(1),
            node_type=torch.arange(links.nodes) if links.names else None,
            node_names=links.names,
        )


def interval(weights: Sequence[float] | None) -> None:
    """Refuse weights that are no interval.

    Raises:
        ConfigError: They are not two finite numbers in order.
    """
    if weights is None:
        return
    if len(weights) != 2 or not -np.inf < weights[0] <= weights[1] < np.inf:
        raise ConfigError(
            f"weights must be [low, high], between which every weight is drawn; got "
            f"{list(weights)}. Leave them out for weights of one."
        )


def weighed(
    rng: torch.Generator,
    nodes: int,
    ends: np.ndarray | Tensor,
    weights: Sequence[float] | None,
    directed: bool = False,
) -> Links:
    """Links with weights drawn uniformly from an interval, or without any."""
    found = torch.as_tensor(ends, dtype=torch.int64).reshape(2, -1)
    drawn = None if weights is None else uniform(rng, weights[0], weights[1], found.shape[1])
    return Links(nodes, found, directed, drawn)


def numpys(rng: torch.Generator) -> np.random.Generator:
    """A NumPy generator whose stream depends on the state of this one, which moves on."""
    words = torch.randint(0, 2**32, (4,), generator=rng, dtype=torch.int64)
    return np.random.default_rng(words.tolist())
