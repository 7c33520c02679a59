"""Species that help one another, with a threshold below which they die out."""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, not_negative, positive
from simlearn_networks.coupling import ends, gathered
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem, Initial, spread


class MutualisticLaw(simlearn.VectorField):
    """dx_i/dt = b + x_i (1 − x_i/k) (x_i/c − 1) + Σ_j A_ij x_i x_j/(d + e x_i + h x_j).

    Gao, Barzel and Barabási 2016 (Nature 530, 307).

    Args:
        migration: b, abundance per time.
        capacity: k, an abundance.
        threshold: c, the abundance below which a species alone dwindles (Allee effect).
        saturation: d, an abundance times time.
        own: e, how the species itself saturates the help.
        partner: h, how its partner saturates it.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        migration: float = 0.1,
        capacity: float = 5.0,
        threshold: float = 1.0,
        saturation: float = 5.0,
        own: float = 0.9,
        partner: float = 0.1,
        aggregation: Aggregation = "sum",
    ):
        super().__init__()
        not_negative(migration=migration, own=own, partner=partner)
        positive(capacity=capacity, threshold=threshold, saturation=saturation)
        self.migration, self.capacity, self.threshold = migration, capacity, threshold
        self.saturation, self.own, self.partner = saturation, own, partner
        self.aggregation = aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt; the pair term does not factorise and is formed on each edge."""
        partner, own = ends(x, topology)
        below = self.saturation + self.own * own + self.partner * partner
        helped = gathered(own * partner / below, topology, self.aggregation)
        alone = x * (1 - x / self.capacity) * (x / self.threshold - 1)
        return self.migration + alone + helped


class Mutualistic(GraphSystem):
    """Plants and pollinators: species that help one another; one row a species, x its abundance.

    dx_i/dt = b + x_i (1 − x_i/k) (x_i/c − 1) + Σ_j A_ij x_i x_j/(d + e x_i + h x_j) (Gao, Barzel
    and Barabási 2016, Nature 530, 307; parameters of Zang and Wang 2020, KDD, arXiv:1908.06491).
    Bistable where species have few partners; stiff at large abundances. Species start uniform in
    [0, highest).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        migration: b, abundance per time. Good values: 0.1.
        capacity: k, an abundance. Good values: 5.
        threshold: c, the abundance below which a species alone dwindles. Good values: 1.
        saturation: d, an abundance times time. Good values: 5.
        own: e, how the species itself saturates the help. Good values: 0.9.
        partner: h, how its partner saturates it. Good values: 0.1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        initial: random, or ndcn: the blocks of 25, 20 and 17 on a square of nodes, the same in each
            trajectory. Good values: random.
        highest: Highest abundance at a random start. Good values: 1 to 25.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        migration: float = 0.1,
        capacity: float = 5.0,
        threshold: float = 1.0,
        saturation: float = 5.0,
        own: float = 0.9,
        partner: float = 0.1,
        aggregation: Aggregation = "sum",
        initial: Initial = "random",
        highest: float = 5.0,
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(highest=highest)
        self.migration, self.capacity, self.threshold = migration, capacity, threshold
        self.saturation, self.own, self.partner = saturation, own, partner
        self.aggregation, self.initial, self.highest = aggregation, initial, highest
        self.truth()  # refuses bad arguments

    def truth(self) -> MutualisticLaw:
        """The law of Gao, Barzel and Barabási."""
        return MutualisticLaw(
            self.migration,
            self.capacity,
            self.threshold,
            self.saturation,
            self.own,
            self.partner,
            self.aggregation,
        )

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random abundances, or the blocks."""
        return spread(rng, self.initial, topology, 0, self.highest), topology
