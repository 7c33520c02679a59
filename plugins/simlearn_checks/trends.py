"""A straight line through what oscillates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import Invariant
from simlearn_checks.batch import Flock
from simlearn_checks.noise import between_halves

BLOCKS = 8  # whose means a trend is fitted to, so that oscillations average out


@dataclass(frozen=True)
class Course:
    """How a quantity went: trend and its error, oscillation, all in its own scale.

    Attributes:
        t: ``[kept]`` times since the start.
        off: ``[kept, systems]`` what it changed by.
        rate: |slope| of the worst system.
        noise: Its standard error.
        oscillation: Half the range of what is left, worst system.
        width: Its uncertainty.
        worst: Number of the system whose slope is worst.
    """

    t: Tensor
    off: Tensor
    rate: float
    noise: float
    oscillation: float
    width: float
    worst: int


def trend(t: Tensor, off: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Slope, its standard error, and half the range of what is left, ``[systems]`` each.

    The line goes through means over blocks, so that oscillations that fit into a block several
    times do not count as slope.
    """
    size = len(t) // BLOCKS
    times = t[: size * BLOCKS].reshape(BLOCKS, size).mean(1)
    means = off[: size * BLOCKS].reshape(BLOCKS, size, -1).mean(1)
    away = (times - times.mean())[:, None]
    slope = (away * means).sum(0) / away.square().sum()
    left = means - means.mean(0) - slope * away
    noise = (left.square().sum(0) / (BLOCKS - 2) / away.square().sum()).sqrt()
    rest = off - slope * t[:, None]
    return slope, noise, (rest.amax(0) - rest.amin(0)) / 2


@torch.no_grad()
def course_of(quantity: Invariant, flock: Flock, scale: float, unit: float) -> Course:
    """The trend of the worst start."""
    values = torch.stack([quantity(x, flock.topology) for x in flock.x]).double()
    off = (values - values[0]) / max(scale, 1e-300)
    rate, noise, width = trend(flock.t / unit, off)
    if not bool(off.isfinite().all()):
        return Course(flock.t, off, math.inf, 0.0, math.inf, 0.0, 0)
    worst = int(rate.abs().argmax())
    slope, error, wide = float(rate[worst].abs()), float(noise[worst]), float(width.max())
    return Course(flock.t, off, slope, error, wide, between_halves(off.abs()), worst)
