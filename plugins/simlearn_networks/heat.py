"""Diffusion along the edges of a graph."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, positive
from simlearn_networks.coupling import diffused
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem, Initial, spread, total


class HeatLaw(simlearn.VectorField):
    """dx_i/dt = κ Σ_j A_ij (x_j − x_i).

    Zang and Wang 2020 (KDD, arXiv:1908.06491).

    Args:
        conductance: κ, in 1/time.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(self, conductance: float = 1.0, aggregation: Aggregation = "sum"):
        super().__init__()
        positive(conductance=conductance)
        self.conductance, self.aggregation = conductance, aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        return self.conductance * diffused(x, topology, self.aggregation)


class Heat(GraphSystem):
    """Heat that flows along edges, towards the mean; one row a node, x its temperature.

    dx_i/dt = κ Σ_j A_ij (x_j − x_i) (Zang and Wang 2020, KDD, arXiv:1908.06491; GNVF has κ = 0.5,
    Vasiliauskaite and Antulov-Fantulin 2024, arXiv:2301.04900). On a symmetric graph the total
    is kept and differences decay at κ times the eigenvalues of the Laplacian. Nodes start uniform
    in [0, highest).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        conductance: κ, in 1/time. Good values: 0.5 or 1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        initial: random, or ndcn: the blocks of 25, 20 and 17 on a square of nodes, the same in each
            trajectory. Good values: random.
        highest: Highest temperature of a random start. Good values: 1 to 25.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        conductance: float = 1.0,
        aggregation: Aggregation = "sum",
        initial: Initial = "random",
        highest: float = 25.0,
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(conductance=conductance, highest=highest)
        self.conductance, self.aggregation = conductance, aggregation
        self.initial, self.highest = initial, highest

    def truth(self) -> HeatLaw:
        """The law of heat."""
        return HeatLaw(self.conductance, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random temperatures, or the blocks."""
        return spread(rng, self.initial, topology, 0, self.highest), topology

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The heat, where A is symmetric."""
        return total(
            self, self.aggregation, "heat", lambda x, topology: topology.per_system(x[:, 0])
        )
