"""What all systems on graphs share: which graph, and when it is drawn."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_networks.common import UNITS, uniform
from simlearn_networks.coupling import balanced
from simlearn_networks.family import GraphFamily
from simlearn_networks.random_graphs import ErdosRenyi

# up to so many rows, a stack of trajectories is faster than one after another
STACKED = 200

Initial = Literal["random", "ndcn"]


class GraphSystem(simlearn.System):
    """Dynamics on a graph of a family.

    Unless ``fresh``, the graph is one for all trajectories and depends on ``graph_seed`` only.
    """

    def __init__(self, graph: GraphFamily | None, graph_seed: int, fresh: bool):
        if graph_seed < 0:
            raise ConfigError(f"graph_seed is a whole number from 0 on, got {graph_seed}.")
        self.graph = ErdosRenyi() if graph is None else graph
        self.graph_seed, self.fresh = graph_seed, fresh
        self._drawn: Topology | None = None

    @abstractmethod
    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """A random state ``[rows, dim]`` on a graph, and the graph with what its nodes carry."""

    @property
    def stack(self) -> bool:  # type: ignore[override]  # depends on the graph here
        """Small graphs are integrated side by side."""
        return self.network().rows <= STACKED

    def network(self) -> Topology:
        """The graph of ``graph_seed``: that of all trajectories unless they draw fresh ones."""
        if self._drawn is None:
            self._drawn = self.graph.draw(torch.Generator().manual_seed(self.graph_seed))
        return self._drawn

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random state on the graph."""
        return self.place(rng, self.graph.draw(rng) if self.fresh else self.network())

    @simlearn.optional
    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS

    def __getstate__(self) -> dict[str, Any]:
        """What is sent to another process: the arguments; the graph is drawn there anew."""
        return {**self.__dict__, "_drawn": None}


def total(
    system: GraphSystem, aggregation: Any, name: str, invariant: simlearn.Invariant
) -> dict[str, simlearn.Invariant]:
    """An invariant that holds where A is symmetric, by name; none where it is not."""
    return {name: invariant} if balanced(system.network(), aggregation) else {}


def spread(
    rng: torch.Generator, initial: Initial, topology: Topology, low: float, high: float
) -> Tensor:
    """Each node uniform in [low, high), or the blocks of NDCN, ``[rows, 1]``."""
    return blocks(topology.rows) if initial == "ndcn" else uniform(rng, low, high, topology.rows, 1)


def blocks(rows: int) -> Tensor:
    """The start of NDCN (Zang and Wang 2020, arXiv:1908.06491): three hot blocks, ``[rows, 1]``.

    On 20 × 20 nodes, rows 1 to 4 by columns 1 to 4 are 25, rows 9 to 14 by columns 9 to 14 are 20,
    rows 1 to 4 by columns 7 to 12 are 17, all others zero; in proportion on other squares.

    Raises:
        ConfigError: The number of nodes is no square.
    """
    side = int(rows**0.5 + 0.5)
    if side * side != rows:
        raise ConfigError(
            f"initial: ndcn lays the nodes out on a square, 400 in the protocol of NDCN; the graph "
            f"has {rows} nodes. Take a square number of nodes, or initial: random."
        )
    cut = {percent: percent * side // 100 for percent in (5, 25, 35, 45, 65, 75)}
    x = torch.zeros(side, side, dtype=torch.float64)
    x[cut[5] : cut[25], cut[5] : cut[25]] = 25
    x[cut[45] : cut[75], cut[45] : cut[75]] = 20
    x[cut[5] : cut[25], cut[35] : cut[65]] = 17
    return x.reshape(-1, 1)
