"""Epidemics on a graph: shares of infected at each node."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, not_negative, positive, share, uniform
from simlearn_networks.coupling import adjacency
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem


class SISLaw(simlearn.VectorField):
    """dx_i/dt = −B x_i + R (1 − x_i) Σ_j A_ij x_j.

    Van Mieghem, Omic and Kooij 2009 (IEEE/ACM Trans. Netw. 17, 1).

    Args:
        recovery: B, in 1/time.
        infection: R, in 1/time.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self, recovery: float = 4.0, infection: float = 0.5, aggregation: Aggregation = "sum"
    ):
        super().__init__()
        not_negative(recovery=recovery, infection=infection)
        self.recovery, self.infection, self.aggregation = recovery, infection, aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        around = adjacency(topology, self.aggregation) @ x
        return self.infection * (1 - x) * around - self.recovery * x


class SIS(GraphSystem):
    """An epidemic without immunity; one row a node, x its probability to be infected.

    dx_i/dt = −B x_i + R (1 − x_i) Σ_j A_ij x_j (Van Mieghem, Omic and Kooij 2009, IEEE/ACM Trans.
    Netw. 17, 1; values of Vasiliauskaite and Antulov-Fantulin 2024, arXiv:2301.04900). It dies
    out where R/B is below one over the largest eigenvalue of A. Nodes start uniform in
    [0, infected).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        recovery: B, in 1/time. Good values: 1 to 4.
        infection: R, in 1/time. Good values: 0.1 to 1.
        infected: Highest share at the start, 0 to 1. Good values: 0.1 to 1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        recovery: float = 4.0,
        infection: float = 0.5,
        infected: float = 1.0,
        aggregation: Aggregation = "sum",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        not_negative(recovery=recovery, infection=infection)
        positive(infected=infected)
        share(infected=infected)
        self.recovery, self.infection, self.infected = recovery, infection, infected
        self.aggregation = aggregation

    def truth(self) -> SISLaw:
        """The law of Van Mieghem, Omic and Kooij."""
        return SISLaw(self.recovery, self.infection, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random shares."""
        return uniform(rng, 0, self.infected, topology.rows, 1), topology


class SIRLaw(simlearn.VectorField):
    """ds_i/dt = −β s_i Σ_j A_ij y_j, dy_i/dt = β s_i Σ_j A_ij y_j − γ y_i; x = (s, y).

    y is the infected share. Newman, Networks (2010), ch. 17.

    Args:
        infection: β, in 1/time.
        recovery: γ, in 1/time.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self, infection: float = 0.2, recovery: float = 0.1, aggregation: Aggregation = "sum"
    ):
        super().__init__()
        not_negative(recovery=recovery, infection=infection)
        self.infection, self.recovery, self.aggregation = infection, recovery, aggregation
        self.dim = 2

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        s, y = x.chunk(2, dim=-1)
        caught = self.infection * s * (adjacency(topology, self.aggregation) @ y)
        return torch.cat([-caught, caught - self.recovery * y], dim=-1)


class SIR(GraphSystem):
    """An epidemic that leaves immunity; one row a node, x = (susceptible, infected) shares.

    ds_i/dt = −β s_i Σ_j A_ij y_j, dy_i/dt = β s_i Σ_j A_ij y_j − γ y_i, y the infected share
    (Newman, Networks, 2010, ch. 17); the immune share r is 1 − s − y. The infected share of
    each node starts uniform in [0, infected), nobody is immune. Σ_i (ln s_i + β/γ Σ_j A_ij r_j) is
    kept, on any graph.

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        infection: β, in 1/time. Good values: 0.05 to 0.5.
        recovery: γ, in 1/time. Good values: 0.1.
        infected: Highest infected share at the start, 0 to 1. Good values: 0.01 to 0.2.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        infection: float = 0.2,
        recovery: float = 0.1,
        infected: float = 0.1,
        aggregation: Aggregation = "sum",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        not_negative(infection=infection, recovery=recovery)
        positive(infected=infected)
        share(infected=infected)
        self.infection, self.recovery, self.infected = infection, recovery, infected
        self.aggregation = aggregation

    def truth(self) -> SIRLaw:
        """Susceptible, infected, recovered."""
        return SIRLaw(self.infection, self.recovery, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random infected shares."""
        y = uniform(rng, 0, self.infected, topology.rows, 1)
        return torch.cat([1 - y, y], dim=-1), topology

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """Σ_i (ln s_i + β/γ Σ_j A_ij r_j), which gives the final size of the epidemic.

        It is kept because d(ln s_i)/dt = −β/γ Σ_j A_ij dr_j/dt, r being the immune share.
        """
        return {"final_size": self._final_size} if self.recovery else {}

    def _final_size(self, x: Tensor, topology: Topology) -> Tensor:
        s, y = x.split(1, dim=1)
        immune = adjacency(topology, self.aggregation) @ (1 - s - y)
        return topology.per_system((s.log() + self.infection / self.recovery * immune).squeeze(1))
