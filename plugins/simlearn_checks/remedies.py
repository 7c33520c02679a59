"""What several checks advise, each in one place, and in the order of the evidence."""

from __future__ import annotations

from collections.abc import Iterable

from simlearn import HamiltonianField, Map, Remedy, Simulator, SplitField

NOISE = Remedy("Inject noise while training (NoiseInjection).", "stabilizer", "NoiseInjection")
LONGER_ROLLOUTS = Remedy(
    "Train through longer rollouts (MultiStep with a larger horizon).", "objective", "MultiStep"
)
LONGER = Remedy("Train longer.", "train")
SMALLER_STEP = Remedy("Take a smaller step, and train with it.", "dt")
MORE_DATA = Remedy("Give it more data: longer, and from more starts.", "data")
WIDER_DATA = Remedy("Train on data of the region that rollouts reach, from wider starts.", "data")
PROJECTION = Remedy(
    "Restrict the dynamics to the span of the data: add the stabilizer SubspaceProjection (with "
    "its restoring rate; no bias on what the data teach) and train again.",
    "stabilizer",
    "SubspaceProjection",
)


def finer(simulator: Simulator) -> list[Remedy]:
    """Steps with a smaller error; none of a map, which has its own."""
    if simulator.integrator is None:
        return []
    if simulator.integrator.adaptive:
        kind = type(simulator.integrator).__name__
        return [Remedy(f"Give {kind} smaller tolerances (rtol, atol).")]
    return [*higher_order(simulator), SMALLER_STEP]


def symplectic(simulator: Simulator) -> list[Remedy]:
    """A scheme, or dynamics, that keep an energy; none where both do."""
    field, scheme = simulator.dynamics, simulator.integrator
    if isinstance(field, Map):
        text = "Take a map that is symplectic by construction (HenonNet)."
        return [] if field.symplectic else [Remedy(text, "dynamics", "HenonNet")]
    if not isinstance(field, HamiltonianField | SplitField):
        text = "Learn an energy instead of a field (SeparableEnergy with Leapfrog)."
        return [Remedy(text, "dynamics", "SeparableEnergy")]
    if scheme is not None and scheme.symplectic:
        return []
    if isinstance(field, SplitField):
        return [Remedy("Use a symplectic integrator: Leapfrog.", "integrator", "Leapfrog")]
    text = "Use a symplectic integrator: ImplicitMidpoint."
    return [Remedy(text, "integrator", "ImplicitMidpoint")]


def higher_order(simulator: Simulator) -> list[Remedy]:
    """A scheme of higher order than the present one, of the same kind."""
    scheme = simulator.integrator
    if scheme is None or scheme.adaptive or scheme.order >= 4:
        return []
    name = "Yoshida4" if isinstance(simulator.dynamics, SplitField) else "RK4"
    return [
        Remedy(f"Take a scheme of higher order ({name}), and train with it.", "integrator", name)
    ]


def ranked(*groups: Iterable[str]) -> tuple[str, ...]:
    """All remedies, the first groups first, none twice."""
    found: dict[object, str] = {}
    for remedy in (one for group in groups for one in group):
        key: object = str(remedy)
        if isinstance(remedy, Remedy) and remedy.action:
            key = remedy.action, remedy.component
        found.setdefault(key, remedy)
    return tuple(found.values())
