"""The swing equation of power grids."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_networks.common import Time, normal, not_negative, positive, uniform
from simlearn_networks.coupling import bonds, of_nodes, pulled
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem, total

NODES = ("power", "inertia", "damping")


class SwingLaw(simlearn.VectorField):
    """dδ_i/dt = v_i, M_i dv_i/dt = P_i − D_i v_i + K Σ_j B_ij sin(δ_j − δ_i); x = (δ, v).

    P, M and D stand in the columns of ``node_attr``, the susceptance B of a line in ``edge_attr``
    (one where there is none). Filatrella, Nielsen and Pedersen 2008 (Eur. Phys. J. B 61, 485).

    Args:
        susceptance: K, what multiplies B, in power.
    """

    def __init__(self, susceptance: float = 8.0):
        super().__init__()
        positive(susceptance=susceptance)
        self.susceptance = susceptance
        self.dim = 2

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        power, inertia, damping = of_nodes(topology, "SwingLaw", *NODES)
        angle, v = x.chunk(2, dim=-1)
        force = power - damping * v + self.susceptance * pulled(angle, topology, "sum")
        return torch.cat([v, force / inertia], dim=-1)


class SwingEquation(GraphSystem):
    """Generators and consumers of a power grid; one row each, x = (angle in radians, velocity).

    M_i δ_i'' + D_i δ_i' = P_i + K Σ_j B_ij sin(δ_j − δ_i), in the frame of the grid's frequency
    (Filatrella, Nielsen and Pedersen 2008, Eur. Phys. J. B 61, 485; values of Menck et al. 2014,
    Nat. Commun. 5, 3969). Half of the nodes, at random, give a power and half take it; of an odd
    number one does neither. The sum of powers is zero. P, M and D stand in ``node_attr``, anew in
    each trajectory; the weights of the graph are the susceptances B. Σ (M v + D δ) is kept,
    and without damping the energy.

    Args:
        graph: The family of the graph, undirected; ErdosRenyi(20, 0.3) where not given. Good
            values: sparse connected ones.
        power: P of a generator, in 1/s² where M = 1. Good values: 0.5 to 2.
        inertia: Mean M. Good values: 1.
        damping: Mean D, in 1/s where M = 1; 0 is none. Good values: 0.1 to 1.
        susceptance: K, what multiplies the weights, in the unit of power. Good values: 4 to 20.
        spread: M and D of each node differ from the mean by up to this share; below 1. Good values:
            0 to 0.5.
        angle: Standard deviation of the angles at the start, in radians. Good values: 0 to 1.
        speed: Standard deviation of the velocities at the start, in radians/s. Good values: 0 to 1.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        power: float = 1.0,
        inertia: float = 1.0,
        damping: float = 0.1,
        susceptance: float = 8.0,
        spread: float = 0.0,
        angle: float = 0.5,
        speed: float = 0.5,
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        positive(inertia=inertia, susceptance=susceptance)
        not_negative(power=power, damping=damping, spread=spread, angle=angle, speed=speed)
        if spread >= 1:
            raise ConfigError(f"spread must be below 1, or an inertia may vanish; got {spread}.")
        self.power, self.inertia, self.damping = power, inertia, damping
        self.susceptance, self.spread, self.angle, self.speed = susceptance, spread, angle, speed

    def truth(self) -> SwingLaw:
        """The swing equation."""
        return SwingLaw(self.susceptance)

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random angles and velocities; machines at random nodes."""
        rows = topology.rows
        power = torch.zeros(rows, 1, dtype=torch.float64)
        order, half = torch.randperm(rows, generator=rng), rows // 2
        power[order[:half]], power[order[half : 2 * half]] = self.power, -self.power
        varied = 1 + self.spread * uniform(rng, -1, 1, rows, 2)
        mean = torch.tensor([self.inertia, self.damping], dtype=torch.float64)
        scale = torch.tensor([self.angle, self.speed], dtype=torch.float64)
        nodes = torch.cat([power, mean * varied], dim=1)
        return scale * normal(rng, rows, 2), topology.replace(node_attr=nodes)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """On an undirected graph Σ (M v + D δ), and without damping the energy."""
        found = total(self, "sum", "momentum", _momentum)
        if not self.damping:
            found |= total(self, "sum", "energy", self._energy)
        return found

    def _energy(self, x: Tensor, topology: Topology) -> Tensor:
        power, inertia, _ = (one[:, 0] for one in of_nodes(topology, "SwingEquation", *NODES))
        own = inertia * x[:, 1] ** 2 / 2 - power * x[:, 0]
        return topology.per_system(own + self.susceptance * bonds(x[:, :1], topology, "sum"))

    def units(self) -> Mapping[str, str]:
        """Seconds and radians."""
        return {"time": "s", "position": "rad", "velocity": "rad/s"}


def _momentum(x: Tensor, topology: Topology) -> Tensor:
    _, inertia, damping = of_nodes(topology, "SwingLaw", *NODES)
    return topology.per_system((inertia * x[:, 1:] + damping * x[:, :1]).squeeze(1))
