"""Likely causes of a failed rollout, each from something that was looked at."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simlearn import Evidence, HamiltonianField, Simulator, SplitField, Trajectory
from simlearn.analysis import energy
from simlearn_checks import remedies
from simlearn_checks.common import row_names
from simlearn_checks.noise import noise_of

MOST = 20_000  # steps after which nobody rolls out again with half the step
FAR = 1000.0  # times the largest component of the data, where that one is given up
MARGIN = 0.05  # of a column's width, by which a rollout may leave the box
EMPTY = 0.1  # of the distance from the data's middle, in directions without data, that is told
NULL = 1e-5  # of the spread of a column: energy below it is none
NOISY = 1e-3  # of the spread of the data, from which their noise is told

Judged = Callable[[Trajectory], float]


@dataclass(frozen=True)
class Suspicion:
    """A likely cause, or one that was looked at and is none.

    Attributes:
        text: A sentence.
        remedies: What follows from it, best first.
        innocent: Whether it is ruled out.
    """

    text: str
    remedies: Sequence[str] = ()
    innocent: bool = False


@dataclass(frozen=True)
class Failure:
    """A rollout that failed.

    Attributes:
        simulator: What was rolled out.
        evidence: What it is held against.
        number: Held-out trajectory from which it began.
        rolled: The rollout.
        horizon: Steps that were asked for.
        judged: The number that failed, of a rollout like this; larger is worse.
        limit: What it may be.
        word: What the number is, in words.
    """

    simulator: Simulator
    evidence: Evidence
    number: int
    rolled: Trajectory
    horizon: int
    judged: Judged
    limit: float
    word: str

    def suspicions(self) -> list[Suspicion]:
        """Everything that can be looked at, the likely causes first."""
        scheme = unsymplectic(self.simulator, self.evidence)
        found = [*self._empty(), *self._step(), *self._region(), *scheme, *self._noise()]
        return sorted(found, key=lambda one: one.innocent)

    def _step(self) -> list[Suspicion]:
        """The rollout once more, with half the step, to where it was lost."""
        scheme, rolled, dt = self.simulator.integrator, self.rolled, self.simulator.dt
        if scheme is None or scheme.adaptive:
            return []
        every = max(1, round(float(rolled.t[1] - rolled.t[0]) / dt)) if rolled.steps > 1 else 1
        steps = min(self.horizon, every * rolled.steps) // every * every
        if not 0 < steps <= MOST:
            return []
        alone = replace(self.evidence, references={}, _rolled={})
        half = self.simulator.with_step(dt / 2)
        fine = alone.rollouts(half, 2 * steps, 2 * every, self.number, FAR)[""]
        before, after = self.judged(rolled), self.judged(fine)
        advice = remedies.finer(self.simulator)
        told = f"with half of it {self.word} is {_size(after)} instead of {_size(before)}"
        if after <= self.limit:
            return [Suspicion(f"The step is too large: {told}.", advice)]
        if math.isfinite(before) and after < before / 2:
            return [Suspicion(f"The step is part of it: {told}.", advice)]
        told = told if math.isfinite(after) else "with half of it the rollout is lost, too"
        return [Suspicion(f"The step is not the cause: {told}.", innocent=True)]

    def _region(self) -> list[Suspicion]:
        """Whether it left the region of the training data before it was lost."""
        low, high, whose = box_of(self.simulator, self.evidence)
        if len(low) != self.rolled.dim:
            return []
        begin = self.evidence.start(self.number)
        left = first_outside(self.rolled.x, low, high)
        if left is None and self.rolled.status != "ok":
            last = float(self.rolled.t[-1])
            text = f"It left the range of {whose}, and every bound, at once after t = {last:.6g}."
            return [Suspicion(text, [remedies.NOISE, remedies.WIDER_DATA])]
        if left is None:
            text = f"It never left the range of {whose}, so this is no extrapolation."
            return [Suspicion(text, innocent=True)]
        k, row, column = left
        where = f"column {column}" + (
            f" of {row_names(self.rolled)[row]}" if self.rolled.topology.rows > 1 else ""
        )
        if k == 0:
            text = f"It has to extrapolate: its start lies outside the range of {whose}, in {where}"
            return [Suspicion(f"{text}.", [remedies.WIDER_DATA])]
        step = round(float(self.rolled.t[k] - self.rolled.t[0]) / self.simulator.dt)
        text = (
            f"It left the range of {whose} at step {step} (t = {float(self.rolled.t[k]):.6g}), "
            f"first in {where}; from there on it extrapolates"
        )
        span = begin.t <= float(self.rolled.t[k]) if begin.t.ndim == 1 else slice(0)
        true = first_outside(begin.x[span], low, high)
        also = "" if true is None else ", and so do the held-out data"
        advice = [remedies.NOISE, remedies.WIDER_DATA] if true is None else [remedies.WIDER_DATA]
        return [Suspicion(f"{text}{also}.", advice)]

    def _empty(self) -> list[Suspicion]:
        """How much of the last state lies in directions that the training data never had."""
        found = _span(self.simulator, self.evidence)
        if found is None or self.rolled.topology.rows > 1:
            return []
        normal, scale, middle = found
        z = (self.rolled.x[-1, 0] - middle) / scale
        share = float((z @ normal).norm() / z.norm().clamp_min(1e-300))
        n, m = normal.shape
        text = f"The training data carry no energy in {m} of {n} directions of the state"
        if share < EMPTY:
            return [Suspicion(f"{text}, but it ends in the others.", innocent=True)]
        canonical = isinstance(self.simulator.dynamics, HamiltonianField | SplitField)
        advice = [remedies.NOISE] if canonical else [remedies.PROJECTION, remedies.NOISE]
        told = f"{text}, and {share:.0%} of the distance at which it ends lies in these"
        return [Suspicion(f"{told}; UnlearnableDirections says more.", advice)]

    def _noise(self) -> list[Suspicion]:
        """Noise of the data that it learned from, or begins with."""
        own = [self.evidence.start(self.number)]
        for whose, data in (("training", self.evidence.training), ("held-out", own)):
            share = noise_of(data).share
            if share > NOISY:
                text = f"The {whose} data carry noise of about {share:.2g} of their spread."
                return [Suspicion(text, [remedies.MORE_DATA])]
        return []


def unsymplectic(simulator: Simulator, evidence: Evidence) -> list[Suspicion]:
    """Dynamics or a scheme that do not keep the energy that there is."""
    scheme, field = simulator.integrator, simulator.dynamics
    advice, kind = remedies.symplectic(simulator), type(field).__name__
    if not advice:
        return []
    if isinstance(field, HamiltonianField | SplitField):
        text = f"{type(scheme).__name__} is not symplectic: energy drifts with every step."
        return [Suspicion(text, advice)]
    truth = evidence.truth
    if not hasattr(truth, "energy") or not getattr(truth, "autonomous", True):
        return []
    text = f"{kind} has no energy of its own: nothing in it keeps the one that the truth has."
    return [Suspicion(text, advice)]


def of_start(
    simulator: Simulator,
    evidence: Evidence,
    begin: Trajectory,
    steps: int,
    judged: Judged,
    limit: float,
    word: str,
) -> tuple[tuple[str, ...], list[str]]:
    """Likely causes, and what follows, of a rollout that failed from some start."""
    first = replace(evidence, held_out=(begin, *evidence.held_out), references={}, _rolled={})
    rolled = first.rollouts(simulator, steps)[""]
    return told(Failure(simulator, first, 0, rolled, steps, judged, limit, word).suspicions())


def told(suspicions: Sequence[Suspicion]) -> tuple[tuple[str, ...], list[str]]:
    """The sentences, and what follows from those that are not ruled out."""
    return (
        tuple(one.text for one in suspicions),
        [remedy for one in suspicions if not one.innocent for remedy in one.remedies],
    )


def box_of(simulator: Simulator, evidence: Evidence) -> tuple[Tensor, Tensor, str]:
    """Least and largest of each column in the training data, else in the held-out ones."""
    kept = simulator.provenance.get("training", {})
    if kept.get("low") and kept.get("high"):
        low, high = (torch.tensor(kept[name], dtype=torch.float64) for name in ("low", "high"))
        return low, high, "the training data"
    seen = evidence.training or evidence.held_out
    x = torch.cat([one.x.flatten(0, 1) for one in seen]).double()
    whose = "the training data" if evidence.training else "the held-out data"
    return x.amin(0), x.amax(0), whose


def first_outside(x: Tensor, low: Tensor, high: Tensor) -> tuple[int, int, int] | None:
    """State, row and column that first lie outside a box, by more than a margin."""
    width = high - low
    margin = MARGIN * torch.where(width > 0, width, float(width.max()) or 1.0)
    out = ~((x >= low - margin) & (x <= high + margin))
    if not bool(out.any()):
        return None
    k = int(out.flatten(1).any(1).int().argmax())
    beyond = torch.maximum(low - x[k], x[k] - high) / margin
    worst = int(beyond.nan_to_num(math.inf, math.inf).flatten().argmax())
    return k, worst // x.shape[2], worst % x.shape[2]


def _span(simulator: Simulator, evidence: Evidence) -> tuple[Tensor, Tensor, Tensor] | None:
    """Directions without data ``[dim, m]``, units and middle of the columns; None where all are."""
    moment = simulator.provenance.get("training", {}).get("second_moment")
    if evidence.training:
        rows = torch.cat([one.x.flatten(0, 1) for one in evidence.training]).double()
        found = energy.energy(rows, centred=True, noise=NULL)
    elif moment:
        values, basis = torch.linalg.eigh(torch.tensor(moment, dtype=torch.float64))
        root = basis * (len(values) * values.clamp_min(0)).sqrt()
        found = energy.energy(root.mT, scale=energy.unit_of(root.mT), noise=NULL)
    else:
        return None
    normal = found.basis(found.kinds(), "null")
    return (normal, found.scale, found.mean) if normal.shape[1] else None


def _size(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "beyond all bounds"
