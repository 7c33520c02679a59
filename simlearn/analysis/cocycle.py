"""The cocycle of a simulator: states, and frames of tangent vectors pushed along with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.analysis.flat import Motion, random_frame
from simlearn.analysis.jacobian import push
from simlearn.dynamics.base import Time

Normal = Tensor | Callable[[Tensor], Tensor]


@dataclass
class Turn:
    """A step of the cocycle: states after it, Q and R of the pushed frame."""

    x: Tensor
    frame: Tensor
    r: Tensor
    alive: Tensor


def turn(
    motion: Motion,
    x: Tensor,
    count: int,
    *,
    dt: float,
    t0: Time = 0.0,
    every: int = 1,
    normal: Normal | None = None,
    follow: Callable[[Tensor], Tensor] | None = None,
    bound: float = math.inf,
    seed: int = 0,
) -> Iterator[Turn]:
    """The states and frames of the cocycle, without end; a lost orbit stays where it was."""
    basis = basis_of(normal)
    alive = torch.ones(x.shape[0], dtype=torch.bool, device=x.device)
    width = x.shape[1] if basis is None else basis(x).shape[-1]
    q = random_frame(x.shape[0], width, count, seed).to(x)
    number = 0
    while True:
        z = q
        for _ in range(every):
            t = t0 + number * dt
            tangent = z if basis is None else basis(x) @ z
            ahead, pushed = push(lambda y, t=t: motion(y, t), x, tangent)  # type: ignore[misc]
            sound = ahead.isfinite().all(-1) & (ahead.abs().amax(-1) <= bound)
            alive = alive & sound & pushed.isfinite().flatten(1).all(-1)
            ahead = torch.where(alive[:, None], ahead, x)
            x = ahead if follow is None else torch.where(alive[:, None], follow(ahead), x)
            kept = pushed if basis is None else basis(x).mT @ pushed
            z = torch.where(alive[:, None, None], kept, z)
            number += 1
        q, r = orthonormal(z)
        yield Turn(x, q, r, alive)


def orthonormal(z: Tensor) -> tuple[Tensor, Tensor]:
    """QR with a positive diagonal: ``[..., n, k]`` to Q and R."""
    q, r = torch.linalg.qr(z)
    sign = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(r)
    return q * sign[..., None, :], r * sign[..., :, None]


def basis_of(normal: Normal | None) -> Callable[[Tensor], Tensor] | None:
    """The basis at any states, also where it is the same everywhere."""
    if normal is None or callable(normal):
        return normal
    return lambda x: normal.to(x)
