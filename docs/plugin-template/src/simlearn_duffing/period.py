import torch

import simlearn


class Period(simlearn.Check):
    """The forecast swings with the period T of the data, |T / T_data − 1| ≤ limit.

    T is the mean time between upward zeros of q. A stiffening spring is quicker the wider it
    swings, so the period tells whether the force was learned at the amplitude at hand.

    Args:
        horizon: Steps of the forecast; it should cover several periods.
        limit: Largest allowed relative error of the period.
    """

    def __init__(self, horizon: int = 400, limit: float = 0.02):
        self.horizon, self.limit = horizon, limit

    def run(self, simulator, evidence):
        if simulator.dynamics.dim != 2:
            return simlearn.Finding.not_applicable("It is for one oscillator, x = (q, p).")
        data = evidence.require(self.horizon, simulator.dt)
        rolled = evidence.rollouts(simulator, self.horizon)[""]
        found, known = period(rolled), period(data)
        error = abs(found / known - 1)
        return simlearn.Finding.of(
            [simlearn.Metric("relative error of the period", error, self.limit)],
            f"The forecast swings with a period of {found:.4g}, the data with {known:.4g}.",
            remedies=("Train through longer rollouts, or on wider swings.",),
        )


def period(track):
    """Mean time between upward zeros of q; NaN where the rollout broke down or has fewer than 2."""
    t, q = track.t.double(), track.x[:, 0, 0].double()
    up = torch.nonzero((q[:-1] < 0) & (q[1:] >= 0)).flatten()
    zeros = t[up] - q[up] * (t[up + 1] - t[up]) / (q[up + 1] - q[up])
    if track.status != "ok" or len(zeros) < 2:
        return float("nan")
    return float(zeros.diff().mean())
