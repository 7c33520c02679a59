"""Mechanical energies with an inertia that depends on position, linear in their coefficients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.dynamics.base import HamiltonianField
from simlearn.dynamics.energy import even
from simlearn.dynamics.features import RandomFeatures, Scale
from simlearn.dynamics.frozen import both_with, slope_with
from simlearn.dynamics.neural import positive
from simlearn.dynamics.series import TURNS, WIDE, cosines, shaken
from simlearn.state import Topology


class MechanicalSeries(HamiltonianField):
    """H(q, p) = ½ pᵀ M(q)⁻¹ p + V(q), with M⁻¹ and V sums of random Fourier features of q.

    Every entry of M⁻¹ is a function of its own, so that H is linear in all coefficients; M⁻¹ is
    then positive definite where data say so, not by construction (`MechanicalEnergy` is). Outside
    the training data the functions go on along their tangents.

    Args:
        dim: Columns of the state, positions and momenta together.
        features: Cosines in each function.
        seed: Seed of the features.

    Raises:
        ConfigError: ``dim`` is odd.
    """

    dim: int
    first: Tensor
    second: Tensor

    def __init__(self, dim: int, features: int = 100, seed: int = 0):
        super().__init__()
        even(dim)
        positive(features=features)
        self.dim, self.features, self.seed = dim, features, seed
        half = dim // 2
        self.inertia = RandomFeatures(half, features, 0, constant=True, seed=2 * seed)
        self.potential = RandomFeatures(half, features, seed=2 * seed + 1)
        first, second = torch.triu_indices(half, half)
        self.register_buffer("first", first, persistent=False)
        self.register_buffer("second", second, persistent=False)
        self.entries = len(first)
        count = self.entries * self.inertia.count + self.potential.count
        self.coefficients = nn.Parameter(torch.zeros(count).double())

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Two degrees of freedom."""
        return [shaken(cls(dim=4, features=6))]

    def blocks(self) -> Mapping[str, slice]:
        """M⁻¹ and V."""
        split = self.entries * self.inertia.count
        return {"inertia": slice(0, split), "potential": slice(split, len(self.coefficients))}

    def penalised(self) -> Tensor:
        """The cosines."""
        own = cosines(self.inertia).repeat(self.entries)
        return torch.cat([own, cosines(self.potential)])

    def equations(self) -> Sequence[tuple[slice, slice]]:
        """One."""
        return [(slice(0, self.dim), slice(0, len(self.coefficients)))]

    def scales(self) -> Sequence[Sequence[Scale]]:
        """Positions may be periodic."""
        return [WIDE + TURNS]

    def measure(self, x: Tensor, scales: Sequence[Scale], equation: int | None = None) -> None:
        """All functions are of positions."""
        q = x.chunk(2, dim=-1)[0]
        self.inertia.measure(q, scales[0])
        self.potential.measure(q, scales[0])

    def energy(self, x: Tensor, topology: Topology) -> Tensor:
        """H, ``[systems]``."""
        q, p = x.chunk(2, dim=-1)
        inertia, potential = self._weights()
        kinetic = (self._products(p) * self.inertia.value_of(q, inertia)).sum(-1)
        return topology.per_system(kinetic + self.potential.value_of(q, potential)[:, 0])

    def gradient(self, x: Tensor, topology: Topology) -> Tensor:
        """∂H/∂x, ``[rows, dim]``."""
        q, p = x.chunk(2, dim=-1)
        inertia, potential = self._weights()
        by_p = (self._products_slope(p) * self.inertia.value_of(q, inertia)[:, None]).sum(-1)
        by_q = (self._products(p)[:, None] * self.inertia.slope_of(q, inertia)).sum(-1)
        return torch.cat([by_q + self.potential.slope_of(q, potential)[..., 0], by_p], dim=-1)

    def columns(self, x: Tensor, equation: int | None = None) -> Tensor:
        """``[rows, dim, K]``."""
        q, p = x.chunk(2, dim=-1)
        products, steep = self._products(p), self._products_slope(p)
        by_q = products[:, None, :, None] * self.inertia.slopes(q)[:, :, None]
        by_p = steep[..., None] * self.inertia.values(q)[:, None, None]
        own = self.potential.slopes(q)
        upper = torch.cat([by_p.flatten(2), torch.zeros_like(own)], dim=-1)
        return torch.cat([upper, -torch.cat([by_q.flatten(2), own], dim=-1)], dim=1)

    def rates(self) -> Callable[[Tensor], Tensor]:
        """J ∇H."""
        inertia, potential = self._weights()
        entries = both_with(self.inertia, inertia)
        force = slope_with(self.potential, potential[:, 0])
        halves, where = self._halves(inertia), self._where()

        def rates(x: Tensor) -> Tensor:
            q, p = x.chunk(2, dim=-1)
            matrix, steep = entries(q)
            velocity = (matrix[:, where] @ p[:, :, None])[..., 0]
            products = p[:, self.first] * p[:, self.second] * halves
            return torch.cat([velocity, -(steep @ products[:, :, None])[..., 0] - force(q)], dim=-1)

        return rates

    def tangent(self, x: Tensor) -> Tensor:
        """``[rows, dim, dim]``: J times the Hessian of H."""
        q, p = x.chunk(2, dim=-1)
        inertia, potential = self._weights()
        entries, steep = self.inertia.value_of(q, inertia), self.inertia.slope_of(q, inertia)
        products, slope = self._products(p), self._products_slope(p)
        pp = self._products_bend(entries)
        qp = (slope[:, None] * steep[:, :, None]).sum(-1)
        qq = (products[:, None, None] * self.inertia.bend_of(q, inertia)).sum(-1)
        qq = qq + self.potential.bend_of(q, potential)[..., 0]
        return torch.cat([torch.cat([qp.mT, pp], -1), -torch.cat([qq, qp], -1)], dim=1)

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Of M⁻¹ ``[K, entries]`` and of V ``[K, 1]``."""
        blocks = self.blocks()
        inertia = self.coefficients[blocks["inertia"]].reshape(self.entries, -1).T
        return inertia, self.coefficients[blocks["potential"], None]

    def _products(self, p: Tensor) -> Tensor:
        """½ pᵢ² and pᵢ pⱼ, ``[rows, entries]``."""
        return p[:, self.first] * p[:, self.second] * self._halves(p)

    def _halves(self, like: Tensor) -> Tensor:
        return torch.where(self.first == self.second, 0.5, 1.0).to(like)

    def _products_slope(self, p: Tensor) -> Tensor:
        """``[rows, dim/2, entries]``."""
        one = torch.eye(p.shape[1], dtype=p.dtype, device=p.device)
        left = one[:, self.first] * p[:, None, self.second]
        return (left + one[:, self.second] * p[:, None, self.first]) * self._halves(p)

    def _products_bend(self, entries: Tensor) -> Tensor:
        """M⁻¹ itself, ``[rows, dim/2, dim/2]``."""
        return entries[:, self._where()]

    def _where(self) -> Tensor:
        """Which entry each element of M⁻¹ is, ``[dim/2, dim/2]``."""
        half, device = self.dim // 2, self.first.device
        where = torch.zeros(half, half, dtype=torch.int64, device=device)
        number = torch.arange(len(self.first), device=device)
        where = where.index_put((self.first, self.second), number)
        return where.index_put((self.second, self.first), number)
