"""Chaotic oscillators coupled by diffusion: Rössler and Lorenz."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_networks.common import Aggregation, Time, normal, not_negative, positive, uniform
from simlearn_networks.coupling import diffused
from simlearn_networks.family import GraphFamily
from simlearn_networks.system import GraphSystem


def _columns(through: Sequence[int]) -> None:
    if not through or len(set(through)) < len(through) or not set(through) <= {0, 1, 2}:
        raise ConfigError(
            f"through names the columns that are coupled, among 0, 1 and 2 and each once; got "
            f"{list(through)}."
        )


def _coupled(
    alone: tuple[Tensor, ...],
    x: Tensor,
    topology: Topology,
    law: CoupledRoesslerLaw | CoupledLorenzLaw,
) -> Tensor:
    """The slopes of each oscillator, with K Σⱼ Aᵢⱼ (xⱼ − xᵢ) on the columns that are coupled."""
    drawn = law.coupling * diffused(x, topology, law.aggregation)
    mask = x.new_tensor([float(k in law.through) for k in range(3)])
    return torch.cat(alone, dim=-1) + mask * drawn


class CoupledRoesslerLaw(simlearn.VectorField):
    """dx_i/dt = −y_i − z_i, dy_i/dt = x_i + a y_i, dz_i/dt = b + z_i (x_i − c), and diffusion.

    K Σ_j A_ij (u_j − u_i) is added to each coupled column u. Pecora and Carroll 1998 (Phys. Rev.
    Lett. 80, 2109).

    Args:
        a: Growth of the spiral, in 1/time.
        b: Source of z.
        c: x beyond which z grows.
        coupling: K, in 1/time.
        through: The columns that are coupled, 0 to 2.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        a: float = 0.2,
        b: float = 0.2,
        c: float = 5.7,
        coupling: float = 0.2,
        through: Sequence[int] = (1,),
        aggregation: Aggregation = "mean",
    ):
        super().__init__()
        positive(a=a, b=b, c=c)
        not_negative(coupling=coupling)
        _columns(through)
        self.a, self.b, self.c = a, b, c
        self.coupling, self.through, self.aggregation = coupling, through, aggregation
        self.dim = 3

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        u, v, w = x.chunk(3, dim=-1)
        return _coupled((-v - w, u + self.a * v, self.b + w * (u - self.c)), x, topology, self)


class CoupledRoessler(GraphSystem):
    """Rössler oscillators coupled by diffusion; one row each, x = (x, y, z), dimensionless.

    dx_i/dt = −y_i − z_i, dy_i/dt = x_i + a y_i, dz_i/dt = b + z_i (x_i − c), and K Σ_j A_ij (u_j −
    u_i) on each coupled column u (Rössler 1976; Pecora and Carroll 1998, Phys. Rev. Lett. 80,
    2109). Each starts at a random phase of the spiral, at a random radius from c/2 to c, z = 0.

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        a: Growth of the spiral, in 1/time. Good values: 0.2.
        b: Source of z. Good values: 0.2.
        c: x beyond which z grows. Good values: 5.7.
        coupling: K, in 1/time. Good values: 0 to 1.
        through: The columns that are coupled, 0 to 2. Good values: [1]; through [0] alone they fall
            out of step where the coupling is strong.
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: mean.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        a: float = 0.2,
        b: float = 0.2,
        c: float = 5.7,
        coupling: float = 0.2,
        through: Sequence[int] = (1,),
        aggregation: Aggregation = "mean",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        self.a, self.b, self.c = a, b, c
        self.coupling, self.through, self.aggregation = coupling, through, aggregation
        self.truth()  # refuses bad arguments

    def truth(self) -> CoupledRoesslerLaw:
        """The coupled laws of Rössler."""
        return CoupledRoesslerLaw(
            self.a, self.b, self.c, self.coupling, self.through, self.aggregation
        )

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Random phases of the spiral."""
        radius = uniform(rng, self.c / 2, self.c, topology.rows)
        phase = uniform(rng, 0, 2 * torch.pi, topology.rows)
        return torch.stack([radius * phase.cos(), radius * phase.sin(), 0 * phase], -1), topology


class CoupledLorenzLaw(simlearn.VectorField):
    """dx_i/dt = σ (y_i − x_i), dy_i/dt = x_i (ρ − z_i) − y_i, dz_i/dt = x_i y_i − β z_i.

    K Σ_j A_ij (u_j − u_i) is added to each coupled column u. Lorenz 1963; Pecora and Carroll 1998
    (Phys. Rev. Lett. 80, 2109).

    Args:
        sigma: σ.
        rho: ρ.
        beta: β.
        coupling: K, in 1/time.
        through: The columns that are coupled, 0 to 2.
        aggregation: What divides the weight of an edge; see `Topology.adjacency`.
    """

    def __init__(
        self,
        sigma: float = 10.0,
        rho: float = 28.0,
        beta: float = 8 / 3,
        coupling: float = 1.0,
        through: Sequence[int] = (0,),
        aggregation: Aggregation = "mean",
    ):
        super().__init__()
        positive(sigma=sigma, rho=rho, beta=beta)
        not_negative(coupling=coupling)
        _columns(through)
        self.sigma, self.rho, self.beta = sigma, rho, beta
        self.coupling, self.through, self.aggregation = coupling, through, aggregation
        self.dim = 3

    def forward(self, t: Time, x: Tensor, topology: Topology) -> Tensor:
        """dx/dt."""
        u, v, w = x.chunk(3, dim=-1)
        alone = (self.sigma * (v - u), u * (self.rho - w) - v, u * v - self.beta * w)
        return _coupled(alone, x, topology, self)


class CoupledLorenz(GraphSystem):
    """Lorenz oscillators coupled by diffusion; one row each, x = (x, y, z), dimensionless.

    dx_i/dt = σ (y_i − x_i), dy_i/dt = x_i (ρ − z_i) − y_i, dz_i/dt = x_i y_i − β z_i, and K Σ_j
    A_ij (u_j − u_i) on each coupled column u (Lorenz 1963; Pecora and Carroll 1998, Phys. Rev.
    Lett. 80, 2109). Each starts near one of its two centres, at a normal distance of width 5.

    Args:
        graph: The family of the graph; ErdosRenyi(20, 0.3) where not given. Good values: any.
        sigma: σ. Good values: 10.
        rho: ρ, above 1. Good values: 28.
        beta: β. Good values: 8/3.
        coupling: K, in 1/time. Good values: 0 to 20; the stronger, the more they move as one.
        through: The columns that are coupled, 0 to 2. Good values: [0].
        aggregation: What divides the weight of an edge: sum, mean, symmetric, graphon or
            mean_degree; see `Topology.adjacency`. Good values: mean.
        graph_seed: Draws the graph that all trajectories share. Good values: 0.
        fresh: Whether each trajectory draws a graph of its own. Good values: false.
    """

    def __init__(
        self,
        graph: GraphFamily | None = None,
        sigma: float = 10.0,
        rho: float = 28.0,
        beta: float = 8 / 3,
        coupling: float = 1.0,
        through: Sequence[int] = (0,),
        aggregation: Aggregation = "mean",
        graph_seed: int = 0,
        fresh: bool = False,
    ):
        super().__init__(graph, graph_seed, fresh)
        if not rho > 1:
            raise ConfigError(f"rho must be above 1, where the two centres are; got {rho}.")
        self.sigma, self.rho, self.beta = sigma, rho, beta
        self.coupling, self.through, self.aggregation = coupling, through, aggregation
        self.truth()  # refuses bad arguments

    def truth(self) -> CoupledLorenzLaw:
        """The coupled laws of Lorenz."""
        return CoupledLorenzLaw(
            self.sigma, self.rho, self.beta, self.coupling, self.through, self.aggregation
        )

    def place(self, rng: torch.Generator, topology: Topology) -> tuple[Tensor, Topology]:
        """Around the centres (±√(β (ρ − 1)), ±√(β (ρ − 1)), ρ − 1)."""
        side = torch.randint(0, 2, (topology.rows, 1), generator=rng).double() * 2 - 1
        out = side * (self.beta * (self.rho - 1)) ** 0.5
        centre = torch.cat([out, out, torch.full_like(out, self.rho - 1)], dim=-1)
        return centre + 5 * normal(rng, topology.rows, 3), topology
