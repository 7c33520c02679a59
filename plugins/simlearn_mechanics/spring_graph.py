"""Masses joined by linear springs on any graph; one row a mass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Topology
from simlearn_mechanics.common import at_least, below, not_negative, positive, total
from simlearn_mechanics.springs import UNITS, SpringLaw, at_random, network, varied


class SpringGraph(simlearn.System):
    """Masses joined by linear springs on a graph, one row a mass; x = (displacement, momentum).

    m_i q_i'' = Σ_j k_ij (q_j − q_i) − a q_i. The graph is given, or a random geometric one, anew in
    each trajectory: masses in the unit square, joined where closer than a radius (Penrose, Random
    Geometric Graphs, 2003), and each to the nearest before it, so that the graph is connected.

    Args:
        nodes: Number of masses. Good values: 5 to 100.
        radius: Masses closer than this are joined, in sides of the unit square. Good values: 0.2
            to 0.5.
        edges: Springs as pairs [i, j] of masses counted from 0; random ones where not given. Good
            values: each pair once.
        dimension: Directions in which each mass moves, independent of each other. Good values: 1
            or 2.
        mass: Mean mass, in mass units. Good values: 0.1 to 10.
        stiffness: Mean k, in force per length. Good values: 0.1 to 10.
        anchor: a, the stiffness that ties each mass to its place; 0 is none. Good values: 0 to 1.
        spread: Each mass and stiffness differs from the mean by up to this share, anew in each
            trajectory; below 1. Good values: 0 to 0.5.
        amplitude: Standard deviation of the displacements at the start, in length. Good values:
            0.1 to 2.
    """

    def __init__(
        self,
        nodes: int = 10,
        radius: float = 0.4,
        edges: Sequence[Sequence[int]] | None = None,
        dimension: int = 2,
        mass: float = 1.0,
        stiffness: float = 1.0,
        anchor: float = 0.0,
        spread: float = 0.0,
        amplitude: float = 1.0,
    ):
        at_least(2, nodes=nodes)
        at_least(1, dimension=dimension)
        positive(radius=radius, mass=mass, stiffness=stiffness, amplitude=amplitude)
        not_negative(anchor=anchor, spread=spread)
        below(1, "or a mass may vanish", spread=spread)
        _simple(edges, nodes)
        self.nodes, self.radius, self.edges, self.dimension = nodes, radius, edges, dimension
        self.mass, self.stiffness, self.anchor = mass, stiffness, anchor
        self.spread, self.amplitude = spread, amplitude

    def truth(self) -> SpringLaw:
        """Hooke's law along the edges."""
        return SpringLaw(self.mass, self.stiffness)

    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A graph, and random displacements and momenta on it."""
        pairs = _geometric(rng, self.nodes, self.radius)
        if self.edges is not None:
            pairs = torch.tensor(self.edges, dtype=torch.int64).reshape(-1, 2).T
        topology = network(
            pairs,
            self.nodes,
            varied(rng, self.mass, self.spread, self.nodes),
            torch.full((self.nodes,), self.anchor),
            varied(rng, self.stiffness, self.spread, pairs.shape[1]),
        )
        return at_random(rng, topology, self.dimension, self.amplitude, self.stiffness), topology

    def invariants(self) -> Mapping[str, simlearn.Invariant]:
        """The energy, and without anchors the momentum in each direction."""
        found: dict[str, simlearn.Invariant] = {"energy": self.truth().energy}
        for k in range(0 if self.anchor else self.dimension):
            found[f"momentum_{k + 1}"] = total(self.dimension + k)
        return found

    def units(self) -> Mapping[str, str]:
        """Whatever masses and stiffnesses are given in."""
        return UNITS


def _simple(edges: Sequence[Sequence[int]] | None, nodes: int) -> None:
    """Refuse self-loops, doubled springs, and masses that do not exist."""
    seen = set()
    for edge in edges or ():
        known = len(edge) == 2 and all(0 <= i < nodes for i in edge)
        if not known or len(set(edge)) == 1 or frozenset(edge) in seen:
            raise ConfigError(
                f"edges must be pairs of two different masses 0 to {nodes - 1}, each pair once; "
                f"got {list(edge)}."
            )
        seen.add(frozenset(edge))


def _geometric(rng: torch.Generator, nodes: int, radius: float) -> Tensor:
    """Pairs ``[2, pairs]`` of points in the unit square that are near, or nearest before."""
    points = torch.rand(nodes, 2, generator=rng)
    apart = torch.cdist(points, points)
    earlier = torch.ones(nodes, nodes).tril(-1).bool()
    nearest = apart.masked_fill(~earlier, torch.inf).argmin(dim=1)
    joined = (apart < radius) & earlier
    joined[torch.arange(1, nodes), nearest[1:]] = True
    return joined.nonzero().T.contiguous()
