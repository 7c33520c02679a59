"""Masses joined by linear springs, and chains of them; one row a mass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_mechanics.common import (
    Time,
    at_least,
    below,
    bond_forces,
    not_negative,
    per_edge,
    positive,
    total,
    undirected,
    uniform,
)

UNITS = {"time": "", "position": "", "momentum": ""}


class SpringLaw(simlearn.SplitField):
    """H = Σ_i |p_i|²/2m_i + Σ_bonds k_ij |q_j − q_i|²/2 + Σ_i a_i |q_i|²/2, displacements q.

    Each directed edge is half a bond. ``topology.edge_attr [E, 1]`` holds k of each edge, the same
    both ways; ``topology.node_attr [rows, 2]`` holds m and a of each row, where a is the stiffness
    that ties a mass to its own place. Without them all k and m are the law's own, and a is zero.

    Args:
        mass: m of each mass without attributes, in mass units.
        stiffness: k of each spring without attributes, in force per length.
    """

    def __init__(self, mass: float = 1.0, stiffness: float = 1.0):
        super().__init__()
        positive(mass=mass, stiffness=stiffness)
        self.mass, self.stiffness = mass, stiffness

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity, p / m."""
        return p / self._mass(topology)

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """Σ_j k_ij (q_j − q_i) − a_i q_i."""
        tension = 0.5 * self._stiffness(topology) * _stretch(q, topology)
        return bond_forces(tension, topology) - _anchor(topology) * q

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        each = p * p / (2 * self._mass(topology)) + _anchor(topology) * q * q / 2
        bonds = self._stiffness(topology) * _stretch(q, topology) ** 2 / 4
        return topology.per_system(each.sum(-1)) + per_edge(bonds.sum(-1), topology)

    def _mass(self, topology: Topology) -> Tensor | float:
        return self.mass if topology.node_attr is None else topology.node_attr[:, :1]

    def _stiffness(self, topology: Topology) -> Tensor | float:
        return self.stiffness if topology.edge_attr is None else topology.edge_attr[:, :1]


def _anchor(topology: Topology) -> Tensor | float:
    return 0.0 if topology.node_attr is None else topology.node_attr[:, 1:2]


def _stretch(q: Tensor, topology: Topology) -> Tensor:
    source, target = topology.graph.edge_index
    return q.index_select(0, target) - q.index_select(0, source)


def network(pairs: Tensor, rows: int, mass: Tensor, anchor: Tensor, stiffness: Tensor) -> Topology:
    """Springs ``[pairs]`` between masses ``[rows]``."""
    return Topology(
        undirected(pairs, rows),
        node_attr=torch.stack([mass, anchor], dim=-1),
        edge_attr=torch.cat([stiffness, stiffness])[:, None],
    )


def at_random(
    rng: torch.Generator, topology: Topology, columns: int, amplitude: float, stiffness: float
) -> Tensor:
    """Normal displacements and momenta; without an anchor the whole is at rest at the origin."""
    assert topology.node_attr is not None
    mass, anchor = topology.node_attr[:, :1], topology.node_attr[:, 1:]
    q = amplitude * torch.randn(topology.rows, columns, generator=rng)
    v = amplitude * (stiffness / mass).sqrt() * torch.randn(q.shape, generator=rng)
    if not bool(anchor.any()):
        q, v = (part - (mass * part).sum(0) / mass.sum() for part in (q, v))
    return torch.cat([q, mass * v], dim=-1)


def varied(rng: torch.Generator, mean: float, spread: float, count: int) -> Tensor:
    """Uniform values around a mean, up to a share of it away, ``[count]``."""
    return mean * uniform(rng, 1 - spread, 1 + spread, count)


class SpringChain(simlearn.System):
    """Masses on a line joined by springs, one row a mass; x = (displacement, momentum).

    m_i q_i'' = k (q_{i+1} − q_i) − k (q_i − q_{i−1}). Chen et al. 2020 (SRNN, arXiv 1909.13334)
    learn such chains of 10 to 20 masses with varied m and k. For equal ones the frequencies are
    2 √(k/m) sin(π j / 2(N+1)), j = 1 to N, with fixed ends.

    Args:
        masses: Number of masses N. Good values: 5 to 100.
        ends: "fixed" to walls by further springs, "free", or "periodic" (a ring). Good values:
            fixed.
        mass: Mean mass, in mass units. Good values: 0.1 to 10.
        stiffness: Mean k, in force per length. Good values: 0.1 to 10.
        spread: Each mass and stiffness differs from the mean by up to this share, anew in each
            trajectory; below 1. Good values: 0 to 0.5.
        amplitude: Standard deviation of the displacements at the start, in length. Good values:
            0.1 to 2.
    """

    def __init__(
        self,
        masses: int = 10,
        ends: Literal["fixed", "free", "periodic"] = "fixed",
        mass: float = 1.0,
        stiffness: float = 1.0,
        spread: float = 0.0,
        amplitude: float = 1.0,
    ):
        if ends not in ("fixed", "free", "periodic"):
            raise ConfigError(f"ends must be fixed, free or periodic, got {ends!r}.")
        at_least(3 if ends == "periodic" else 2, masses=masses)
        positive(mass=mass, stiffness=stiffness, amplitude=amplitude)
        not_negative(spread=spread)
        below(1, "or a mass may vanish", spread=spread)
        self.masses, self.ends, self.mass, self.stiffness = masses, ends, mass, stiffness
        self.spread, self.amplitude = spread, amplitude

    def truth(self) -> SpringLaw:
        """Hooke's law along the bonds."""
        return SpringLaw(self.mass, self.stiffness)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """Random displacements and momenta."""
        count = self.masses
        mass = varied(rng, self.mass, self.spread, count)
        springs = varied(rng, self.stiffness, self.spread, count + 1)
        left = torch.arange(count if self.ends == "periodic" else count - 1)
        anchor = torch.zeros(count)
        if self.ends == "fixed":
            anchor[0], anchor[-1] = springs[-2], springs[-1]
        topology = network(
            torch.stack([left, (left + 1) % count]), count, mass, anchor, springs[: len(left)]
        )
        return at_random(rng, topology, 1, self.amplitude, self.stiffness), topology

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy, and the momentum where no wall takes it."""
        energy = {"energy": self.truth().energy}
        return energy if self.ends == "fixed" else {**energy, "momentum": total(1)}

    def units(self) -> Mapping[str, str]:
        """Whatever masses and stiffnesses are given in."""
        return UNITS
