"""Is momentum kept?"""

from __future__ import annotations

import math

from torch import Tensor

import simlearn
from simlearn import Curve, Evidence, Finding, Metric, Remedy, Simulator, SplitField, Trajectory
from simlearn_checks.common import kept_every, line, place, positive, since
from simlearn_checks.noise import DIGIT
from simlearn_checks.times import refuse, steps_in

MEANING = (
    "a closed system cannot push itself. Momentum that drifts beyond rounding shows forces without "
    "partners, which the data never had."
)
PAIRS = Remedy(
    "Use a field of pair forces (PairForce), which keeps momentum by construction.",
    "dynamics",
    "PairForce",
)


class MomentumDrift(simlearn.Check):
    """Total momentum is kept: Σ w_i p_i, w the weights of the symplectic form.

    In the (q, v) chart the weights are the masses. Only for fields without an outer potential. The
    drift is relative to Σ w_i |p_i|.

    Args:
        horizon: Steps of the rollout, or periods of the data ("100 periods").
        limit: Largest allowed relative drift.
    """

    def __init__(self, horizon: int | str = 1000, limit: float = 1e-11):
        positive(limit=limit)
        refuse(horizon)
        self.horizon, self.limit = horizon, limit

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out and add up."""
        own = simulator.dynamics
        if not isinstance(own, SplitField):
            return Finding.not_applicable(f"{type(own).__name__} has no momentum to speak of.")
        horizon = steps_in(self.horizon, simulator, evidence)
        rolled = evidence.rollouts(simulator, horizon, kept_every(horizon))
        drifts = {}
        for name, one in rolled.items():
            field = evidence.references[name].dynamics if name else own
            drifts[name] = _momentum_drift(field if isinstance(field, SplitField) else own, one)
        lines = [
            line(name, one.t[1:] - one.t[0], drifts[name][1:].clamp_min(1e-18))
            for name, one in rolled.items()
        ]
        largest = {name: float(drift.max()) for name, drift in drifts.items()}
        worst = largest.pop("")
        worst = worst if rolled[""].status == "ok" else float("inf")
        kept = "is kept to rounding" if worst < 1e-9 else "drifts"
        caption = "Every force acts on both partners alike."
        noise = DIGIT * math.sqrt(horizon * rolled[""].topology.rows)  # sums of that many roundings
        return Finding.of(
            [Metric("relative momentum drift", worst, self.limit, noise=noise, beside=largest)],
            f"Total momentum {kept} over {horizon} steps (largest relative change {worst:.2g}).",
            {"Momentum": Curve(lines, since(evidence), "|ΔP| / Σ|p|", caption, y_scale="log")},
            (PAIRS,),
            meaning=MEANING,
            worst=place(rolled[""], int(drifts[""].argmax()), simulator.dt),
        )


def _momentum_drift(field: SplitField, rolled: Trajectory) -> Tensor:
    """|P(t) − P(0)| / Σ|p|, worst system, ``[steps]``."""
    momentum = field.form(rolled.topology)[:, None] * rolled.x.chunk(2, dim=-1)[1]
    total = rolled.topology.per_system(momentum, dim=1)
    scale = rolled.topology.per_system(momentum[0].norm(dim=-1)).clamp_min(1e-300)
    return ((total - total[0]).norm(dim=-1) / scale).amax(1)
