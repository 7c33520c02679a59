"""Neurons: rates that saturate, and spikes after FitzHugh and Nagumo."""

from __future__ import annotations

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_networks.common import Aggregation, Time, not_negative, positive, uniform
from simlearn_networks.coupling import adjacency, diffused
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem


class NeuronalLaw(simlearn.VectorField):
    """dx_i/dt = −x_i + Σ_j A_ij/(1 + exp(μ − δ x_j)).

    Wilson and Cowan 1972 (Biophys. J. 12, 1); on networks Laurence et al. 2019 (Phys. Rev. X 9,
    011042).

    Args:
        threshold: μ.
        gain: δ.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(self, threshold: float = 3.5, gain: float = 2.0, aggregation: Aggregation = "sum"):
        super().__init__()
        positive(gain=gain)
        self.threshold, self.gain, self.aggregation = threshold, gain, aggregation
        self.dim = 1

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        fired = torch.sigmoid(self.gain * x - self.threshold)
        return adjacency(topology, self.aggregation) @ fired - x


class Neuronal(GraphSystem):
    """Firing rates of brain regions; one row a region, x its activity, dimensionless.

    dx_i/dt = −x_i + Σ_j A_ij/(1 + exp(μ − δ x_j)) (Wilson and Cowan 1972, Biophys. J. 12, 1; on
    networks Laurence et al. 2019, Phys. Rev. X 9, 011042). Where nodes have from about 3.1 to 6.6
    neighbours, all low and all high are both stable. Activities start uniform in [0, highest).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        threshold: μ. Good values: 3.5.
        gain: δ. Good values: 2.
        highest: Highest activity at the start. Good values: 1 to 5.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        threshold: float = 3.5,
        gain: float = 2.0,
        highest: float = 3.0,
        aggregation: Aggregation = "sum",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(gain=gain, highest=highest)
        self.threshold, self.gain = threshold, gain
        self.highest, self.aggregation = highest, aggregation

    def truth(self) -> NeuronalLaw:
        """The law of firing rates."""
        return NeuronalLaw(self.threshold, self.gain, self.aggregation)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random activities."""
        return uniform(rng, 0, self.highest, topology.rows, 1), topology


class FitzHughNagumoLaw(simlearn.VectorField):
    """dv_i/dt = v_i − v_i³/3 − w_i + I + K Σ_j A_ij (v_j − v_i), dw_i/dt = ε (v_i + a − b w_i).

    x = (v, w). FitzHugh 1961 (Biophys. J. 1, 445); Nagumo, Arimoto and Yoshizawa 1962.

    Args:
        a: Shift of the recovery.
        b: Decay of the recovery.
        epsilon: ε, how slow the recovery is.
        current: I.
        coupling: K.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        a: float = 0.7,
        b: float = 0.8,
        epsilon: float = 0.08,
        current: float = 0.5,
        coupling: float = 0.1,
        aggregation: Aggregation = "sum",
    ):
        super().__init__()
        positive(epsilon=epsilon)
        not_negative(b=b)
        self.a, self.b, self.epsilon, self.current = a, b, epsilon, current
        self.coupling, self.aggregation = coupling, aggregation
        self.dim = 2

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        v, w = x.chunk(2, dim=-1)
        drawn = self.coupling * diffused(v, topology, self.aggregation)
        dv = v - v**3 / 3 - w + self.current + drawn
        return torch.cat([dv, self.epsilon * (v + self.a - self.b * w)], dim=-1)


class FitzHughNagumo(GraphSystem):
    """Neurons that spike, joined by gap junctions; one row a neuron, x = (voltage, recovery).

    dv_i/dt = v_i − v_i³/3 − w_i + I + K Σ_j A_ij (v_j − v_i), dw_i/dt = ε (v_i + a − b w_i)
    (FitzHugh 1961, Biophys. J. 1, 445), dimensionless. With I from about 0.33 to 1.42 a neuron
    alone spikes for ever. Voltages start uniform in [−2, 2), recoveries in [−0.5, 1.5).

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        a: Shift of the recovery. Good values: 0.7.
        b: Decay of the recovery. Good values: 0.8.
        epsilon: ε, how slow the recovery is. Good values: 0.08.
        current: I. Good values: 0 (at rest) or 0.5 (spiking).
        coupling: K. Good values: 0 to 1 over the degree.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: sum.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        a: float = 0.7,
        b: float = 0.8,
        epsilon: float = 0.08,
        current: float = 0.5,
        coupling: float = 0.1,
        aggregation: Aggregation = "sum",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        self.a, self.b, self.epsilon, self.current = a, b, epsilon, current
        self.coupling, self.aggregation = coupling, aggregation
        self.truth()  # refuses bad arguments

    def truth(self) -> FitzHughNagumoLaw:
        """The law of FitzHugh and Nagumo."""
        return FitzHughNagumoLaw(
            self.a, self.b, self.epsilon, self.current, self.coupling, self.aggregation
        )

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random voltages and recoveries."""
        v, w = uniform(rng, -2, 2, topology.rows, 1), uniform(rng, -0.5, 1.5, topology.rows, 1)
        return torch.cat([v, w], dim=-1), topology
