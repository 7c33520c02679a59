"""Populations that grow, limit themselves, and act on one another."""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, not_negative, positive, uniform
from simlearn_networks.coupling import adjacency, power
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem


class PopulationLaw(simlearn.VectorField):
    """dx_i/dt = −B x_i^b + R Σ_j A_ij x_j^a.

    Barzel and Barabási 2013 (Nat. Phys. 9, 673). Where a is no whole number, negative x_j count as
    zero.

    Args:
        decay: B, in 1/time where b = 1.
        power: b.
        migration: R.
        neighbour_power: a.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        decay: float = 2.0,
        power: float = 3.0,
        migration: float = 0.3,
        neighbour_power: float = 1.5,
        aggregation: Aggregation = "sum",
    ):
        super().__init__()
        not_negative(decay=decay, migration=migration)
        positive(power=power, neighbour_power=neighbour_power)
        self.decay, self.power, self.migration = decay, power, migration
        self.neighbour_power, self.aggregation = neighbour_power, aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        come = adjacency(topology, self.aggregation) @ power(x, self.neighbour_power)
        return self.migration * come - self.decay * power(x, self.power)


class Population(GraphSystem):
    """Populations with migration (PD); one row a site, x its population.

    dx_i/dt = −B x_i^b + R Σ_j A_ij x_j^a (Barzel and Barabási 2013, Nat. Phys. 9, 673; values of
    Vasiliauskaite and Antulov-Fantulin 2024, arXiv:2301.04900). Sites start uniform in
    [0, highest).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        decay: B, in 1/time where b = 1. Good values: 2.
        power: b; above a, or populations grow without bound. Good values: 3.
        migration: R. Good values: 0.3.
        neighbour_power: a. Good values: 1.5.
        highest: Highest population at the start. Good values: 1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        decay: float = 2.0,
        power: float = 3.0,
        migration: float = 0.3,
        neighbour_power: float = 1.5,
        highest: float = 1.0,
        aggregation: Aggregation = "sum",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(highest=highest)
        self.decay, self.power, self.migration = decay, power, migration
        self.neighbour_power, self.highest = neighbour_power, highest
        self.aggregation = aggregation
        self.truth()  # refuses bad arguments

    def truth(self) -> PopulationLaw:
        """The law of Barzel and Barabási."""
        return PopulationLaw(
            self.decay, self.power, self.migration, self.neighbour_power, self.aggregation
        )

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random populations."""
        return uniform(rng, 0, self.highest, topology.rows, 1), topology


class LotkaVolterraLaw(simlearn.VectorField):
    """dx_i/dt = x_i (r − s x_i + a Σ_j A_ij x_j).

    Lotka 1925; Volterra 1926 (Nature 118, 558); for many species May, Stability and Complexity in
    Model Ecosystems (1973).

    Args:
        growth: r, in 1/time.
        limit: s, in 1/(abundance time).
        interaction: a, in 1/(abundance time); below zero species compete, above they help.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        growth: float = 1.0,
        limit: float = 1.0,
        interaction: float = -0.1,
        aggregation: Aggregation = "sum",
    ):
        super().__init__()
        positive(limit=limit)
        self.growth, self.limit, self.interaction = growth, limit, interaction
        self.aggregation = aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        felt = self.interaction * (adjacency(topology, self.aggregation) @ x)
        return x * (self.growth - self.limit * x + felt)


class LotkaVolterra(GraphSystem):
    """Species that compete or help; one row a species, x its abundance.

    dx_i/dt = x_i (r − s x_i + a Σ_j A_ij x_j) (Lotka 1925; Volterra 1926, Nature 118, 558). The
    weights of the graph may have either sign. Abundances start uniform in [0, highest).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        growth: r, in 1/time. Good values: 1.
        limit: s, in 1/(abundance time). Good values: 1.
        interaction: a, in 1/(abundance time); below zero species compete, above they help. Good
            values: -0.5 to 0.5 over the degree.
        highest: Highest abundance at the start. Good values: 1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        growth: float = 1.0,
        limit: float = 1.0,
        interaction: float = -0.1,
        highest: float = 1.0,
        aggregation: Aggregation = "sum",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(limit=limit, highest=highest)
        self.growth, self.limit, self.interaction = growth, limit, interaction
        self.highest, self.aggregation = highest, aggregation

    def truth(self) -> LotkaVolterraLaw:
        """The law of Lotka and Volterra."""
        return LotkaVolterraLaw(self.growth, self.limit, self.interaction, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random abundances."""
        return uniform(rng, 0, self.highest, topology.rows, 1), topology
