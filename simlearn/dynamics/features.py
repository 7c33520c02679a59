"""Random Fourier features and low powers: functions that are linear in their coefficients."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError

EMPTY = 1e-8  # part of the largest variance below which a direction is empty
MARGIN = 0.25  # length scales beyond the samples to which the cosines are still believed


@dataclass(frozen=True)
class Scale:
    """How wiggly a function is.

    Attributes:
        length: Length scale in units of the spread of the samples, or in radians where periodic.
        periodic: Whether the function has the period 2π in every coordinate.
    """

    length: float
    periodic: bool = False

    def __str__(self) -> str:
        return f"{self.length:g} rad, periodic" if self.periodic else f"{self.length:g} spreads"


class RandomFeatures(nn.Module):
    """φ(x) = (powers of z, √(2/M) ℓ cos(ωₖ·z + βₖ)), with z = (x − centre) / spread.

    With ωₖ ~ N(0, 1/ℓ²) the cosines span a Gaussian process with a squared-exponential kernel of
    length ℓ (Rahimi and Recht 2007, algorithm 1); their factor ℓ makes slopes, not values, of size
    one. With a period, z = x, ωₖ are integers, and the powers vanish.

    Where the samples fill only a subspace, nothing changes across it: nobody knows how it should.
    Outside the box of the samples the cosines go on along their tangent plane, h(c) + ∇h(c)·(z −
    c), c the nearest point of the box: values are continuous, slopes grow at most linearly, and
    jump only where a second column leaves the box. Powers go on as they are.

    Args:
        dim: Columns of x.
        features: Number M of cosines.
        degree: 0 for no powers, 2 for all of degree one and two.
        constant: Whether the constant function is among the powers.
        seed: Seed of frequencies and phases.
    """

    first: Tensor
    second: Tensor
    unit: Tensor
    centre: Tensor
    spread: Tensor
    frequency: Tensor
    phase: Tensor
    size: Tensor
    low: Tensor
    high: Tensor
    powers: Tensor
    filled: Tensor

    def __init__(
        self, dim: int, features: int, degree: int = 2, constant: bool = False, seed: int = 0
    ):
        super().__init__()
        if features < 1:
            raise ConfigError(f"Random features must be at least one, got {features}.")
        if degree not in (0, 2):
            raise ConfigError(f"Powers have the degree 0 or 2, got {degree}.")
        self.dim, self.features, self.degree, self.constant = dim, features, degree, constant
        self.seed = seed
        rng = torch.Generator().manual_seed(seed)
        unit = torch.randn(dim, features, generator=rng, dtype=torch.float64)
        turn = 2 * math.pi * torch.rand(features, generator=rng, dtype=torch.float64)
        first, second = torch.triu_indices(dim, dim)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.register_buffer("unit", unit, persistent=False)
        for name, value in (
            ("centre", torch.zeros(dim)),
            ("spread", torch.ones(dim)),
            ("frequency", unit.clone()),
            ("phase", turn),
            ("size", torch.tensor(math.sqrt(2 / features))),
            ("low", torch.full((dim,), -torch.inf)),
            ("high", torch.full((dim,), torch.inf)),
            ("powers", torch.ones(())),
            ("filled", torch.eye(dim)),
        ):
            self.register_buffer(name, value.double())

    @property
    def count(self) -> int:
        """Number of functions K."""
        powers = self.dim + len(self.first) if self.degree else 0
        return self.constant + powers + self.features

    def measure(self, x: Tensor, scale: Scale) -> None:
        """Take box, units and frequencies from samples ``[samples, dim]`` and a scale."""
        if scale.periodic:
            self.centre.zero_()
            self.spread.fill_(1.0)
            turns = (self.unit / scale.length).round()
            still = (turns == 0).all(0)
            turns[0, still] = 1.0
            self.frequency.copy_(turns)
            self.powers.zero_()
            self.filled.copy_(torch.eye(self.dim))
            self.low.fill_(-torch.inf)
            self.high.fill_(torch.inf)
        else:
            spread = x.std(0, correction=0)
            self.spread.copy_(torch.where(spread > 0, spread, torch.ones_like(spread)))
            self.centre.copy_(x.mean(0))
            self.powers.fill_(1.0)
            z = (x - self.centre) / self.spread
            self.filled.copy_(_filled(z))
            z = self._seen(z)
            self.frequency.copy_(self.filled @ self.unit / scale.length)
            margin = MARGIN * scale.length
            self.low.copy_(z.amin(0) - margin)
            self.high.copy_(z.amax(0) + margin)
        self.size.fill_(math.sqrt(2 / self.features) * scale.length)

    def values(self, x: Tensor) -> Tensor:
        """φ, ``[rows, K]``."""
        z, angle, beyond, _ = self._angles(x)
        waves = self.size * (angle.cos() - beyond * angle.sin())
        parts = [torch.ones_like(z[:, :1])] if self.constant else []
        if self.degree:
            parts += [self.powers * z, self.powers * z[:, self.first] * z[:, self.second]]
        return torch.cat([*parts, waves], dim=-1)

    def slopes(self, x: Tensor) -> Tensor:
        """∂φ/∂x, ``[rows, dim, K]``."""
        z, angle, beyond, inside = self._angles(x)
        wave = angle.sin()[:, None]
        if self.dim > 1 and bool(beyond.any()):
            wave = wave + inside[:, :, None] * (beyond * angle.cos())[:, None]
        parts = [z.new_zeros(len(z), self.dim, 1)] if self.constant else []
        if self.degree:
            parts.append(self.powers_slope(z))
        steep = torch.cat([*parts, -self.size * self.frequency * wave], dim=-1)
        return self._seen(steep.movedim(1, -1)).movedim(-1, 1) / self.spread[:, None]

    def value_of(self, x: Tensor, weights: Tensor) -> Tensor:
        """Σ w φ for weights ``[K, m]``, ``[rows, m]``."""
        return self.values(x) @ weights

    def slope_of(self, x: Tensor, weights: Tensor) -> Tensor:
        """Σ w ∂φ/∂x for weights ``[K, m]``, ``[rows, dim, m]``; no ``[rows, dim, K]`` is made."""
        powers, waves = self.split(weights)
        steep = (-self.size * self.frequency[:, :, None] * waves).movedim(0, 1).flatten(1)
        shape = (len(x), self.dim, weights.shape[1])
        z, angle, beyond, inside = self._angles(x)
        slope = (angle.sin() @ steep).reshape(shape)
        if self.dim > 1:
            slope = slope + inside[:, :, None] * ((beyond * angle.cos()) @ steep).reshape(shape)
        if self.degree:
            slope = slope + self.powers_slope(z) @ powers
        return self._seen(slope.movedim(1, -1)).movedim(-1, 1) / self.spread[:, None]

    def bend_of(self, x: Tensor, weights: Tensor) -> Tensor:
        """Σ w ∂²φ/∂x² for weights ``[K, m]``, ``[rows, dim, dim, m]``."""
        z, angle, beyond, inside = self._angles(x)
        powers, waves = self.split(weights)
        pairs = self.frequency[:, None] * self.frequency[None]
        steep = (-self.size * pairs[..., None] * waves).movedim(2, 0).flatten(1)
        shape = (len(z), self.dim, self.dim, weights.shape[1])
        outside = 1 - inside
        both = 1 - outside[:, :, None] * outside[:, None]
        bend = both[..., None] * (angle.cos() @ steep).reshape(shape)
        if self.dim > 1:
            within = inside[:, :, None] * inside[:, None]
            bend = bend - within[..., None] * ((beyond * angle.sin()) @ steep).reshape(shape)
        if self.degree:
            bend = bend + self.powers_bend(powers)
        if self.empty():
            bend = torch.einsum("ai,rijm,jb->rabm", self.filled, bend, self.filled)
        return bend / (self.spread[:, None] * self.spread)[..., None]

    def _angles(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """z; ω·c + β at the nearest point c of the box; ω·(z − c); and which columns are inside."""
        z = self._seen((x - self.centre) / self.spread)
        near = z.clamp(self.low, self.high)
        angle = torch.addmm(self.phase, near, self.frequency)
        return z, angle, (z - near) @ self.frequency, (z == near).to(z)

    def split(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """Weights ``[K, m]`` of the powers, without the constant, and of the cosines."""
        skip = int(self.constant)
        return weights[skip : -self.features], weights[-self.features :]

    def powers_slope(self, z: Tensor) -> Tensor:
        """∂(powers)/∂z, ``[rows, dim, powers]``."""
        one = torch.eye(self.dim, dtype=z.dtype, device=z.device).expand(len(z), -1, -1)
        square = (
            one[:, :, self.first] * z[:, None, self.second]
            + one[:, :, self.second] * z[:, None, self.first]
        )
        return self.powers * torch.cat([one, square], dim=-1)

    def powers_bend(self, powers: Tensor) -> Tensor:
        """∂²(Σ w powers)/∂z² for weights ``[powers, m]``, ``[dim, dim, m]``."""
        bend = powers.new_zeros(self.dim, self.dim, powers.shape[1])
        bend = bend.index_put((self.first, self.second), self.powers * powers[self.dim :])
        return bend + bend.transpose(0, 1)

    def empty(self) -> bool:
        """Whether the samples left a direction empty."""
        return self.dim > 1 and bool((self.filled.diagonal() != 1).any())

    def _seen(self, z: Tensor) -> Tensor:
        """``[..., dim]`` without what lies across the samples."""
        return z @ self.filled if self.empty() else z


def _filled(z: Tensor) -> Tensor:
    """Projector on the directions in which samples ``[samples, dim]`` differ."""
    if z.shape[1] == 1:
        return z.any().to(z.dtype).reshape(1, 1)
    values, vectors = torch.linalg.eigh(z.T @ z / len(z))
    kept = vectors[:, values > EMPTY * values[-1]]
    if kept.shape[1] == z.shape[1]:
        return torch.eye(z.shape[1], dtype=z.dtype)
    return kept @ kept.T
