"""Phases with inertia: Kuramoto of second order."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import (
    Aggregation,
    Time,
    centred,
    normal,
    not_negative,
    positive,
    uniform,
)
from simlearn_networks.coupling import bonds, of_nodes, pulled
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem, total


class InertialKuramotoLaw(simlearn.VectorField):
    """dθ_i/dt = v_i, m dv_i/dt = ω_i − γ v_i + K Σ_j A_ij sin(θ_j − θ_i); x = (θ, v).

    ω stands in column 0 of ``node_attr``. Tanaka, Lichtenberg and Oishi 1997 (Phys. Rev. Lett. 78,
    2104).

    Args:
        inertia: m, in units of time where γ = 1.
        damping: γ.
        coupling: K, in 1/time where γ = 1.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        inertia: float = 1.0,
        damping: float = 1.0,
        coupling: float = 4.0,
        aggregation: Aggregation = "mean_degree",
    ):
        super().__init__()
        positive(inertia=inertia)
        not_negative(damping=damping, coupling=coupling)
        self.inertia, self.damping = inertia, damping
        self.coupling, self.aggregation = coupling, aggregation
        self.dim = 2

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        (frequency,) = of_nodes(topology, "InertialKuramotoLaw", "frequency")
        theta, v = x.chunk(2, dim=-1)
        force = frequency + self.coupling * pulled(theta, topology, self.aggregation)
        return torch.cat([v, (force - self.damping * v) / self.inertia], dim=-1)


class InertialKuramoto(GraphSystem):
    """Oscillators with inertia that pull at one another; one row each, x = (phase, velocity).

    m θ_i'' + γ θ_i' = ω_i + K Σ_j A_ij sin(θ_j − θ_i) (Tanaka, Lichtenberg and Oishi 1997, Phys.
    Rev. Lett. 78, 2104). It locks and unlocks at different K. Frequencies are normal, add up to
    zero and stand in ``node_attr``, anew in each trajectory; phases start uniform in [0, 2π) and
    are not wrapped, velocities normal. On a symmetric graph Σ (m v + γ θ) is kept,
    and without damping the energy.

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        inertia: m, in units of time where γ = 1. Good values: 0.5 to 10.
        damping: γ; 0 is none. Good values: 1.
        coupling: K, in 1/time where γ = 1. Good values: 0 to 10 times spread.
        spread: Standard deviation of the frequencies, in radians/time. Good values: 0 to 1.
        speed: Standard deviation of the velocities at the start, in radians/time. Good values: 0 to
            1.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: mean_degree; graphon, that is 1/n,
            on dense graphs.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        inertia: float = 1.0,
        damping: float = 1.0,
        coupling: float = 4.0,
        spread: float = 1.0,
        speed: float = 1.0,
        aggregation: Aggregation = "mean_degree",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(inertia=inertia)
        not_negative(damping=damping, coupling=coupling, spread=spread, speed=speed)
        self.inertia, self.damping, self.coupling = inertia, damping, coupling
        self.spread, self.speed, self.aggregation = spread, speed, aggregation

    def truth(self) -> InertialKuramotoLaw:
        """The law of Tanaka, Lichtenberg and Oishi."""
        return InertialKuramotoLaw(self.inertia, self.damping, self.coupling, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random phases and velocities; frequencies that add up to zero."""
        frequency = centred(self.spread * normal(rng, topology.rows, 1))
        phase = uniform(rng, 0, 2 * torch.pi, topology.rows, 1)
        v = self.speed * normal(rng, topology.rows, 1)
        return torch.cat([phase, v], dim=-1), topology.replace(node_attr=frequency)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """Where A is symmetric Σ (m v + γ θ), and without damping the energy."""
        found = total(self, self.aggregation, "momentum", self._momentum)
        if not self.damping:
            found |= total(self, self.aggregation, "energy", self._energy)
        return found

    def _momentum(self, x: Tensor, topology: Topology) -> Tensor:
        return topology.per_system(self.inertia * x[:, 1] + self.damping * x[:, 0])

    def _energy(self, x: Tensor, topology: Topology) -> Tensor:
        (frequency,) = of_nodes(topology, "InertialKuramoto", "frequency")
        own = self.inertia * x[:, 1] ** 2 / 2 - frequency[:, 0] * x[:, 0]
        return topology.per_system(
            own + self.coupling * bonds(x[:, :1], topology, self.aggregation)
        )
