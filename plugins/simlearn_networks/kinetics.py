"""Biochemistry: mass action, and activation after Michaelis and Menten."""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, not_negative, positive, uniform
from simlearn_networks.coupling import adjacency, hill, power
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem


class MassActionLaw(simlearn.VectorField):
    """dx_i/dt = F − B x_i^b − R x_i Σ_j A_ij x_j.

    Barzel and Barabási 2013 (Nat. Phys. 9, 673), where b = 1.

    Args:
        supply: F, concentration per time.
        decay: B, in 1/time where b = 1.
        power: b.
        binding: R, in 1/(concentration time).
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        supply: float = 0.5,
        decay: float = 0.1,
        power: float = 3.0,
        binding: float = 1.0,
        aggregation: Aggregation = "sum",
    ):
        super().__init__()
        not_negative(supply=supply, decay=decay, binding=binding)
        positive(power=power)
        self.supply, self.decay, self.power, self.binding = supply, decay, power, binding
        self.aggregation = aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        bound = self.binding * x * (adjacency(topology, self.aggregation) @ x)
        return self.supply - self.decay * power(x, self.power) - bound


class MassAction(GraphSystem):
    """Proteins that bind to one another (MAK); one row a protein, x its concentration.

    dx_i/dt = F − B x_i^b − R x_i Σ_j A_ij x_j (Barzel and Barabási 2013, Nat. Phys. 9, 673, with
    b = 1; values of Vasiliauskaite and Antulov-Fantulin 2024, arXiv:2301.04900). Concentrations
    start uniform in [0, highest).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        supply: F, concentration per time. Good values: 0.5.
        decay: B, in 1/time where b = 1. Good values: 0.1.
        power: b. Good values: 1 or 3.
        binding: R, in 1/(concentration time). Good values: 1.
        highest: Highest concentration at the start. Good values: 1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        supply: float = 0.5,
        decay: float = 0.1,
        power: float = 3.0,
        binding: float = 1.0,
        highest: float = 1.0,
        aggregation: Aggregation = "sum",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(highest=highest)
        self.supply, self.decay, self.power, self.binding = supply, decay, power, binding
        self.highest, self.aggregation = highest, aggregation
        self.truth()  # refuses bad arguments

    def truth(self) -> MassActionLaw:
        """The law of mass action."""
        return MassActionLaw(self.supply, self.decay, self.power, self.binding, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random concentrations."""
        return uniform(rng, 0, self.highest, topology.rows, 1), topology


class MichaelisMentenLaw(simlearn.VectorField):
    """dx_i/dt = −B x_i + R Σ_j A_ij x_j^H/(1 + x_j^H).

    Barzel and Barabási 2013 (Nat. Phys. 9, 673).

    Args:
        decay: B, in 1/time.
        rate: R, concentration per time.
        hill: H, the cooperation of activators.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        decay: float = 4.0,
        rate: float = 0.5,
        hill: float = 3.0,
        aggregation: Aggregation = "sum",
    ):
        super().__init__()
        not_negative(decay=decay, rate=rate)
        positive(hill=hill)
        self.decay, self.rate, self.hill, self.aggregation = decay, rate, hill, aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        gained = adjacency(topology, self.aggregation) @ hill(x, self.hill)
        return self.rate * gained - self.decay * x


class MichaelisMenten(GraphSystem):
    """Enzymes that activate one another (MM); one row each, x its concentration.

    dx_i/dt = −B x_i + R Σ_j A_ij x_j^H/(1 + x_j^H), edges lead from the activator (Barzel and
    Barabási 2013, Nat. Phys. 9, 673; values of Vasiliauskaite and Antulov-Fantulin 2024,
    arXiv:2301.04900). Concentrations start uniform in [0, highest).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        decay: B, in 1/time. Good values: 1 to 4.
        rate: R, concentration per time. Good values: 0.5.
        hill: H, the cooperation of activators. Good values: 1 to 3.
        highest: Highest concentration at the start. Good values: 1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        decay: float = 4.0,
        rate: float = 0.5,
        hill: float = 3.0,
        highest: float = 1.0,
        aggregation: Aggregation = "sum",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(highest=highest)
        self.decay, self.rate, self.hill = decay, rate, hill
        self.highest, self.aggregation = highest, aggregation
        self.truth()  # refuses bad arguments

    def truth(self) -> MichaelisMentenLaw:
        """The law of Michaelis and Menten."""
        return MichaelisMentenLaw(self.decay, self.rate, self.hill, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random concentrations."""
        return uniform(rng, 0, self.highest, topology.rows, 1), topology
