"""What is left of the draw of the weights."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from simlearn import Evidence, Simulator
from simlearn.analysis import directions
from simlearn_checks.unlearnable.case import Frame, Points, step_at
from simlearn_checks.unlearnable.measured import MOST, followed
from simlearn_checks.unlearnable.models import drawn


@dataclass(frozen=True)
class Memory:
    """How much of the draw of the weights is left, direction by direction.

    Attributes:
        ratio: r_i ``[k]``.
        models: Trained models compared.
        index: Which directions of the energy, ``[k]``; empty where they are those of N.
        exponents: Largest transverse exponent of each sibling.
    """

    ratio: Tensor
    models: int
    index: list[int] = field(default_factory=list)
    exponents: list[float] = field(default_factory=list)


def memory(
    simulator: Simulator,
    evidence: Evidence,
    frame: Frame,
    points: Points,
    normal: Tensor,
    horizon: int,
) -> Memory | None:
    """r_i from the siblings, and their own exponents; None where there are none."""
    fresh = drawn(simulator, evidence.seed)
    if not evidence.siblings or not fresh:
        return None
    small = frame.data.shape[0] <= MOST and not frame.local
    asked = frame.energy.directions if small else normal[:, :MOST]
    if not asked.shape[1]:
        return None
    trained = [simulator, *evidence.siblings]
    answers = [
        torch.stack(
            [
                directions.response(step_at(one, points, frame.scale), points.z, asked, points.t)
                for one in models
            ]
        )
        for models in (trained, fresh)
    ]
    exponents = []
    for one in evidence.siblings if normal.shape[1] else ():
        step = step_at(one, points, frame.scale)
        found = followed(step, frame, points, normal, horizon, simulator.dt, evidence.seed)
        exponents.append(float(found.exponents.max()))
    index = list(range(asked.shape[1])) if small else []
    return Memory(directions.sensitivity(*answers), len(trained), index, exponents)
