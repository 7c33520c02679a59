"""Rigid rods between points: who is joined, and the linear algebra of their forces."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError


class Rods(nn.Module):
    """x_i − x_j of every rod, as sign · points + held.

    Args:
        points: Moving points.
        space: Dimensions they move in.
        rods: Pairs of ends. 0 to points − 1 are the points, points and on the anchors.
        anchors: Fixed places, each of ``space`` coordinates.

    Raises:
        ConfigError: A rod or an anchor is none, or the rods are redundant or leave nothing free.
    """

    sign: Tensor
    held: Tensor

    def __init__(
        self,
        points: int,
        space: int,
        rods: Sequence[Sequence[int]],
        anchors: Sequence[Sequence[float]] = (),
    ):
        super().__init__()
        _sound(rods, points, anchors, space)
        self.points, self.space = points, space
        places = torch.tensor(anchors, dtype=torch.float64).reshape(-1, space)
        every = torch.zeros(len(rods), points + len(anchors), dtype=torch.float64)
        for k, (first, second) in enumerate(rods):
            every[k, first], every[k, second] = 1.0, -1.0
        self.register_buffer("sign", every[:, :points].contiguous(), persistent=False)
        self.register_buffer("held", every[:, points:] @ places, persistent=False)
        self._determined()

    def apart(self, q: Tensor) -> Tensor:
        """x_i − x_j of every rod, ``[..., rods, space]``."""
        return self.parting(q) + self.held.to(q)

    def parting(self, v: Tensor) -> Tensor:
        """v_i − v_j of every rod, ``[..., rods, space]``; anchors stand still."""
        return self.sign.to(v) @ v.unflatten(-1, (self.points, self.space))

    def spread(self, apart: Tensor) -> Tensor:
        """Plus at the first end and minus at the second, ``[..., rods, points · space]``."""
        return (self.sign.to(apart)[:, :, None] * apart[..., :, None, :]).flatten(-2)

    def _determined(self) -> None:
        """Refuse rods whose forces are not determined wherever the points are."""
        rng = torch.Generator().manual_seed(0)
        q = torch.randn(self.points * self.space, generator=rng, dtype=torch.float64)
        rank = int(torch.linalg.matrix_rank(self.spread(self.apart(q))))
        if rank < len(self.sign) or rank == len(q):
            raise ConfigError(
                f"Of the {len(self.sign)} rods {rank} are independent, for {self.points} points in "
                f"{self.space} dimensions. Take rods away until each of them is needed and "
                "something can move."
            )


def _sound(
    rods: Sequence[Sequence[int]],
    points: int,
    anchors: Sequence[Sequence[float]],
    space: int,
) -> None:
    """Refuse rods that join no two places, and anchors that are none."""
    for place in anchors:
        if len(place) != space or not all(map(math.isfinite, place)):
            raise ConfigError(
                f"An anchor is a place of {space} finite coordinates, got {list(place)}."
            )
    if not rods:
        raise ConfigError("There are no rods: take SeparableEnergy for points that move freely.")
    last, seen = points + len(anchors) - 1, set()
    for rod in rods:
        if len(rod) != 2 or any(not 0 <= end <= last for end in rod):
            raise ConfigError(
                f"A rod joins two of the {points} points (0 to {points - 1}) and {len(anchors)} "
                f"anchors (numbered on, to {last}); got {list(rod)}."
            )
        if rod[0] == rod[1] or min(rod) >= points:
            raise ConfigError(
                f"A rod joins a point to another point or to an anchor, got {list(rod)}."
            )
        if frozenset(rod) in seen:
            raise ConfigError(f"There are two rods between {rod[0]} and {rod[1]}; name one.")
        seen.add(frozenset(rod))


def pulled(g: Tensor, multipliers: Tensor) -> Tensor:
    """Gᵀ λ, ``[..., points · space]``."""
    return (multipliers[..., None, :] @ g)[..., 0, :]


def along(g: Tensor, v: Tensor) -> Tensor:
    """G v, ``[..., rods]``."""
    return (g @ v[..., None])[..., 0]


def solver(matrix: Tensor) -> Callable[[Tensor], Tensor]:
    """Solves with positive definite matrices ``[..., rods, rods]``; NaN where one is not."""
    lower, info = torch.linalg.cholesky_ex(matrix)
    lower = torch.where((info == 0)[..., None, None], lower, torch.nan)
    return lambda b: torch.cholesky_solve(b[..., None], lower)[..., 0]
