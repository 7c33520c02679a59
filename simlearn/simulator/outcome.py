"""How a rollout ended: a value with a status, the step and the row, never an exception."""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn.state import Status, Topology, Trajectory


def rolled(x: Tensor, t: Tensor, topology: Topology, bound: float) -> Trajectory:
    """The states with their times, and how the rollout ended.

    Args:
        x: ``[kept, rows, dim]``, at most as many as times.
        t: ``[wanted]`` or ``[wanted, systems]``.
        topology: Of the states.
        bound: Beyond which a component counts as lost.
    """
    with torch.no_grad():
        good = _leading(inside(x.flatten(1), bound))
    status, row = _ending(x, good, len(t), bound)
    if not x.requires_grad:
        x = x[: max(1, good)]
    return Trajectory(t[: len(x)], x, topology, status=status, finite_steps=good, first_bad_row=row)


def _ending(x: Tensor, good: int, wanted: int, bound: float) -> tuple[Status, int]:
    """How it ended, and the first row that was lost; −1 where none was."""
    if good == wanted:
        return "ok", -1
    if good == len(x):
        return "left_bound", -1
    bad = x[good].detach()
    row = int((~inside(bad, bound)).int().argmax())
    return ("left_bound" if bool(bad.isfinite().all()) else "diverged"), row


def inside(x: Tensor, bound: float) -> Tensor:
    """Whether every component of a state ``[..., components]`` is finite and inside the bound."""
    # both extremes hand NaN on, and no comparison with NaN is true; for ten thousands of components
    # a norm takes ten times as long
    x = x.abs() if x.is_complex() else x
    largest = torch.maximum(x.amax(-1), -x.amin(-1))
    return (largest <= bound) & (largest < torch.inf)


def _leading(flags: Tensor) -> int:
    """How many leading entries are True."""
    return len(flags) if bool(flags.all()) else int(flags.int().argmin())
