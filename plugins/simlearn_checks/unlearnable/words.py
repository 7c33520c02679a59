"""The finding in words, for the person whose simulator it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

from simlearn import Simulator
from simlearn.analysis.directions import Verdict
from simlearn_checks.unlearnable.case import Frame, Points
from simlearn_checks.unlearnable.clamped import Clamp
from simlearn_checks.unlearnable.measured import Outside, predicted
from simlearn_checks.unlearnable.models import optimizer_of
from simlearn_checks.unlearnable.seeds import Memory

MEANING = (
    "the loss is blind where the data carry no energy. What a simulator does there was drawn with "
    "its weights, yet every rollout makes small errors in just these directions: if they grow, a "
    "long rollout ends far from anything it was taught, however small the loss. Passing says that "
    "such errors heal; it does not say that what was taught is right."
)
NAMES = {"unstable": "UNSTABLE", "neutral": "NEUTRAL", "ok": "ok"}


@dataclass(frozen=True)
class Told:
    """Everything that was found, for words and pictures."""

    verdict: Verdict
    frame: Frame
    found: Outside
    clamp: Clamp | None
    memory: Memory | None
    simulator: Simulator
    horizon: int
    tolerance: float
    points: Points

    @property
    def count(self) -> int:
        """Directions that are judged."""
        return self.found.exponents.numel()

    @property
    def predicted(self) -> float:
        """Step at which errors off the data should escape."""
        return predicted(self.found, self.simulator.dt, self.tolerance)

    @property
    def observed(self) -> float:
        """Step at which a held-out rollout did."""
        return math.inf if self.clamp is None else self.clamp.observed


def summary(told: Told) -> list[str]:
    """The paragraph, sentence by sentence."""
    if not told.count and told.found.lost:
        return [_where_all(told), _lost(told)]
    if not told.count:
        return _nothing(told)
    return [_where(told), _grows(told), *_escapes(told), *_seeds(told), *_start(told), *_few(told)]


def _nothing(told: Told) -> list[str]:
    text = _where_all(told).rstrip(".")
    return [f"{text}, so there is nothing that they left to chance.", *_seeds(told), *_few(told)]


def _where_all(told: Told) -> str:
    if told.found.symmetric:
        return (
            f"All directions without data ({told.found.symmetric}) are exact nulls by symmetry: no "
            "weights could do anything there."
        )
    if told.found.dimension is not None:
        return f"The training data fill all {told.found.dimension} dimensions around every sample."
    n = told.frame.data.shape[0]
    return f"The training data carry energy in all {n} directions of the state."


def _lost(told: Told) -> str:
    return (
        f"Yet {100 * told.found.lost:.0f} % of rollouts from training states leave every bound "
        f"within {told.horizon} steps."
    )


def _where(told: Told) -> str:
    frame, found = told.frame, told.found
    n = frame.data.shape[0]
    if found.dimension is not None:
        return (
            f"Around every sample the training data lie in {found.dimension} of {n} dimensions; "
            f"nothing taught the simulator what to do in the {told.count} normal ones."
        )
    null, slow = frame.kinds.count("null"), frame.kinds.count("slow")
    parts = [
        f"{null} carry no energy" if null else "",
        f"{slow} too little for the training" if slow else "",
    ]
    why = " and ".join(part for part in parts if part)
    where = f"of {len(frame.kinds)} local inputs of the data, " if frame.local else ""
    spanned = frame.data.shape[1]
    text = f"The training data span {spanned} of {n} directions of the state: {where}{why}."
    if found.symmetric:
        text += (
            f" {found.symmetric} of the others are exact nulls by symmetry and are not judged: no "
            "weights could do anything there."
        )
    return text


def _grows(told: Told) -> str:
    if told.found.lost:
        return (
            f"{NAMES['unstable']}: {100 * told.found.lost:.0f} % of the orbits left every bound "
            "while errors off the data were followed."
        )
    largest, error = told.found.largest
    rate = f"{largest:.3g} ± {2 * max(error, 1e-9):.1g} per time (two standard errors)"
    heals = f"{-largest:.3g} ± {2 * max(error, 1e-9):.1g} per time (two standard errors)"
    factor = math.exp(max(-700.0, min(700.0, largest * told.simulator.dt * told.horizon)))
    steps = f"over {told.horizon} steps"
    if told.verdict == "unstable":
        grown = f"{factor:.3g}-fold {steps}" if factor < 1e12 else f"beyond all bounds {steps}"
        return (
            f"{NAMES['unstable']}: a small error in one of them grows at the rate {rate}, {grown}, "
            "and the training loss cannot see it."
        )
    if told.verdict == "neutral" and largest + 2 * error < 0:
        return (
            f"{NAMES['neutral']}: errors in them seem to heal (rate {rate}), but by less than half "
            f"{steps}, which is no proof. A longer horizon may show it."
        )
    if told.verdict == "neutral":
        return (
            f"{NAMES['neutral']}: errors in them neither clearly grow nor heal (rate {rate}, a "
            f"factor of {factor:.2g} {steps}), so they add up over a long rollout."
        )
    return f"{NAMES['ok']}: errors in them heal, the slowest at the rate {heals}."


def _escapes(told: Told) -> list[str]:
    sentences = []
    if told.found.leak is not None and not told.found.lost:
        when = (
            f"should be {told.tolerance:g} off at about step {told.predicted:.0f}"
            if math.isfinite(told.predicted)
            else f"should never be {told.tolerance:g} off"
        )
        sentences.append(
            f"Each step leaks {told.found.leak:.2g} of a spread off the data; by that and the rate "
            f"a rollout {when}{_observed(told)}"
        )
    if told.clamp is not None and told.clamp.free_error > 0:
        sentences.append(
            "Clamped to the data at every step, held-out rollouts end "
            f"{told.clamp.clamped_error:.3g} spreads from the truth, free ones "
            f"{told.clamp.free_error:.3g}."
        )
    return sentences


def _observed(told: Told) -> str:
    if told.clamp is None:
        return "."
    if math.isfinite(told.observed):
        return f"; held-out rollouts were at step {told.observed:.0f}."
    return f"; held-out rollouts were not within {told.horizon} steps."


def _seeds(told: Told) -> list[str]:
    memory = told.memory
    if memory is None:
        return []
    ratio = memory.ratio
    drawn = int((ratio > 0.5).sum())
    decides = ": there the seed decides" if drawn else ": the data decide"
    text = (
        f"Among {memory.models} models of different seeds, {drawn} of {len(ratio)} directions keep "
        f"more than half of the variance of untrained weights (r > 0.5){decides}."
    )
    if memory.exponents:
        low, high = min(memory.exponents), max(memory.exponents)
        text += f" The largest exponents of the others reach from {low:.3g} to {high:.3g}."
    return [text]


def _start(told: Told) -> list[str]:
    """Whether a stable start survived the optimizer."""
    used = told.simulator.provenance.get("stabilizers", [])
    starts = [s for s in used if str(s.get("class_path", "")).endswith(".StableInitialization")]
    if not starts or told.found.lost:
        return []
    wanted = float(starts[0].get("init_args", {}).get("rate", 1.0))
    kept = -told.found.largest[0] / wanted
    if kept >= 0.5 and told.verdict == "ok":
        return [f"The stable start is still there ({100 * min(kept, 1):.0f} % of its rate)."]
    name = optimizer_of(told.simulator)
    why = (
        f"{name} moves weights also where there are no data"
        if name not in ("SGD", "", "none")
        else "training changed the layers behind it"
    )
    return [
        f"The stable start is lost: it contracted at {wanted:g}, now the slowest rate is "
        f"{-told.found.largest[0]:.2g}; {why}."
    ]


def _few(told: Told) -> list[str]:
    if told.frame.samples <= told.frame.data.shape[0] and not told.frame.local:
        return [
            f"There are only {told.frame.samples} samples for {told.frame.data.shape[0]} "
            "directions, so some are empty for want of samples alone."
        ]
    return []
