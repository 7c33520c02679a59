"""Does a fitted series stay where the data are?"""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn.dynamics.series import Series
from simlearn.training.ladder.closed import Closed
from simlearn.training.ladder.flow import paths
from simlearn.training.ladder.samples import Samples

MOST = 40  # trajectories rolled out
TIMES = 3  # as long as they are
REACH = 3.0  # boxes of the data that a rollout may fill in the time of the data
FAR = 100.0  # and in three times that


@torch.no_grad()
def blown(model: Series, samples: Samples, closed: Closed) -> int:
    """How many rollouts leave the data far behind, or stop being numbers.

    Some trajectories are rolled out as long as they are, and a fifth of them by the coefficients
    that were found without it: they should stay in three times the box of the data. Rolled out
    three times as long they may go farther, as a pendulum does that turns over, but not a hundred
    boxes.
    """
    there = samples.x[samples.mask > 0]
    low, high = there.amin(0), there.amax(0)
    centre, reach = (low + high) / 2, (high - low).clamp_min(float((high - low).max()) / 10) / 2
    some, own = torch.arange(min(len(samples.x), MOST)), model.coefficients.clone()

    def lost(kept: Tensor, times: int, boxes: float) -> int:
        t = samples.t[kept]
        span = t[:, -1:] - t[:, :1]
        t = torch.cat([t[:, :-1] + k * span for k in range(times)], dim=1)
        x = paths(model.rates(), samples.x[kept, 0], t, 1)
        inside = ((x - centre).abs() <= boxes * reach).all(-1)
        return int((~inside.all(1)).sum())

    found = lost(some, TIMES, FAR)
    model.coefficients.copy_(closed.folds[0])
    found += lost(some[some % len(closed.folds) == 0], 1, REACH)
    model.coefficients.copy_(own)
    return found
