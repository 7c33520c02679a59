"""Which evidence chooses among the remedies, and which is kept aside to confirm the winner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from simlearn import randomness
from simlearn.component import SimlearnError
from simlearn.data.generate import DatasetGenerator
from simlearn.state import Trajectory

FRESH = 1  # key of the seed of fresh evidence


@dataclass(frozen=True)
class Aside:
    """Evidence in two parts.

    Attributes:
        choosing: Held-out trajectories by which remedies are chosen.
        kept: Those that confirm the winner; empty where nothing could be kept aside.
        told: How it was done, in a sentence.
    """

    choosing: Sequence[Trajectory]
    kept: Sequence[Trajectory]
    told: str


def set_aside(
    held_out: Sequence[Trajectory],
    training: Sequence[Trajectory],
    generator: DatasetGenerator | None,
    seed: int,
) -> list[Aside]:
    """Ways to keep evidence aside, best first; the last of them keeps nothing.

    1. The data come from a generator: it draws as many trajectories anew, from a seed of their own,
       and the held-out ones choose.
    2. There are two or more: every other one chooses, the rest is kept; or the other way round.
    3. All choose.
    """
    why, ways = "", []
    if generator is not None:
        fresh, why = _fresh(held_out, training, generator, seed)
        if fresh:
            text = (
                f"Chosen on the {_count(held_out)} held out, to be confirmed on {len(fresh)} that "
                f"{type(generator).__name__} drew with another seed."
            )
            return [Aside(held_out, fresh, text)]
    for first in (0, 1) if len(held_out) > 1 else ():
        choosing, kept = held_out[first::2], held_out[1 - first :: 2]
        text = (
            f"{why}Chosen on {len(choosing)} of the {_count(held_out)} held out, to be confirmed "
            f"on the other {len(kept)}."
        )
        ways.append(Aside(choosing, kept, text))
    return [*ways, _nothing(held_out, why)]


def _nothing(held_out: Sequence[Trajectory], why: str) -> Aside:
    many = len(held_out) > 1
    reason = "too few for the checks, if they are parted" if many else "there is no other"
    text = f"{why}Chosen on the {_count(held_out)} held out; nothing was kept aside: {reason}."
    return Aside(held_out, (), text)


def _count(trajectories: Sequence[Trajectory]) -> str:
    return f"{len(trajectories)} trajector{'y' if len(trajectories) == 1 else 'ies'}"


def _fresh(
    held_out: Sequence[Trajectory],
    training: Sequence[Trajectory],
    generator: DatasetGenerator,
    seed: int,
) -> tuple[list[Trajectory], str]:
    """As many trajectories as are held out, at their times; or none, and why."""
    name, t = type(generator).__name__, held_out[0].t if held_out else torch.zeros(0)
    if t.ndim != 1 or not len(t):
        return [], f"{name} cannot draw them anew, for their systems have times of their own. "
    try:
        drawn = list(
            generator.draw(range(len(held_out)), t.double(), randomness.derived(seed, FRESH))
        )
    except SimlearnError as error:
        return [], f"{name} cannot draw fresh ones: {error} "
    known = [*held_out, *training]
    if any(_same(one, other) for one in drawn for other in known):
        return [], f"{name} draws the same ones whatever the seed. "
    return drawn, ""


def _same(one: Trajectory, other: Trajectory) -> bool:
    """Whether two motions begin alike."""
    a, b = one.x[0].double().cpu(), other.x[0].double().cpu()
    return a.shape == b.shape and bool(torch.allclose(a, b, rtol=1e-9, atol=0))
