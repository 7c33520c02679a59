"""Gene regulation: decay, and activation that saturates."""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, positive
from simlearn_networks.coupling import adjacency, hill, power
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem, Initial, spread


class GeneRegulationLaw(simlearn.VectorField):
    """dx_i/dt = −b x_i^f + Σ_j A_ij x_j^h/(x_j^h + 1).

    Gao, Barzel and Barabási 2016 (Nature 530, 307); Zang and Wang 2020 (KDD, arXiv:1908.06491).

    Args:
        decay: b, in 1/time.
        power: f: 1 is decay, 2 dimerisation.
        hill: h, the cooperation of activators.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        decay: float = 1.0,
        power: float = 1.0,
        hill: float = 2.0,
        aggregation: Aggregation = "sum",
    ):
        super().__init__()
        positive(decay=decay, power=power, hill=hill)
        self.decay, self.power, self.hill, self.aggregation = decay, power, hill, aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        gained = adjacency(topology, self.aggregation) @ hill(x, self.hill)
        return gained - self.decay * power(x, self.power)


class GeneRegulation(GraphSystem):
    """Genes that activate one another; one row a gene, x its expression, dimensionless.

    dx_i/dt = −b x_i^f + Σ_j A_ij x_j^h/(x_j^h + 1), edges lead from the activator (Gao, Barzel and
    Barabási 2016, Nature 530, 307; parameters of Zang and Wang 2020, KDD, arXiv:1908.06491). With
    h > 1 all genes off is a second stable state. Genes start uniform in [0, highest).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        decay: b, in 1/time. Good values: 1.
        power: f: 1 is decay, 2 dimerisation. Good values: 1 or 2.
        hill: h, the cooperation of activators. Good values: 1 or 2.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        initial: random, or ndcn: the blocks of 25, 20 and 17 on a square of nodes, the same in each
            trajectory. Good values: random.
        highest: Highest expression at a random start. Good values: 1 to 25.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        decay: float = 1.0,
        power: float = 1.0,
        hill: float = 2.0,
        aggregation: Aggregation = "sum",
        initial: Initial = "random",
        highest: float = 2.0,
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(decay=decay, power=power, hill=hill, highest=highest)
        self.decay, self.power, self.hill, self.aggregation = decay, power, hill, aggregation
        self.initial, self.highest = initial, highest

    def truth(self) -> GeneRegulationLaw:
        """The law of Gao, Barzel and Barabási."""
        return GeneRegulationLaw(self.decay, self.power, self.hill, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random expressions, or the blocks."""
        return spread(rng, self.initial, topology, 0, self.highest), topology
