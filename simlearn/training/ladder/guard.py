"""Does a fitted series stay where the data are?"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from simlearn.dynamics.series import Series
from simlearn.training.ladder.closed import Closed
from simlearn.training.ladder.flow import paths, step
from simlearn.training.ladder.samples import Samples

MOST = 40  # trajectories rolled out
TIMES = 3  # as long as they are
REACH = 3.0  # boxes of the data that a rollout may fill in the time of the data
FAR = 100.0  # and in three times that
CLOSE = 0.01  # boxes that a longer step of the rollout may be wrong by


@torch.no_grad()
def blown(model: Series, samples: Samples, closed: Closed) -> int:
    """How many rollouts leave the data far behind, or stop being numbers.

    In the time of the data a rollout should stay in three times their box, whether by the
    coefficients found or, a fifth of the trajectories, by those found without it. In three times
    that time it may go farther, as a pendulum does that turns over, but not a hundred boxes.
    """
    there = samples.x[samples.mask > 0]
    low, high = there.amin(0), there.amax(0)
    centre, reach = (low + high) / 2, (high - low).clamp_min(float((high - low).max()) / 10) / 2
    some, own = torch.arange(min(len(samples.x), MOST)), model.coefficients.clone()
    stride = _stride(model, samples, reach)

    def lost(kept: Tensor, times: int) -> int:
        t = samples.t[kept]
        span = t[:, -1:] - t[:, :1]
        boxes = [REACH] * t.shape[1] + [FAR] * (t.shape[1] - 1) * (times - 1)
        t = torch.cat([t] + [t[:, 1:] + k * span for k in range(1, times)], dim=1)
        x = paths(model.rates(), samples.x[kept, 0], t[:, ::stride], 1)
        limit = torch.tensor(boxes, dtype=x.dtype)[::stride, None] * reach
        return int((~((x - centre).abs() <= limit).all(-1).all(1)).sum())

    found = lost(some, TIMES)
    model.coefficients.copy_(closed.folds[0])
    found += lost(some[some % len(closed.folds) == 0], 1)
    model.coefficients.copy_(own)
    return found


def _stride(model: Series, samples: Samples, reach: Tensor) -> int:
    """Intervals of the data that one Runge-Kutta step may span here."""
    x, rates = samples.x[:, 0], model.rates()
    dt, longest = samples.t.diff(dim=1).amax(1, keepdim=True), samples.shape[1] // 3
    stride = 2 ** int(math.log2(max(longest, 1)))
    while stride > 1:
        fine, coarse = (step(rates, x, stride * dt, parts) for parts in (2, 1))
        if bool(((fine - coarse).abs() <= CLOSE * reach).all()):
            break
        stride //= 2
    return stride
