"""Why a finding is what it is, and what to do about it, best first."""

from __future__ import annotations

from simlearn import Remedy
from simlearn.dynamics import HamiltonianField, Map, SplitField
from simlearn_checks.remedies import PROJECTION
from simlearn_checks.unlearnable.models import optimizer_of
from simlearn_checks.unlearnable.words import Told

STRONGER = Remedy(
    "Raise scale and kappa of NoiseInjection (scale: 0.1, kappa: 2 / time), or train longer: what "
    "it teaches is learned in a time of 1 / scale².",
    "stabilizer",
    "NoiseInjection",
)
STABLE = Remedy(
    "Start stable: StableInitialization, trained by torch.optim.SGD (Adam loses it).",
    "stabilizer",
    "StableInitialization",
)
DECAY = Remedy(
    "With Adam, weight decay (AdamW) shrinks what the draw of the weights left.",
    "optimizer",
    "AdamW",
)
OFF_THE_DATA = ("NoiseInjection", "SubspaceProjection")  # stabilizers that look there
REMEMBERED = 0.5  # of the variance of untrained weights


def _used(told: Told, name: str) -> bool:
    used = told.simulator.provenance.get("stabilizers", [])
    return any(str(one.get("class_path", "")).endswith(f".{name}") for one in used)


def _canonical(told: Told) -> bool:
    return isinstance(told.simulator.dynamics, HamiltonianField | SplitField)


def _adaptive(told: Told) -> bool:
    return optimizer_of(told.simulator).startswith(("Adam", "RMS"))


def causes(told: Told) -> tuple[str, ...]:
    """Why errors off the data do not heal, as far as it was measured."""
    if (told.verdict == "ok" and not told.found.lost) or not told.count:
        return ()
    found = []
    if told.memory is not None:
        left = int((told.memory.ratio > REMEMBERED).sum())
        if left:
            found.append(
                f"In {left} of {len(told.memory.ratio)} directions sister models differ as much as "
                "untrained ones: what they do there is left from the draw of the weights."
            )
    if _canonical(told):
        found.append(
            "The dynamics keep phase-space volume: an error that shrinks in one direction grows in "
            "its partner."
        )
    elif not any(_used(told, name) for name in OFF_THE_DATA):
        found.append("Nothing in the training looked off the data: no noise, no projection.")
    if _adaptive(told):
        name = optimizer_of(told.simulator)
        found.append(f"{name} moves weights also where there are no data.")
    return tuple(found)


def remedies(told: Told) -> tuple[str, ...]:
    """What to do, best first, for this simulator."""
    if told.verdict == "ok" and not told.found.lost:
        return ()
    canonical = _canonical(told)
    found: list[str] = []
    if told.found.dimension is None and not told.frame.local and not canonical:
        found.append(PROJECTION)
    largest, error = told.found.largest if told.count else (0.0, 0.0)
    if told.verdict == "neutral" and largest + 2 * error < 0:
        found.insert(0, "Take a longer horizon: the rate is below zero, and too small to show.")
    found.append(STRONGER if _used(told, "NoiseInjection") else _noise(told))
    if not canonical and told.found.dimension is None:
        found.append(STABLE)
    if _adaptive(told):
        found.append(DECAY)
    if canonical:
        found.append(
            "A symplectic model cannot be damped there; allow_neutral: true says that neutral is "
            "the best it can be."
        )
    kind = "states" if isinstance(told.simulator.dynamics, Map) else "trajectories"
    found.append(
        f"Record {kind} that start along the directions of the picture 'Directions without data'."
    )
    return tuple(found)


def _noise(told: Told) -> Remedy:
    where = "everywhere" if told.found.dimension else "in the complement of the data"
    text = f"Add NoiseInjection: restoring noise {where} teaches errors to heal at the rate kappa."
    return Remedy(text, "stabilizer", "NoiseInjection")
