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
REACH = 3.0  # boxes of the data that a rollout may fill


@torch.no_grad()
def blown(model: Series, samples: Samples, closed: Closed) -> int:
    """How many rollouts leave three times the box of the data, or stop being numbers.

    Some trajectories are rolled out three times as long as they are, and a fifth of them as long as
    they are by the coefficients that were found without it.
    """
    there = samples.x[samples.mask > 0]
    low, high = there.amin(0), there.amax(0)
    centre, reach = (low + high) / 2, REACH * (high - low) / 2
    some, own = torch.arange(min(len(samples.x), MOST)), model.coefficients.clone()

    def lost(kept: Tensor, times: int) -> int:
        t = samples.t[kept]
        span = t[:, -1:] - t[:, :1]
        t = torch.cat([t[:, :-1] + k * span for k in range(times)], dim=1)
        x = paths(model.rates(), samples.x[kept, 0], t, 1)
        return int((~((x - centre).abs() <= reach).all(-1).all(1)).sum())

    found = lost(some, TIMES)
    model.coefficients.copy_(closed.folds[0])
    found += lost(some[some % len(closed.folds) == 0], 1)
    model.coefficients.copy_(own)
    return found
