"""Where rollouts begin, and how steps meet samples."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace

from simlearn import DataError, Evidence, Place, Trajectory


@dataclass(frozen=True)
class Begin:
    """Where a stretch of held-out data begins.

    Attributes:
        trajectory: Number of the held-out trajectory.
        sample: Its first sample.
    """

    trajectory: int
    sample: int


def begins(evidence: Evidence, count: int, samples: int = 1) -> list[Begin]:
    """At most ``count`` places from which so many held-out samples follow, spread evenly.

    Raises:
        DataError: No held-out trajectory is as long.
    """
    evidence.start()
    rooms = [one.steps - samples + 1 for one in evidence.held_out]
    able = [k for k, room in enumerate(rooms) if room > 0]
    if not able:
        longest = max(one.steps for one in evidence.held_out)
        raise DataError(
            f"The check needs {samples} samples in a row, the longest held-out trajectory has "
            f"{longest}. Shorten the horizon in the gate, or generate longer evidence."
        )
    each = [count // len(able) + (k < count % len(able)) for k in range(len(able))]
    return [
        Begin(k, first)
        for k, wanted in zip(able, each, strict=True)
        for first in spread(rooms[k], wanted)
    ]


def starts(evidence: Evidence, count: int, samples: int = 1) -> list[Trajectory]:
    """The stretches of data that begin there."""
    return [
        evidence.held_out[one.trajectory].slice(one.sample, one.sample + samples)
        for one in begins(evidence, count, samples)
    ]


def placed(
    evidence: Evidence, begin: Begin, step: int, dt: float, column: int | None = None
) -> Place:
    """A step of the rollout that begins there."""
    t = evidence.held_out[begin.trajectory].t
    first = float(t[begin.sample].min())
    return Place(begin.trajectory, step, first + step * dt, column=column)


def spread(room: int, count: int) -> list[int]:
    """At most ``count`` different numbers of 0 ... room − 1, evenly."""
    count = min(room, count)
    if count <= 1:
        return [0] * count
    return [round(k * (room - 1) / (count - 1)) for k in range(count)]


def grid(one: Trajectory, dt: float) -> tuple[int, int]:
    """How many steps a sample of the data is worth, and every how many samples one is met.

    One of the two is 1.

    Raises:
        DataError: The samples are not evenly spaced, or the steps do not meet them.
    """
    if one.t.ndim > 1 or one.steps < 2:
        raise DataError("The check needs trajectories of several samples with one time axis.")
    apart = one.t.diff()
    spacing = float(apart.mean())
    if float((apart - spacing).abs().max()) > 1e-6 * spacing:
        raise DataError("The check needs samples that are evenly spaced; resample the data.")
    for ratio, answer in ((spacing / dt, (1, 0)), (dt / spacing, (0, 1))):
        whole = max(1, round(ratio))
        if abs(ratio - whole) < 1e-6 * whole:
            return (whole, 1) if answer == (1, 0) else (1, whole)
    raise DataError(
        f"The data are sampled every {spacing:g}, the simulator steps by {dt:g}: neither is a "
        "multiple of the other. Judge it with data sampled at its steps."
    )


@dataclass(frozen=True)
class Even:
    """Held-out trajectories that are all sampled alike.

    Attributes:
        evidence: With these only.
        steps: Steps of the simulator a sample is worth.
        skip: Every how many samples one is met.
        note: How many are left out, in words.
        numbers: Of those that are not, among all.
    """

    evidence: Evidence
    steps: int
    skip: int
    note: str
    numbers: tuple[int, ...]


def evenly(evidence: Evidence, dt: float) -> Even:
    """The held-out trajectories on the grid of most samples.

    Raises:
        DataError: There are none, or steps meet the samples of none.
    """
    first, held = evidence.start(), evidence.held_out
    groups = dict[tuple[int, int], list[int]]()
    for k, one in enumerate(held):
        with suppress(DataError):
            groups.setdefault(grid(one, dt), []).append(k)
    if not groups:
        grid(first, dt)  # says why
    met = max(groups, key=lambda key: sum(held[k].steps for k in groups[key]))
    numbers = tuple(groups[met])
    out = len(held) - len(numbers)
    if not out:
        return Even(evidence, *met, "", numbers)
    note = f" {out} of {len(held)} held-out trajectories are sampled otherwise"
    some = tuple(held[k] for k in numbers)
    kept = replace(evidence, held_out=some, _rolled={})  # what was rolled was from others
    return Even(kept, *met, f"{note} and left out.", numbers)
