"""Energies of particles on a graph: one kinetic function, and one potential between pairs."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any, Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import SplitField, Time
from simlearn.dynamics.features import MARGIN, RandomFeatures, Scale
from simlearn.dynamics.neural import positive
from simlearn.dynamics.series import shaken
from simlearn.state import Topology

STEEPEST = 6.0  # largest exponent, either way, of the force beyond the largest distance seen
CORE = 1e-3  # part of the smallest believed distance below which every force is linear


class PairEnergy(SplitField):
    """H = Σᵢ mᵢ κ(|pᵢ|² / 2mᵢ²) + Σ over pairs cᵢⱼ φ(sᵢⱼ), κ and φ learned.

    s is ½ log(r² + c²), its softening c zero for forces that grow without bound, or the distance r
    itself, for forces smooth in it (springs). κ and φ are sums of random Fourier features and
    powers up to two, linear in their coefficients, so that `Ladder` fits them, and s, in closed
    form. H does not change when rows are permuted, and neither when the system is moved or turned.
    The rows' weights are shared, so that it serves graphs of any size.

    Extrapolation: a little above the largest distance seen the force goes on as the power of r that
    it has there. A little below the smallest it does so too, with an exponent from zero to one:
    springs push on, softened forces vanish, and none grows unseen. A thousand times further in, it
    goes to zero linearly.

    Args:
        features: Cosines in each of κ and φ.
        mass: Column of the node attributes that holds the mass; unit masses where it is None.
        coupled: Whether cᵢⱼ is mᵢmⱼ (gravity) and not 1 (springs).
        seed: Seed of the features.

    Raises:
        ConfigError: ``coupled`` without ``mass``, or ``mass`` is no column.
    """

    soft: Tensor
    straight: Tensor
    start: Tensor
    near: Tensor
    far: Tensor
    edge: Tensor
    exponent: Tensor
    inner: Tensor

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
        for name in ("soft", "straight", "start", "near", "exponent"):
            self.register_buffer(name, torch.zeros((), dtype=torch.float64))
        for name, value in (("far", torch.inf), ("edge", torch.inf), ("inner", 1.0)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.float64))
        self._checked: weakref.ref[Tensor] | None = None

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Particles of unit mass."""
        return [shaken(cls(features=8))]

    def weights(self) -> tuple[Tensor, Tensor]:
        """Of κ and of φ, each ``[K, 1]``."""
        split = self.kinetic.count
        return self.coefficients[:split, None], self.coefficients[split:, None]

    def measure(
        self,
        speed: Tensor,
        reach: tuple[float, float],
        scales: tuple[Scale, Scale],
        believed: tuple[float, float] = (MARGIN, MARGIN),
    ) -> None:
        """Take units from samples of |p|²/2m² ``[samples, 1]`` and from the range of distances.

        φ is believed so many length scales beyond; where more than usual, powers go on from there.
        """
        self.kinetic.measure(speed, scales[0])
        edges = torch.tensor(reach, dtype=torch.float64)
        low, high = self.softened(edges).tolist()
        grid = torch.linspace(low, max(high, low + 1e-9), 400, dtype=torch.float64)[:, None]
        self.potential.measure(grid, scales[1])
        self.potential.low.sub_((believed[0] - MARGIN) * scales[1].length)
        self.potential.high.add_((believed[1] - MARGIN) * scales[1].length)
        margin = torch.tensor(believed).double() * scales[1].length * self.potential.spread
        if bool(self.straight):
            self.near.copy_((edges[0] - margin[0]).maximum(CORE * edges[0]))
            self.far.copy_(edges[1] + margin[1])
        else:
            self.near.copy_(edges[0] * (-margin[0]).exp())
            self.far.copy_(edges[1] * margin[1].exp())
        self.start.copy_(self.near if believed[0] > MARGIN else edges[0])
        self.edge.copy_(self.far if believed[1] > MARGIN else edges[1])

    def softened(self, r: Tensor) -> Tensor:
        """S = ½ log(r² + c²), or r where the coordinate is the distance."""
        return torch.where(self.straight > 0, r, (r * r + self.soft * self.soft).log() / 2)

    def stretch(self, r: Tensor) -> Tensor:
        """(ds/dr)/r: 1/(r² + c²), or 1/r."""
        return torch.where(self.straight > 0, 1 / r, 1 / (r * r + self.soft * self.soft))

    @torch.no_grad()
    def settle(self) -> None:
        """Fix the powers of r outside the distances seen, after the coefficients were set."""
        self.exponent.copy_(self._power(self.edge).clamp(-STEEPEST, STEEPEST))
        self.inner.copy_(self._power(self.start).clamp(0.0, 1.0))

    def _power(self, r: Tensor) -> Tensor:
        """The slope of log|f| over log r."""
        at, weights = self.softened(r).reshape(1, 1), self.weights()[1]
        steep = self.potential.slope_of(at, weights)[0, 0, 0]
        bend = self.potential.bend_of(at, weights)[0, 0, 0, 0]
        curved = torch.where(steep == 0, torch.zeros_like(steep), bend / steep)
        share = r.square() / (r.square() + self.soft.square())
        soft = curved * share + 1 - 2 * share
        return torch.where(self.straight > 0, curved * r, soft).nan_to_num(0.0)

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
        if self._checked is None or self._checked() is not held:
            if not bool((mass > 0).all()):
                raise ConfigError(f"Masses must be positive, got {float(mass.min()):g}.")
            self._checked = weakref.ref(held)  # once for each topology: a force is cheap
        return mass

    def __getstate__(self) -> dict[str, Any]:
        """All but the reference to the masses checked last, which cannot be pickled."""
        return {**self.__dict__, "_checked": None}

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
        inside = slope * self.stretch(near)
        beyond, below = (r / self.far).clamp_min(1.0), (r / self.near).clamp(CORE, 1.0)
        outside = beyond.pow(self.exponent - 1) * below.pow(self.inner - 1)
        return torch.where(r == near, inside, inside * outside)

    def potential_at(self, r: Tensor) -> Tensor:
        """φ at distances ``[pairs, 1]``."""
        near = r.clamp(self.near, self.far)
        at, weights = self.softened(near), self.weights()[1]
        slope = self.potential.slope_of(at, weights)[..., 0]
        strength = slope * self.stretch(near) * near * near  # f r at the nearest point believed
        ratio, power = (r / near).clamp_min(1.0), self.exponent + 1
        safe = torch.where(power.abs() < 1e-9, torch.ones_like(power), power)
        grown = torch.where(power.abs() < 1e-9, ratio.log(), (ratio.pow(safe) - 1) / safe)
        ratio, power = r / near, self.inner + 1
        left = (ratio.clamp_max(CORE).square() - CORE**2) / 2 * CORE ** (power - 2)
        shrunk = (ratio.clamp(CORE, 1.0).pow(power) - 1) / power + left
        return self.potential.value_of(at, weights) + strength * torch.where(
            r < near, shrunk, grown
        )


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
