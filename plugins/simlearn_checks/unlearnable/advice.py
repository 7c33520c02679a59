"""What to do about a finding, best first."""

from __future__ import annotations

from simlearn.dynamics import HamiltonianField, Map, SplitField
from simlearn_checks.unlearnable.models import optimizer_of
from simlearn_checks.unlearnable.words import Told


def _used(told: Told, name: str) -> bool:
    used = told.simulator.provenance.get("stabilizers", [])
    return any(str(one.get("class_path", "")).endswith(f".{name}") for one in used)


def remedies(told: Told) -> tuple[str, ...]:
    """What to do, best first, for this simulator."""
    if told.verdict == "ok" and not told.found.lost:
        return ()
    canonical = isinstance(told.simulator.dynamics, HamiltonianField | SplitField)
    found = []
    if told.found.dimension is None and not told.frame.local and not canonical:
        found.append(
            "Restrict the dynamics to the span of the data: add the stabilizer SubspaceProjection "
            "(with its restoring rate; no bias on what the data teach) and train again."
        )
    largest, error = told.found.largest if told.count else (0.0, 0.0)
    if told.verdict == "neutral" and largest + 2 * error < 0:
        found.insert(0, "Take a longer horizon: the rate is below zero, and too small to show.")
    noisy = _used(told, "NoiseInjection")
    found.append(
        "Raise scale and kappa of NoiseInjection (scale: 0.1, kappa: 2 / time), or train longer: "
        "what it teaches is learned in a time of 1 / scale²."
        if noisy
        else "Add NoiseInjection: restoring noise "
        + ("everywhere" if told.found.dimension else "in the complement of the data")
        + " teaches errors to heal at the rate kappa."
    )
    if not canonical and told.found.dimension is None:
        found.append(
            "Start stable: StableInitialization, trained by torch.optim.SGD (Adam loses it)."
        )
    if optimizer_of(told.simulator).startswith(("Adam", "RMS")):
        found.append("With Adam, weight decay (AdamW) shrinks what the draw of the weights left.")
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
