"""Forces between pairs on a graph, in the (q, v) chart with one mass for each named body."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Self

import torch
from torch import Tensor

from simlearn.component import ConfigError
from simlearn.dynamics.base import SplitField, Time
from simlearn.state import Topology


class PairField(SplitField):
    """Central forces between the pairs of a graph.

    The motion is dq_i/dt = v_i, dv_i/dt = Σ_j μ_j f(r_ij) (q_j − q_i)/r_ij.

    f > 0 attracts. Every undirected pair is visited once. Momentum Σ μ_i v_i is kept to rounding
    whatever f is.
    """

    names: Sequence[str]

    @abstractmethod
    def masses(self) -> Tensor:
        """μ of each named body, ``[names]``."""

    @abstractmethod
    def force_over_distance(self, r2: Tensor) -> Tensor:
        """f(r)/r at squared distances, elementwise."""

    @abstractmethod
    def potential(self, r: Tensor) -> Tensor:
        """Φ(r) with dΦ/dr = f and Φ(∞) = 0, elementwise."""

    def force(self, r: Tensor) -> Tensor:
        """f(r), elementwise."""
        return self.force_over_distance(r * r) * r

    def pairs(self, topology: Topology) -> Tensor:
        """Each undirected pair once.

        Raises:
            ConfigError: The graph is not symmetric, so that action and reaction do not exist.
        """
        pairs = topology.graph.pairs
        if pairs is None:
            raise ConfigError(
                f"{type(self).__name__} needs a symmetric graph without self-loops: every edge in "
                "both directions."
            )
        return pairs

    def row_masses(self, topology: Topology) -> Tensor:
        """μ of each row, looked up by its name.

        Raises:
            ConfigError: The rows carry no types, or other names than this field's.
        """
        if topology.node_type is None or tuple(topology.node_names) != tuple(self.names):
            raise ConfigError(
                f"{type(self).__name__} knows the bodies {list(self.names)}, the data name "
                f"{list(topology.node_names) or 'none'}. Give the field the names of the data, in "
                "their order."
            )
        return self.masses().index_select(0, topology.node_type)

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """The velocity itself."""
        return p

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """dv/dt of every row."""
        first, second = self.pairs(topology)
        mass = self.row_masses(topology)[:, None]
        apart = q.index_select(0, second) - q.index_select(0, first)
        push = apart * self.force_over_distance((apart * apart).sum(-1, keepdim=True))
        felt = torch.zeros_like(q).index_add(0, first, push * mass.index_select(0, second))
        return felt.index_add(0, second, push * mass.index_select(0, first), alpha=-1)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """Σ ½ μ_i v_i² + Σ_pairs μ_i μ_j Φ(r_ij), ``[systems]``."""
        q, v = x.chunk(2, dim=-1)
        first, second = self.pairs(topology)
        mass = self.row_masses(topology)
        kinetic = topology.per_system(0.5 * mass * (v * v).sum(-1))
        bound = mass[first] * mass[second] * self.potential((q[second] - q[first]).norm(dim=-1))
        return kinetic.index_add(0, topology.system[first], bound)

    def form(self, topology: Topology) -> Tensor:
        """The mass of each row: the symplectic form of the (q, v) chart is Σ μ_i dq_i ∧ dv_i."""
        return self.row_masses(topology).detach()


class Newtonian(PairField):
    """Newton's law, f(r) = G / r², with given masses.

    Args:
        names: Bodies, in the order of the data's node types.
        mass: Mass of each body, in units of the first body or any other.
        gravity: G in units of length³ / (mass · time²). With AU, days and solar masses: the square
            of the Gaussian constant, 0.01720209895².
    """

    _mass: Tensor

    def __init__(
        self, names: Sequence[str], mass: Sequence[float], gravity: float = 0.01720209895**2
    ):
        super().__init__()
        if len(names) != len(mass):
            raise ConfigError(
                f"Newtonian was given {len(names)} names and {len(mass)} masses; one each."
            )
        self.names, self.mass, self.gravity = tuple(names), tuple(mass), gravity
        self.register_buffer("_mass", torch.tensor(self.mass, dtype=torch.float64))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A star and two planets."""
        return [cls(names=("star", "near", "far"), mass=(1.0, 0.01, 0.02), gravity=1.0)]

    def masses(self) -> Tensor:
        """The given masses."""
        return self._mass

    def force_over_distance(self, r2: Tensor) -> Tensor:
        """G / r³."""
        return self.gravity * r2 ** (-1.5)

    def potential(self, r: Tensor) -> Tensor:
        """−G / r."""
        return -self.gravity / r
