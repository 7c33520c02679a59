"""Phases that pull at one another, after Kuramoto."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, centred, normal, not_negative, uniform
from simlearn_networks.coupling import of_nodes, pulled
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem, total


class KuramotoLaw(simlearn.VectorField):
    """dθ_i/dt = ω_i + K Σ_j A_ij sin(θ_j − θ_i), ω in column 0 of ``node_attr``.

    Kuramoto 1975; on networks Rodrigues et al. 2016 (Phys. Rep. 610, 1).

    Args:
        coupling: K, in 1/time.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(self, coupling: float = 2.0, aggregation: Aggregation = "mean_degree"):
        super().__init__()
        not_negative(coupling=coupling)
        self.coupling, self.aggregation = coupling, aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dθ/dt."""
        (frequency,) = of_nodes(topology, "KuramotoLaw", "frequency")
        return frequency + self.coupling * pulled(x, topology, self.aggregation)


class Kuramoto(GraphSystem):
    """Oscillators that pull at one another's phase; one row an oscillator, x its phase in radians.

    dθ_i/dt = ω_i + K Σ_j A_ij sin(θ_j − θ_i) (Kuramoto 1975; Rodrigues et al. 2016, Phys. Rep. 610,
    1). Frequencies ω are normal with mean zero, made exactly so by turning the frame, and stand in
    ``node_attr``, anew in each trajectory; phases start uniform in [0, 2π) and are not wrapped. On
    large complete graphs phases lock above K = √(8/π) spread = 1.596 spread. On a symmetric graph
    the sum of phases is kept.

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        coupling: K, in 1/time. Good values: 0 to 5 times spread.
        spread: Standard deviation of the frequencies, in radians/time. Good values: 0 to 1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: mean_degree; graphon, that is 1/n,
            on dense graphs.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        coupling: float = 2.0,
        spread: float = 1.0,
        aggregation: Aggregation = "mean_degree",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        not_negative(coupling=coupling, spread=spread)
        self.coupling, self.spread, self.aggregation = coupling, spread, aggregation

    def truth(self) -> KuramotoLaw:
        """The law of Kuramoto."""
        return KuramotoLaw(self.coupling, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random phases; frequencies that add up to zero."""
        frequency = centred(self.spread * normal(rng, topology.rows, 1))
        phase = uniform(rng, 0, 2 * torch.pi, topology.rows, 1)
        return phase, topology.replace(node_attr=frequency)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The sum of phases, where A is symmetric."""
        return total(
            self, self.aggregation, "phase", lambda x, topology: topology.per_system(x[:, 0])
        )
