"""Chains of nonlinear bonds, and that of Fermi, Pasta, Ulam and Tsingou; one row a mass."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Self

import torch
from torch import Tensor

import simlearn
from simlearn import Topology
from simlearn_mechanics.common import (
    Time,
    at_least,
    bond_forces,
    not_negative,
    per_edge,
    positive,
    undirected,
    uniform,
)

UNITS = {"time": "", "position": "", "momentum": ""}


class LatticeField(simlearn.SplitField):
    """H = Σ p_i²/2 + Σ_bonds φ(r): unit masses on a line, r the stretch of a bond.

    ``topology.edge_attr [E, 1]`` is +1 on edges that point along the line and −1 on those against
    it, so that both say the same r; each is half a bond. ``topology.node_attr [rows, 2]`` is 1 for
    masses with a wall before them, and behind them. Without attributes every edge points along, and
    there are no walls.
    """

    @abstractmethod
    def bond(self, r: Tensor) -> Tensor:
        """φ(r), elementwise."""

    @abstractmethod
    def tension(self, r: Tensor) -> Tensor:
        """φ'(r), elementwise."""

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity, p."""
        return p

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """φ' of the bond behind, less φ' of the bond before."""
        pull = 0.5 * _sign(topology) * self.tension(stretch(q, topology))
        force = bond_forces(pull, topology)
        if topology.node_attr is None:
            return force
        before, behind = topology.node_attr[:, :1], topology.node_attr[:, 1:2]
        return force - before * self.tension(q) + behind * self.tension(-q)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        each = p * p / 2
        if topology.node_attr is not None:
            before, behind = topology.node_attr[:, :1], topology.node_attr[:, 1:2]
            each = each + before * self.bond(q) + behind * self.bond(-q)
        bonds = self.bond(stretch(q, topology)) / 2
        return topology.per_system(each.sum(-1)) + per_edge(bonds.sum(-1), topology)


def _sign(topology: Topology) -> Tensor | float:
    return 1.0 if topology.edge_attr is None else topology.edge_attr[:, :1]


def stretch(q: Tensor, topology: Topology) -> Tensor:
    """The stretch r of the bond of each directed edge, ``[E, columns]``."""
    source, target = topology.graph.edge_index
    return _sign(topology) * (q.index_select(0, target) - q.index_select(0, source))


def line(masses: int, periodic: bool) -> Topology:
    """A chain between two walls, or a ring."""
    left = torch.arange(masses if periodic else masses - 1)
    along = torch.ones(len(left), 1)
    wall = torch.zeros(masses, 2)
    wall[0, 0] = wall[-1, 1] = 1.0
    return Topology(
        undirected(torch.stack([left, (left + 1) % masses]), masses),
        edge_attr=torch.cat([along, -along]),
        node_attr=None if periodic else wall,
    )


class FPUTLaw(LatticeField):
    """Fermi, Pasta, Ulam and Tsingou's bonds, φ(r) = r²/2 + α r³/3 + β r⁴/4; x = (q, p).

    Args:
        alpha: α, in 1/length.
        beta: β, in 1/length².
    """

    def __init__(self, alpha: float = 0.25, beta: float = 0.0):
        super().__init__()
        not_negative(alpha=alpha, beta=beta)
        self.alpha, self.beta = alpha, beta
        self.dim = 2

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """The α and the β chain."""
        return [cls(), cls(alpha=0.0, beta=1.0)]

    def bond(self, r: Tensor) -> Tensor:
        """r²/2 + α r³/3 + β r⁴/4."""
        return r * r / 2 + self.alpha * r**3 / 3 + self.beta * r**4 / 4

    def tension(self, r: Tensor) -> Tensor:
        """f(r) = r + α r² + β r³."""
        return r + self.alpha * r * r + self.beta * r**3


class FPUT(simlearn.System):
    """The chain of Fermi, Pasta, Ulam and Tsingou between walls, one row a mass; x = (q, p).

    q_i'' = f(q_{i+1} − q_i) − f(q_i − q_{i−1}), f(r) = r + α r² + β r³, q_0 = q_{N+1} = 0. The
    energy put into the lowest modes returns to them. Fermi, Pasta and Ulam 1955 (Los Alamos
    LA-1940), eqs. 1 and 2: N = 32, α = 1/4 or β = 8, one mode of amplitude 1.

    Args:
        masses: Number of moving masses N. Good values: 8 to 64.
        alpha: α of the quadratic force, in 1/length. Good values: 0 to 0.3.
        beta: β of the cubic force, in 1/length². Good values: 0 to 8.
        amplitude: Largest amplitude of each excited mode, in length; the smallest is a fifth of it.
            With β = 0 a bond pressed together by more than 1/α never returns. Good values: 0.1 to
            1.
        modes: The lowest modes that hold energy at the start. Good values: 1 to 3.
    """

    def __init__(
        self,
        masses: int = 32,
        alpha: float = 0.25,
        beta: float = 0.0,
        amplitude: float = 1.0,
        modes: int = 1,
    ):
        at_least(2, masses=masses)
        at_least(1, modes=modes)
        at_least(modes, masses=masses)
        not_negative(alpha=alpha, beta=beta)
        positive(amplitude=amplitude)
        self.masses, self.alpha, self.beta = masses, alpha, beta
        self.amplitude, self.modes = amplitude, modes

    def truth(self) -> FPUTLaw:
        """The law of the bonds."""
        return FPUTLaw(self.alpha, self.beta)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """The lowest modes, with random amplitudes and phases."""
        number = torch.arange(1, self.modes + 1)
        place = torch.arange(1, self.masses + 1)[:, None]
        shape = torch.sin(torch.pi * place * number / (self.masses + 1))
        frequency = 2 * torch.sin(torch.pi * number / (2 * (self.masses + 1)))
        amplitude = uniform(rng, self.amplitude / 5, self.amplitude, self.modes)
        phase = uniform(rng, 0, 2 * torch.pi, self.modes)
        q, p = amplitude * phase.cos(), -amplitude * frequency * phase.sin()
        x = torch.stack([(shape * q).sum(1), (shape * p).sum(1)], dim=-1)
        return x, line(self.masses, periodic=False)

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy."""
        return {"energy": self.truth().energy}

    def units(self) -> Mapping[str, str]:
        """Dimensionless."""
        return UNITS
