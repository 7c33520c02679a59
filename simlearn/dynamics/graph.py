"""Forces between pairs on a graph, in the (q, v) chart with one mass for each named body."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.base import SplitField, Time
from simlearn.dynamics.linear import Estimate
from simlearn.state import Topology


class PairField(SplitField):
    """Central forces between the pairs of a graph: dq_i/dt = v_i, dv_i/dt = Σ_j μ_j f(r_ij) (q_j − q_i)/r_ij.

    f > 0 attracts. Every undirected pair is visited once. Momentum Σ μ_i v_i is kept to rounding whatever f is.
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
                f"{type(self).__name__} needs a symmetric graph without self-loops: every edge in both directions."
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
                f"{list(topology.node_names) or 'none'}. Give the field the names of the data, in their order."
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
        gravity: G in units of length³ / (mass · time²). With AU, days and solar masses: the square of the Gaussian
            constant, 0.01720209895².
    """

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
        return self._mass  # type: ignore[return-value]

    def force_over_distance(self, r2: Tensor) -> Tensor:
        """G / r³."""
        return self.gravity * r2 ** (-1.5)

    def potential(self, r: Tensor) -> Tensor:
        """−G / r."""
        return -self.gravity / r


class PairForce(PairField):
    """One learned force between all pairs and one learned mass for each body, with no law written in.

    f(r) = Σ_k w_k exp(−(log r − c_k)² / 2s²) / r², with the centres c_k evenly spaced in log r and s their spacing;
    the potential of each term is exact: −e^(s²/2 − c_k) s √(π/2) erfc((log r − c_k + s²) / (s √2)).
    A rescaling of all masses against w changes nothing, so the first body's mass is fixed at 1.
    Outside [r_min, r_max] the force fades to zero within a few spacings.

    Args:
        names: Bodies, in the order of the data's node types; the first is the unit of mass.
        terms: Number of Gaussians.
        r_min: Smallest centre, in the data's unit of length.
        r_max: Largest centre, in the data's unit of length.

    Raises:
        ConfigError: Fewer than three terms, fewer than two bodies, or 0 < r_min < r_max does not hold.
    """

    MASS_FLOOR = 1e-9

    def __init__(
        self, names: Sequence[str], terms: int = 24, r_min: float = 0.2, r_max: float = 35.0
    ):
        super().__init__()
        if terms < 3 or len(names) < 2 or not 0 < r_min < r_max:
            raise ConfigError(
                "PairForce needs at least 3 terms, 2 bodies and 0 < r_min < r_max, got "
                f"{terms} terms, {len(names)} bodies, r_min {r_min}, r_max {r_max}."
            )
        self.names, self.terms, self.r_min, self.r_max = tuple(names), terms, r_min, r_max
        centres = torch.linspace(math.log(r_min), math.log(r_max), terms, dtype=torch.float64)
        self.register_buffer("centres", centres)
        self.spacing = float(centres[1] - centres[0])
        self.log_mass = nn.Parameter(torch.full((len(names) - 1,), -7.0))
        self.weights = nn.Parameter(torch.full((terms,), 1e-4))
        self.register_buffer("start_size", torch.tensor(1e-4, dtype=torch.float64))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A star and two planets."""
        return [cls(names=("star", "near", "far"), terms=6, r_min=0.5, r_max=5.0)]

    def masses(self) -> Tensor:
        """(1, exp(log μ))."""
        return torch.cat([self.log_mass.new_ones(1), self.log_mass.exp()])

    def _bumps(self, r2: Tensor) -> Tensor:
        """exp(−(log r − c_k)² / 2s²), ``[..., terms]``."""
        apart = (torch.log(r2)[..., None] * 0.5 - self.centres) * (
            1 / (self.spacing * math.sqrt(2))
        )
        return torch.exp(-apart * apart)

    def force_over_distance(self, r2: Tensor) -> Tensor:
        """f(r) / r."""
        return (self._bumps(r2) @ self.weights) / (r2 * torch.sqrt(r2))

    def potential(self, r: Tensor) -> Tensor:
        """The exact integral of f from infinity."""
        s, c = self.spacing, self.centres
        reach = torch.erfc((torch.log(r)[..., None] - c + s * s) / (s * math.sqrt(2)))
        return -(reach * torch.exp(s * s / 2 - c)) @ self.weights * (s * math.sqrt(math.pi / 2))

    # Linear in its coefficients (simlearn.dynamics.linear.Multilinear)

    def blocks(self) -> Mapping[str, int]:
        """Masses and force coefficients."""
        return {"mass": len(self.names), "weights": self.terms}

    def columns(self, x: Tensor, topology: Topology) -> Tensor:
        """Acceleration at unit products μ_j w_k: ``[rows, dim/2, names, terms]``."""
        q = x.chunk(2, dim=-1)[0]
        first, second = self.pairs(topology)
        self.row_masses(topology)
        kind = topology.node_type
        assert kind is not None
        apart = q[second] - q[first]
        r2 = (apart * apart).sum(-1)
        term = self._bumps(r2) / (r2 * torch.sqrt(r2))[:, None]
        push = apart[:, :, None] * term[:, None, :]
        design = q.new_zeros(q.shape[0], len(self.names), q.shape[1], self.terms)
        design.index_put_((first, kind[second]), push, accumulate=True)
        design.index_put_((second, kind[first]), -push, accumulate=True)
        return design.transpose(1, 2)

    def fitted(self, derivative: Tensor) -> Tensor:
        """The accelerations."""
        return derivative.chunk(2, dim=-1)[1]

    def gauge(self, coefficients: dict[str, Tensor]) -> dict[str, Tensor]:
        """The first body weighs 1."""
        unit = coefficients["mass"][0]
        return {"mass": coefficients["mass"] / unit, "weights": coefficients["weights"] * unit}

    def second_difference(self) -> Tensor:
        """D₂, ``[terms − 2, terms]``: rows (1, −2, 1)."""
        eye = torch.eye(self.terms, dtype=torch.float64)
        return eye[:-2] - 2 * eye[1:-1] + eye[2:]

    def roughness(self) -> Mapping[str, Tensor]:
        """D₂ᵀD₂ on the force coefficients."""
        difference = self.second_difference()
        return {"weights": difference.T @ difference}

    def load(self, coefficients: Mapping[str, Tensor]) -> None:
        """Take masses (clipped at 1e-9) and force coefficients over."""
        with torch.no_grad():
            self.log_mass.copy_(coefficients["mass"][1:].clamp_min(self.MASS_FLOOR).log())
            self.weights.copy_(coefficients["weights"])
            self.start_size.copy_(coefficients["weights"].abs().max())

    def unevenness(self) -> Tensor:
        """|D₂ w|² / max|w₀|²."""
        bend = self.weights[:-2] - 2 * self.weights[1:-1] + self.weights[2:]
        return (bend * bend).sum() / self.start_size**2

    def estimates(
        self, coefficients: Mapping[str, Tensor], errors: Mapping[str, Tensor]
    ) -> dict[str, Estimate]:
        """The mass of each body but the first, in units of the first."""
        unit = f"mass of {self.names[0]}"
        pairs = zip(coefficients["mass"].tolist(), errors["mass"].tolist(), strict=True)
        found = {n: Estimate(m, e, unit) for n, (m, e) in zip(self.names, pairs, strict=True)}
        found.pop(self.names[0])
        return found
