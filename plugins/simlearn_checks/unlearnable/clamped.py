"""Held-out rollouts, free and clamped to the data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import Evidence, Place, Simulator, Trajectory, inputs_for
from simlearn.analysis import directions
from simlearn.analysis.flat import states
from simlearn_checks.unlearnable.case import Frame, step_of
from simlearn_checks.unlearnable.models import starts_of

STARTS = 4  # held-out rollouts whose distance from the data is watched


@dataclass(frozen=True)
class Clamp:
    """Free rollouts beside ones clamped to the data.

    Attributes:
        t: ``[steps + 1]``.
        free: Distance of free rollouts from the span of the data, worst start, ``[steps + 1]``.
        clamped_error: Error of clamped rollouts against the truth at the end, mean over starts.
        free_error: The same of free ones.
        observed: First step at which a free rollout was ``tolerance`` off; infinite if none.
        worst: The start of that rollout, and the step; of none, where one was furthest off.
    """

    t: Tensor
    free: Tensor
    clamped_error: float
    free_error: float
    observed: float
    worst: Place


def clamp(
    simulator: Simulator,
    evidence: Evidence,
    frame: Frame,
    normal: Tensor,
    horizon: int,
    tolerance: float,
) -> Clamp | None:
    """Held-out rollouts, free and clamped, as long as the data; None where they cannot be told."""
    gaps: list[tuple[Tensor, Tensor, Tensor]] = []
    begins = starts_of(evidence, STARTS)
    for one in begins:
        if inputs_for(one.slice(0, 1), 0, simulator.dt) is not None:
            return None  # each step would have its own input; the exponents say enough
        step = step_of(simulator, one.topology, frame.scale)
        z0, t0 = states(one)[0] / frame.scale, float(one.t[0].min())
        truth = states(one)[:, 0] / frame.scale
        free = directions.rolled(step, z0, horizon, dt=simulator.dt, t0=t0)[:, 0]
        held = directions.rolled(
            step, z0, horizon, dt=simulator.dt, t0=t0, data=frame.data, mean=frame.mean
        )[:, 0]
        shared = _shared(one.t, simulator.dt, horizon)
        off = directions.off_data(free, normal, frame.mean)
        gaps.append((off, _error(free, truth, shared), _error(held, truth, shared)))
    if not gaps:
        return None
    off = torch.stack([gap[0] for gap in gaps], 1)
    told = [torch.stack([gap[k] for gap in gaps]).mean() for k in (1, 2)]
    return Clamp(
        simulator.dt * torch.arange(len(off), dtype=torch.float64),
        torch.where(off.isfinite(), off, torch.inf).amax(1),
        float(told[1]),
        float(told[0]),
        float(directions.escaped(off, tolerance).min()),
        _worst(off, begins, evidence, simulator.dt, tolerance),
    )


def _worst(
    off: Tensor, begins: Sequence[Trajectory], evidence: Evidence, dt: float, tolerance: float
) -> Place:
    """Where a free rollout first left the data, or came closest to it."""
    steps = directions.escaped(off, tolerance)
    k = int(steps.argmin())
    step = float(steps[k])
    if not math.isfinite(step):
        step, k = divmod(int(off.argmax()), off.shape[1])
    one = begins[k]
    known = list(evidence.held_out)
    number = known.index(one) if one in known else None
    return Place(number, int(step), float(one.t[0].min()) + int(step) * dt)


def _shared(t: Tensor, dt: float, steps: int) -> int:
    """The last step at which the data, sampled every dt, still tell the truth; 0 if they do not."""
    gaps = t.diff(dim=0)
    even = t.ndim == 1 and bool(((gaps - dt).abs() <= 1e-4 * dt).all())
    return min(steps, len(t) - 1) if even else 0


def _error(orbit: Tensor, truth: Tensor, last: int) -> Tensor:
    return (orbit[last] - truth[last]).norm()
