"""Are the quantities that the truth conserves conserved?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError, Curve, Evidence, Finding, Invariant, Metric, Simulator
from simlearn.dynamics import Map
from simlearn_checks.batch import Flock, models, starts, steps_of, together
from simlearn_checks.common import kept_every, line, positive, since

BLOCKS = 8  # whose means a trend is fitted to, so that oscillations average out
SAMPLES = 200  # states that tell the scale of a quantity
MEANING = (
    "what physics conserves is the memory of a simulator: a bounded oscillation is the price of a "
    "finite step, a drift adds up until orbits belong to another system. Quantities that are kept "
    "do not show that the orbits on their surface are right."
)


@dataclass(frozen=True)
class Course:
    """How a quantity went: trend and its error, oscillation, all in its own scale."""

    t: Tensor
    off: Tensor
    rate: float
    noise: float
    oscillation: float


class InvariantDrift(simlearn.Check):
    """Quantities that the truth conserves do not drift along rollouts.

    Every invariant I of the system (else the energy of a known truth) is followed along rollouts
    from held-out states. Its drift is the slope of a straight line through I(t) − I(0), in parts of
    its own scale per unit of time, per step for maps; the oscillation is what is left, half of its
    range. The scale is how much I changes (root mean square) when every component of a held-out
    state is moved at random by its standard deviation: unlike |I(0)| it is never an accident of
    where zero lies. A rollout that is lost drifts infinitely. Worst start judged.

    Args:
        horizon: Steps of the rollouts.
        limit: Largest allowed drift per unit of time of any quantity without a limit of its own.
        limits: Largest allowed drift of quantities by name.
        oscillation: Largest allowed oscillation; not judged by default.
        starts: Held-out states to start from, spread over the held-out trajectories.
    """

    def __init__(
        self,
        horizon: int = 2000,
        limit: float = 1e-3,
        limits: Mapping[str, float] | None = None,
        oscillation: float | None = None,
        starts: int = 8,
    ):
        positive(horizon=horizon, limit=limit, starts=starts, **(limits or {}))
        if oscillation is not None:
            positive(oscillation=oscillation)
        if horizon < 2 * BLOCKS:
            raise ConfigError(f"A drift needs a horizon of {2 * BLOCKS} steps, got {horizon}.")
        self.horizon, self.limit, self.limits = horizon, limit, limits
        self.oscillation, self.starts = oscillation, starts

    @classmethod
    def examples(cls) -> list[InvariantDrift]:
        """A hundred steps."""
        return [cls(horizon=100, starts=2)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Roll out, look at every quantity, and fit lines."""
        known = _known(evidence)
        unknown = set(self.limits or {}) - set(known)
        if not known:
            return Finding.not_applicable("Nothing is known to be conserved, for the truth is not.")
        if unknown:
            raise ConfigError(f"limits name {sorted(unknown)}; conserved are {sorted(known)}.")
        begins = starts(evidence, self.starts)
        flocks = {}
        for name, model in models(simulator, evidence).items():
            steps = steps_of(model, simulator, self.horizon)
            every = max(1, min(kept_every(steps), steps // (4 * BLOCKS)))
            flocks[name] = together(model, begins, steps, every)
        mapped = isinstance(simulator.dynamics, Map)
        unit, word = (simulator.dt, "step") if mapped else (1.0, "unit of time")
        found: dict[str, dict[str, Course]] = {}
        for name, quantity in known.items():
            scale = _scale(quantity, evidence)
            found[name] = {
                who: _course(quantity, flock, scale, unit) for who, flock in flocks.items()
            }
        metrics = [
            metric for name, by in found.items() for metric in self._metrics(name, by, mapped)
        ]
        curves = {f"Invariant: {name}": _curve(by, evidence) for name, by in found.items()}
        return Finding.of(
            metrics,
            self._words(found, flocks[""], word),
            curves,
            (
                "Use a symplectic integrator with a SplitField, or ImplicitMidpoint.",
                "Use a field that conserves it by construction (Energy, PairForce).",
                "Take a smaller step.",
            ),
            meaning=MEANING,
        )

    def _metrics(self, name: str, by: Mapping[str, Course], mapped: bool) -> list[Metric]:
        mine = by[""]
        per = "1/step" if mapped else "1/time"
        limit = (self.limits or {}).get(name, self.limit)
        rates = {who: course.rate for who, course in by.items() if who}
        widths = {who: course.oscillation for who, course in by.items() if who}
        return [
            Metric(f"drift of {name}", mine.rate, limit, "max", per, mine.noise, rates),
            Metric(f"oscillation of {name}", mine.oscillation, self.oscillation, beside=widths),
        ]

    def _words(self, found: Mapping[str, Mapping[str, Course]], flock: Flock, per: str) -> str:
        if bool((flock.lost >= 0).any()):
            first = int(flock.lost[flock.lost >= 0].min())
            return f"A rollout stops being finite at step {first}: nothing is conserved."
        told = [
            f"{name} drifts by {by[''].rate:.2g} of its scale per {per} and oscillates by "
            f"{by[''].oscillation:.2g}"
            for name, by in found.items()
        ]
        return f"Over {self.horizon} steps " + "; ".join(told) + "."


def _known(evidence: Evidence) -> dict[str, Invariant]:
    if evidence.invariants:
        return dict(evidence.invariants)
    energy = getattr(evidence.truth, "energy", None)
    if energy is None or not getattr(evidence.truth, "autonomous", True):
        return {}
    return {"energy": energy}


@torch.no_grad()
def _scale(quantity: Invariant, evidence: Evidence) -> float:
    """How much a quantity changes where every component is moved by its standard deviation."""
    changes = []
    rng = torch.Generator().manual_seed(evidence.seed)
    per = max(1, SAMPLES // len(evidence.held_out))
    for one in evidence.held_out:
        width = one.x.std((0, 1))
        for x in one.x[:: max(1, one.steps // per)]:
            moved = x + width * torch.randn(x.shape, generator=rng, dtype=torch.float64).to(x)
            changes.append(quantity(moved, one.topology) - quantity(x, one.topology))
    seen = torch.cat(changes).double()
    return float(seen[seen.isfinite()].square().mean().sqrt())


@torch.no_grad()
def _course(quantity: Invariant, flock: Flock, scale: float, unit: float) -> Course:
    """The trend of the worst start."""
    values = torch.stack([quantity(x, flock.topology) for x in flock.x]).double()
    off = (values - values[0]) / max(scale, 1e-300)
    rate, noise, width = trend(flock.t / unit, off)
    if not bool(off.isfinite().all()):
        return Course(flock.t, off, math.inf, 0.0, math.inf)
    worst = int(rate.abs().argmax())
    return Course(flock.t, off, float(rate[worst].abs()), float(noise[worst]), float(width.max()))


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


def _curve(by: Mapping[str, Course], evidence: Evidence) -> Curve:
    lines = [line(name, one.t, one.off[:, 0]) for name, one in by.items()]
    caption = (
        "From the first start, in the quantity's own scale. A width is a step, a slope a leak."
    )
    return Curve(lines, since(evidence), "(I − I₀) / scale", caption, focus=True)
