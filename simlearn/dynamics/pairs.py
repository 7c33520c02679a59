"""Energies of particles on a graph: one kinetic function, and one potential between pairs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import SplitField, Time
from simlearn.dynamics.features import MARGIN, RandomFeatures, Scale
from simlearn.dynamics.neural import positive
from simlearn.dynamics.series import shaken
from simlearn.state import Topology

STEEPEST = 6.0  # largest exponent, either way, of the force beyond the largest distance seen


class PairEnergy(SplitField):
    """H = Σᵢ mᵢ κ(|pᵢ|² / 2mᵢ²) + Σ over pairs cᵢⱼ φ(sᵢⱼ), s = ½ log(r² + c²), κ and φ learned.

    Both are sums of random Fourier features and powers up to two, linear in their coefficients, so
    `Ladder` fits them in closed form. The softening c, zero for forces that grow without bound, is
    chosen with them. H does not change when rows are permuted, and neither when the system is moved
    or turned. The rows' weights are shared, so that it serves graphs of any size.

    Extrapolation: a little below the smallest distance seen, r₀, the force goes to zero linearly,
    f(r) = f(r₀) r/r₀; above the largest it goes on as the power of r that it has there.

    Args:
        features: Cosines in each of κ and φ.
        mass: Column of the node attributes that holds the mass; unit masses where it is None.
        coupled: Whether cᵢⱼ is mᵢmⱼ (gravity) and not 1 (springs).
        seed: Seed of the features.

    Raises:
        ConfigError: ``coupled`` without ``mass``, or ``mass`` is no column.
    """

    soft: Tensor
    near: Tensor
    far: Tensor
    edge: Tensor
    exponent: Tensor

    def __init__(
        self, features: int = 80, mass: int | None = None, coupled: bool = False, seed: int = 0
    ):
        super().__init__()
        positive(features=features)
        if mass is not None and mass < 0:
            raise ConfigError(f"PairEnergy.mass is a column of the node attributes, got {mass}.")
        if coupled and mass is None:
            raise ConfigError("PairEnergy(coupled=True) needs mass, the column of the masses.")
        self.features, self.mass, self.coupled, self.seed = features, mass, coupled, seed
        self.kinetic = RandomFeatures(1, max(8, features // 4), seed=2 * seed)
        self.potential = RandomFeatures(1, features, seed=2 * seed + 1)
        self.coefficients = nn.Parameter(
            torch.zeros(self.kinetic.count + self.potential.count).double()
        )
        for name, value in (
            ("soft", 0.0),
            ("near", 0.0),
            ("far", torch.inf),
            ("edge", torch.inf),
            ("exponent", 0.0),
        ):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Particles of unit mass."""
        return [shaken(cls(features=8))]

    def weights(self) -> tuple[Tensor, Tensor]:
        """Of κ and of φ, each ``[K, 1]``."""
        split = self.kinetic.count
        return self.coefficients[:split, None], self.coefficients[split:, None]

    def measure(
        self, speed: Tensor, reach: tuple[float, float], scales: tuple[Scale, Scale]
    ) -> None:
        """Take units from samples of |p|²/2m² ``[samples, 1]`` and from the range of distances."""
        self.kinetic.measure(speed, scales[0])
        edges = torch.tensor(reach, dtype=torch.float64)
        low, high = self.softened(edges).tolist()
        grid = torch.linspace(low, max(high, low + 1e-9), 400, dtype=torch.float64)[:, None]
        self.potential.measure(grid, scales[1])
        margin = MARGIN * scales[1].length * self.potential.spread[0]
        self.edge.copy_(edges[1])
        self.near.copy_(edges[0] * (-margin).exp())
        self.far.copy_(edges[1] * margin.exp())

    def softened(self, r: Tensor) -> Tensor:
        """S = ½ log(r² + c²)."""
        return (r * r + self.soft * self.soft).log() / 2

    @torch.no_grad()
    def settle(self) -> None:
        """Fix the power law beyond the largest distance, after the coefficients were set."""
        edge, weights = self.softened(self.edge).reshape(1, 1), self.weights()[1]
        steep = self.potential.slope_of(edge, weights)[0, 0, 0]
        bend = self.potential.bend_of(edge, weights)[0, 0, 0, 0]
        share = self.edge.square() / (self.edge.square() + self.soft.square())
        found = torch.where(steep == 0, torch.zeros_like(steep), bend / steep * share)
        self.exponent.copy_((found + 1 - 2 * share).nan_to_num(0.0).clamp(-STEEPEST, STEEPEST))

    def train(self, mode: bool = True) -> Self:
        """After a training by gradients the power law is taken anew."""
        if self.training and not mode and bool(self.edge.isfinite()):
            self.settle()
        return super().train(mode)

    def masses(self, topology: Topology) -> Tensor | None:
        """``[rows, 1]``, None where all are one.

        Raises:
            ConfigError: The rows carry no such column, or a mass that is not positive.
        """
        if self.mass is None:
            return None
        held = topology.node_attr
        if held is None or held.shape[1] <= self.mass:
            raise ConfigError(
                f"PairEnergy takes masses from column {self.mass} of the node attributes, and the "
                f"topology has {0 if held is None else held.shape[1]} columns."
            )
        mass = held[:, self.mass, None].to(self.coefficients.dtype)
        if not bool((mass > 0).all()):
            raise ConfigError(f"Masses must be positive, got {float(mass.min()):g}.")
        return mass

    def drift(self, p: Tensor, topology: Topology) -> Tensor:
        """κ'(|p|²/2m²) p/m."""
        mass = self.masses(topology)
        v = p if mass is None else p / mass
        return self.kinetic.slope_of(speed(v), self.weights()[0])[..., 0] * v

    def kick(self, t: Time, q: Tensor, topology: Topology) -> Tensor:
        """−Σⱼ cᵢⱼ f(rᵢⱼ) (qᵢ − qⱼ)/rᵢⱼ, f = dφ/dr."""
        first, second = pairs_of(topology)
        apart = q.index_select(0, second) - q.index_select(0, first)
        pull = apart * (self.coupling(topology) * self.force_over_distance(distance(apart)))
        return torch.zeros_like(q).index_add(0, first, pull).index_add(0, second, -pull)

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        first, second = pairs_of(topology)
        mass = self.masses(topology)
        own = self.kinetic.value_of(speed(p if mass is None else p / mass), self.weights()[0])
        kinetic = topology.per_system((own if mass is None else mass * own)[:, 0])
        r = distance(q.index_select(0, second) - q.index_select(0, first))
        bound = (self.coupling(topology) * self.potential_at(r))[:, 0]
        return kinetic.index_add(0, topology.system.index_select(0, first), bound)

    def coupling(self, topology: Topology) -> Tensor | float:
        """cᵢⱼ of every pair, ``[pairs, 1]``."""
        mass = self.masses(topology)
        if mass is None or not self.coupled:
            return 1.0
        first, second = pairs_of(topology)
        return mass.index_select(0, first) * mass.index_select(0, second)

    def force_over_distance(self, r: Tensor) -> Tensor:
        """f(r)/r at distances ``[pairs, 1]``."""
        near = r.clamp(self.near, self.far)
        slope = self.potential.slope_of(self.softened(near), self.weights()[1])[..., 0]
        inside = slope / (near * near + self.soft * self.soft)
        beyond = (r / self.far).clamp_min(1.0)
        return torch.where(r > self.far, inside * beyond.pow(self.exponent - 1), inside)

    def potential_at(self, r: Tensor) -> Tensor:
        """φ at distances ``[pairs, 1]``."""
        near = r.clamp(self.near, self.far)
        at, weights = self.softened(near), self.weights()[1]
        inside = self.potential.slope_of(at, weights)[..., 0]
        inside = inside / (near * near + self.soft * self.soft)
        below = inside * (r * r - near * near) / 2
        ratio, power = (r / near).clamp_min(1.0), self.exponent + 1
        safe = torch.where(power.abs() < 1e-9, torch.ones_like(power), power)
        grown = torch.where(power.abs() < 1e-9, ratio.log(), (ratio.pow(safe) - 1) / safe)
        beyond = torch.where(r < near, below, inside * near * near * grown)
        return self.potential.value_of(at, weights) + beyond


def pairs_of(topology: Topology) -> Tensor:
    """Each undirected pair once, ``[2, pairs]``.

    Raises:
        ConfigError: The graph is not symmetric.
    """
    pairs = topology.graph.pairs
    if pairs is None:
        raise ConfigError(
            "PairEnergy needs a symmetric graph without self-loops: every edge in both directions."
        )
    return pairs


def speed(v: Tensor) -> Tensor:
    """|v|²/2, ``[rows, 1]``."""
    return (v * v).sum(-1, keepdim=True) / 2


def distance(apart: Tensor) -> Tensor:
    """|apart|, ``[pairs, 1]``, never zero, so that rows on one spot feel no force from it."""
    squared = (apart * apart).sum(-1, keepdim=True)
    return squared.clamp_min(torch.finfo(squared.dtype).tiny ** 0.5).sqrt()
