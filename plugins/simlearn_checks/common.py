"""What several checks share."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from simlearn import ConfigError, Evidence, Line, Place, Trajectory

KEPT = 3650  # states that a long rollout keeps


def since(evidence: Evidence) -> str:
    """The label of a time axis."""
    return "time since the start" + per(evidence.units.get("time", ""))


def per(unit: str) -> str:
    """A unit behind a label."""
    return f" / {unit}" if unit else ""


def kept_every(horizon: int) -> int:
    """Store every so many steps: a few thousand states, and one rollout for all checks."""
    return max(1, horizon // KEPT)


def positive(**values: float) -> None:
    """Refuse arguments that are not positive."""
    for name, value in values.items():
        if not value > 0:
            raise ConfigError(f"{name} must be positive, got {value}.")


def line(name: str, x: Tensor, y: Tensor, group: str = "") -> Line:
    """A line of a picture for the judged simulator ("") or a reference."""
    return Line(
        x.tolist(),
        y.tolist(),
        role="reference" if name else "judged",
        group=group,
        label=name or "this simulator",
    )


def row_names(trajectory: Trajectory) -> list[str]:
    """A name for every row."""
    topology = trajectory.topology
    if topology.node_type is not None and topology.node_names:
        return [topology.node_names[k] for k in topology.node_type.tolist()]
    return [f"row {k}" for k in range(topology.rows)]


def left_at(rolled: Trajectory, horizon: int) -> str:
    """Where a rollout ended, in words."""
    if rolled.status == "ok":
        return f"all {horizon} steps"
    verb = "stopped being finite" if rolled.status == "diverged" else "left its bound"
    return f"it {verb} near t = {float(rolled.t[-1]):.6g}"


def place(
    rolled: Trajectory,
    k: int,
    dt: float,
    number: int = 0,
    row: int | None = None,
    column: int | None = None,
) -> Place:
    """Where the k-th state of a rollout from a held-out trajectory is."""
    t = rolled.t if rolled.t.ndim == 1 else rolled.t[:, 0]
    named = row is not None and rolled.topology.rows > 1
    return Place(
        number,
        round(float(t[k] - t[0]) / dt),
        float(t[k]),
        row_names(rolled)[row or 0] if named else "",
        column,
    )


def motion(tracks: Iterable[Tensor]) -> float:
    """How far rows move: root mean square distance from their mean places, ``[steps, rows, c]``."""
    squares, count = 0.0, 0
    for x in tracks:
        off = (x - x.mean(0)).square().sum(-1)
        squares, count = squares + float(off.sum()), count + off.numel()
    return (squares / max(1, count)) ** 0.5
