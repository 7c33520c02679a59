"""Jacobians by forward mode, for a batch of anchors at once."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Flow = Callable[[Tensor], Tensor]
AT_ONCE = 1_000_000  # numbers of tangent vectors that are pushed in one pass
STEPS = (1e-5, 1e-4, 1e-6, 1e-7)  # of central differences, relative to the state
SMOOTH = 1e-6  # relative difference to central differences above which no Jacobian is trusted


def push(flow: Flow, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """F(x) and J(x) v for k tangent vectors at every anchor, in one forward pass.

    Args:
        flow: ``[anchors, n]`` to ``[anchors, n]``, each anchor by itself.
        x: ``[anchors, n]``.
        v: ``[anchors, n, k]``.

    Returns:
        ``[anchors, n]`` and ``[anchors, n, k]``.
    """

    def along(direction: Tensor) -> tuple[Tensor, Tensor]:
        image, pushed, *_ = torch.func.jvp(flow, (x,), (direction,))
        # an answer that does not depend on x has no tangent of its own to batch
        return pushed + 0 * direction, image

    pieces = max(1, AT_ONCE // x.numel())
    batched = torch.func.vmap(along, in_dims=-1, out_dims=(-1, 0), chunk_size=pieces)
    pushed, image = batched(v)
    return image[0], pushed


def jacobian(flow: Flow, x: Tensor) -> Tensor:
    """J(x) at every anchor, ``[anchors, n, n]``, by n tangent vectors."""
    n = x.shape[-1]
    unit = torch.eye(n, dtype=x.dtype, device=x.device).expand(x.shape[0], n, n)
    return push(flow, x, unit)[1]


def central(flow: Flow, x: Tensor, v: Tensor, step: float = 1e-5) -> Tensor:
    """J(x) v by central differences of second order, ``[anchors, n, k]``.

    The step is relative to the largest component of all anchors.
    """
    size = step * (float(x.abs().amax()) or 1.0)
    found = [(flow(x + size * one) - flow(x - size * one)) / (2 * size) for one in v.unbind(-1)]
    return torch.stack(found, -1)


@torch.no_grad()
def defect(flow: Flow, x: Tensor, seed: int = 0) -> float:
    """How far forward mode is from central differences along a random direction, relative.

    Above 1e-6 (in float64) something in between has no derivative or hides it: a detached tensor,
    a state changed in place, an edge list rebuilt, a kink. Infinite where either is not finite. Of
    several steps of the differences the best counts: what is smooth agrees with one of them, what
    is detached with none.
    """
    rng = torch.Generator().manual_seed(seed)
    v = torch.randn(*x.shape, 1, generator=rng, dtype=torch.float64).to(x)
    pushed = push(flow, x, v)[1]
    return min(_apart(pushed, central(flow, x, v, step)) for step in STEPS)


def _apart(pushed: Tensor, differed: Tensor) -> float:
    size = torch.maximum(differed.abs().amax(), pushed.abs().amax())
    if not bool(size.isfinite()) or float(size) == 0:
        return 0.0 if float(size) == 0 else float("inf")
    return float((pushed - differed).abs().amax() / size)
