"""A learned force between pairs: sums of Gaussians in log distance, and one mass for each body."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.dynamics.graph import PairField
from simlearn.dynamics.linear import Estimate
from simlearn.state import Topology


class PairForce(PairField):
    """One learned force between all pairs and one learned mass for each body.

    No law is written in.

    f(r) = Σ_k w_k exp(−(log r − c_k)² / 2s²) / r², with the centres c_k evenly spaced in log r and
    s their spacing; the potential of each term is exact: −e^(s²/2 − c_k) s √(π/2) erfc((log r −
    c_k + s²) / (s √2)). A rescaling of all masses against w changes nothing, so the first body's
    mass is fixed at 1. Outside [r_min, r_max] the force fades to zero within a few spacings.

    Args:
        names: Bodies, in the order of the data's node types; the first is the unit of mass.
        terms: Number of Gaussians.
        r_min: Smallest centre, in the data's unit of length.
        r_max: Largest centre, in the data's unit of length.

    Raises:
        ConfigError: Fewer than three terms, fewer than two bodies, or 0 < r_min < r_max does not
            hold.
    """

    MASS_FLOOR = 1e-9
    centres: Tensor
    start_size: Tensor

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
        # in units of the largest one at the start, so that one step of an optimizer suits them
        # and the logarithms of the masses alike
        self.shape = nn.Parameter(torch.ones(terms))
        self.register_buffer("start_size", torch.tensor(1e-4, dtype=torch.float64))

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A star and two planets."""
        return [cls(names=("star", "near", "far"), terms=6, r_min=0.5, r_max=5.0)]

    @property
    def weights(self) -> Tensor:
        """Coefficients w_k, ``[terms]``."""
        return self.shape * self.start_size

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
            size = coefficients["weights"].abs().max()
            self.start_size.copy_(torch.where(size > 0, size, 1.0))
            self.shape.copy_(coefficients["weights"] / self.start_size)

    def unevenness(self) -> Tensor:
        """|D₂ w|² / max|w₀|²."""
        bend = self.shape[:-2] - 2 * self.shape[1:-1] + self.shape[2:]
        return (bend * bend).sum()

    def estimates(
        self, coefficients: Mapping[str, Tensor], errors: Mapping[str, Tensor]
    ) -> dict[str, Estimate]:
        """The mass of each body but the first, in units of the first."""
        unit = f"mass of {self.names[0]}"
        pairs = zip(coefficients["mass"].tolist(), errors["mass"].tolist(), strict=True)
        found = {n: Estimate(m, e, unit) for n, (m, e) in zip(self.names, pairs, strict=True)}
        found.pop(self.names[0])
        return found
