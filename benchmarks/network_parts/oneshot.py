"""The first rung of the ladder alone: the weak form along the data, a ridge picked by rollouts."""

import math
import time

import torch

from simlearn import Simulator
from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.integrators import DormandPrince
from simlearn.training.network.data import Data
from simlearn.training.network.fit import best_ridge
from simlearn.training.network.levels import SIZES
from simlearn.training.network.weak import along_data

LOST = {"interp": math.inf, "extrap": math.inf, "finite": False}


@torch.no_grad()
def first_rung(cell):
    """Every size of the basis in the order of the ladder.

    Returns:
        Errors and CPU seconds of the last size, and in ``sizes`` those of each, times added up.
    """
    shown, found, spent = cell.trajectory(), [], 0.0
    data = Data(shown.t, shown.x, shown.topology)
    for size in SIZES:
        began = time.process_time()
        model = CoupledSeries(1, *size)
        model.measure(shown.x.flatten(0, 1))
        error = best_ridge(model, along_data(model, data), [data])
        spent += time.process_time() - began
        reached = _rolled(model, cell) if math.isfinite(error) else LOST
        found.append({**reached, "cpu_seconds": spent, "splines": list(size)})
    return {**found[-1], "sizes": found}


def _rolled(model, cell):
    """Errors of the rollout over all stamps; infinite where it is lost."""
    start, times = torch.from_numpy(cell.start)[:, None], torch.from_numpy(cell.t)
    solver = Simulator(model, DormandPrince(rtol=1e-8, atol=1e-8))
    rolled = solver.through(start, times, cell.topology())
    if rolled.finite_steps < len(times):
        return LOST
    return {**cell.errors(rolled.x[..., 0].numpy()), "finite": True}
