"""What a remedy costs: how far forecasts of held-out data are off."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from simlearn.component import ConfigError
from simlearn.simulator import Simulator
from simlearn.stability.report import Report
from simlearn.state import Trajectory
from simlearn.training.validation import through

STEPS = 100  # of a forecast, where the gate asks for none


def span_of(report: Report, simulator: Simulator, held_out: Sequence[Trajectory]) -> float:
    """The time over which forecasts are compared.

    It is that of the gate's ForecastError where there is one, else a hundred steps, and never
    longer than the shortest trajectory.
    """
    forecasts = [item for item in report.items if item.name == "ForecastError"]
    asked = [item.finding.details.get("steps") for item in forecasts]
    steps = max((n for n in asked if isinstance(n, int)), default=STEPS)
    reach = min((float(one.t[-1].min() - one.t[0].max()) for one in held_out), default=math.inf)
    return min(steps * simulator.dt, reach)


def forecast_error(
    simulator: Simulator, held_out: Sequence[Trajectory], span: float
) -> float | None:
    """Root mean square error of forecasts from every start, in spreads of the columns.

    e² = mean of ((x̂ − x) / σ)² over trajectories, times up to ``span``, rows and columns, where σ
    is the standard deviation of a column over all that is held out. Infinite where a rollout is
    lost; None where the simulator cannot meet the times of the data.
    """
    rows = torch.cat([one.x.reshape(-1, one.dim) for one in held_out]).double()
    spread = rows.std(0, correction=0)
    spread = torch.where(spread > 0, spread, torch.ones_like(spread))
    total, count = 0.0, 0
    for one in held_out:
        until = one.t[0].max() + span * (1 + 1e-9)
        steps = int((one.t.reshape(one.steps, -1).amax(1) <= until).sum())
        window = one.slice(0, steps).to("cpu", torch.float64)
        try:
            with torch.no_grad():
                rolled = through(simulator, window)
        except ConfigError:
            return None
        if rolled.status != "ok":
            return math.inf
        off = ((rolled.x - window.x)[1:] / spread).square()
        total, count = total + float(off.sum()), count + off.numel()
    return math.sqrt(total / count) if count else None
