"""Opinions that draw near where they are near."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, positive, uniform
from simlearn_networks.coupling import ends, gathered
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem, total


class OpinionLaw(simlearn.VectorField):
    """dx_i/dt = α Σ_j A_ij φ(x_j − x_i) (x_j − x_i), φ(u) = exp(−u²/2ε²).

    Motsch and Tadmor 2014 (SIAM Rev. 56, 577), with a smooth bound of confidence.

    Args:
        rate: α, in 1/time.
        confidence: ε, the difference beyond which opinions hardly count, in units of opinion.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self, rate: float = 1.0, confidence: float = 0.4, aggregation: Aggregation = "mean_degree"
    ):
        super().__init__()
        positive(rate=rate, confidence=confidence)
        self.rate, self.confidence, self.aggregation = rate, confidence, aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt; the pair term does not factorise and is formed on each edge."""
        other, own = ends(x, topology)
        apart = other - own
        drawn = torch.exp(-((apart / self.confidence) ** 2) / 2) * apart
        return self.rate * gathered(drawn, topology, self.aggregation)


class Opinion(GraphSystem):
    """Opinions with bounded confidence; one row a person, x its opinion.

    dx_i/dt = α Σ_j A_ij φ(x_j − x_i) (x_j − x_i), φ(u) = exp(−u²/2ε²) (Motsch and Tadmor 2014, SIAM
    Rev. 56, 577; the bound of Hegselmann and Krause 2002, made smooth). A wide confidence gives one
    opinion, as in DeGroot 1974; a narrow one gives camps. On a symmetric graph the mean is kept.
    Opinions start uniform in [−1, 1).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        rate: α, in 1/time. Good values: 1.
        confidence: ε, the difference beyond which opinions hardly count. Good values: 0.1 to 10.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: mean_degree or mean.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        rate: float = 1.0,
        confidence: float = 0.4,
        aggregation: Aggregation = "mean_degree",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(rate=rate, confidence=confidence)
        self.rate, self.confidence, self.aggregation = rate, confidence, aggregation

    def truth(self) -> OpinionLaw:
        """The law of Motsch and Tadmor."""
        return OpinionLaw(self.rate, self.confidence, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random opinions."""
        return uniform(rng, -1, 1, topology.rows, 1), topology

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The sum of opinions, where A is symmetric."""
        return total(
            self, self.aggregation, "opinion", lambda x, topology: topology.per_system(x[:, 0])
        )
