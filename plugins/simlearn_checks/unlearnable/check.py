"""What does the simulator do where its data taught it nothing?"""

from __future__ import annotations

import math
from typing import ClassVar

import torch

import simlearn
from simlearn import Curve, Evidence, Finding, Metric, Simulator
from simlearn.analysis import directions
from simlearn.analysis.flat import Motion, states
from simlearn.analysis.jacobian import SMOOTH
from simlearn_checks.common import positive
from simlearn_checks.times import refuse, steps_in
from simlearn_checks.unlearnable import advice, curves, figures, measured, parameters, words
from simlearn_checks.unlearnable.case import Frame, Points, frame_of, points_of, step_at
from simlearn_checks.unlearnable.clamped import Clamp, clamp
from simlearn_checks.unlearnable.measured import Outside
from simlearn_checks.unlearnable.models import drawn, refuse_strangers, training_time
from simlearn_checks.unlearnable.seeds import Memory, memory

TANGENTS = 4096  # tangent vectors of all anchors; with many directions anchors get fewer
FEWEST = 4  # anchors


class UnlearnableDirections(simlearn.Check):
    """Directions in which the data carry no energy, and what the simulator does there.

    A network learns the directions of its data by their energy λ, and nothing at all where λ = 0:
    there it does whatever its initialisation happened to do, and no loss shows it (Floryan 2024,
    arXiv 2406.13101). The check finds these directions in the *training* data, follows small
    errors in them along the data (exponents of the cocycle Nᵀ J N by QR) and judges the largest,
    L, with a margin of two standard errors, at least ln 2 over the horizon (an error that does not
    even double or halve neither grows nor heals): "unstable" where L − margin > 0, "neutral" where
    zero lies within the margin, "ok" where L + margin < 0. Only ok passes. Directions that a
    symmetry leaves free whatever the weights are told apart and not judged.

    ``simlearn check`` finds the training data of a run again, or takes --training-data; with
    --sibling models from other seeds it also says how much of the draw of the weights is left in
    each direction.

    Args:
        horizon: Steps over which errors are followed, or periods of the held-out data
            ("5 periods").
        anchors: Training states from which they are.
        noise: Noise of the data as a share of each column's spread: energy below it is none.
        tolerance: Distance from the data, in units of the spread, that counts as escaped; and the
            share of the first error that makes a direction slow instead of learned.
        neighbours: For data on a curved set (a cycle, a torus): samples of a neighbourhood, from
            whose PCA normals are taken. The span of all data is used where it is not given.
        allow_neutral: Pass neutral directions, as the best a system without damping can have.
    """

    asks_training: ClassVar[bool] = True

    def __init__(
        self,
        horizon: int | str = 200,
        anchors: int = 64,
        noise: float = 1e-5,
        tolerance: float = 0.1,
        neighbours: int | None = None,
        allow_neutral: bool = False,
    ):
        positive(anchors=anchors, tolerance=tolerance)
        refuse(horizon)
        if not noise >= 0 or not tolerance < 1:
            raise simlearn.ConfigError(
                f"UnlearnableDirections needs noise >= 0 and tolerance < 1, got {noise} and "
                f"{tolerance}."
            )
        self.horizon, self.anchors, self.noise = horizon, anchors, noise
        self.tolerance, self.neighbours = tolerance, neighbours
        self.allow_neutral = allow_neutral

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Find the directions, follow errors in them, and say.

        Raises:
            DataError: There are no training data, or nothing can be learned from them.
        """
        horizon = steps_in(self.horizon, simulator, evidence)
        time = training_time(simulator, evidence.training) if evidence.training else None
        frame = frame_of(simulator, evidence.training, self.noise, time, self.tolerance)
        many = max(FEWEST, min(self.anchors, TANGENTS // max(1, frame.normal.shape[1])))
        points = points_of(evidence.training, many, simulator.dt, frame.scale)
        step = step_at(simulator, points, frame.scale)
        try:
            wrong = measured.self_check(step, points, evidence.seed)
        except RuntimeError as error:
            return _undifferentiable(str(error))
        if not wrong <= SMOOTH:
            return _unsmooth(wrong)
        refuse_strangers(simulator, evidence.siblings)
        fresh = [step_at(one, points, frame.scale) for one in drawn(simulator, evidence.seed)]
        found = self._outside(step, frame, points, fresh, simulator.dt, evidence, horizon)
        free, seeds = self._rest(simulator, evidence, frame, points, found, horizon)
        resolution = measured.resolution(simulator.dt, horizon)
        said = directions.verdict(found.exponents, found.errors, resolution)
        told = words.Told(
            said, frame, found, free, seeds, simulator, horizon, self.tolerance, points
        )
        more = parameters.of(simulator, evidence)
        metrics = [Metric("Jacobian self-check", wrong, SMOOTH), *self._metrics(told)]
        return Finding.of(
            [*metrics, *more.metrics],
            " ".join([*words.summary(told), *more.sentences]),
            {**self._curves(told, evidence), **more.curves},
            advice.remedies(told),
            meaning=words.MEANING,
            details=figures.vectors(told),
            worst=None if told.clamp is None else told.clamp.worst,
            causes=advice.causes(told),
        )

    def _outside(
        self,
        step: Motion,
        frame: Frame,
        points: Points,
        fresh: list[Motion],
        dt: float,
        evidence: Evidence,
        horizon: int,
    ) -> Outside:
        if self.neighbours is None:
            return measured.outside(step, frame, points, fresh, horizon, dt, evidence.seed)
        samples = torch.cat([states(one).flatten(0, 1) for one in evidence.training]) / frame.scale
        return measured.curved(step, points, samples, self.neighbours, horizon, dt, evidence.seed)[
            0
        ]

    def _rest(
        self,
        simulator: Simulator,
        evidence: Evidence,
        frame: Frame,
        points: Points,
        found: Outside,
        horizon: int,
    ) -> tuple[Clamp | None, Memory | None]:
        """Free and clamped rollouts, and what siblings say; flat data only."""
        normal = found.normal
        if normal is None:
            return None, None
        free = None
        if normal.shape[1]:
            free = clamp(simulator, evidence, frame, normal, horizon, self.tolerance)
        return free, memory(simulator, evidence, frame, points, normal, horizon)

    def _metrics(self, told: words.Told) -> list[Metric]:
        frame, found = told.frame, told.found
        count = found.exponents.numel()
        metrics = [
            Metric("directions with data", float(frame.data.shape[1])),
            Metric("directions without data, or slow", float(found.total)),
            Metric("exact nulls by symmetry", float(found.symmetric)),
            Metric("share of orbits that left every bound", found.lost, 0.0),
        ]
        if not count:
            return metrics
        largest, error = found.largest
        margin = (2 * found.errors).clamp_min(measured.resolution(told.simulator.dt, told.horizon))
        bounds = found.exponents + (-margin if self.allow_neutral else margin)
        bound = float(bounds.max())
        name = "L − margin" if self.allow_neutral else "L + margin"
        metrics += [
            Metric("largest transverse exponent L", largest, unit="1/time", noise=error),
            Metric(
                f"{name} (below zero: {'not unstable' if self.allow_neutral else 'ok'})",
                bound,
                0.0,
                unit="1/time",
            ),
        ]
        return metrics + figures.told_only(told)

    def _curves(self, told: words.Told, evidence: Evidence) -> dict[str, Curve]:
        return {
            **curves.energy(told),
            **curves.growth(told, evidence),
            **curves.clamp(told, evidence),
            **curves.memory(told),
            **curves.vectors(told, evidence),
        }


def _undifferentiable(why: str) -> Finding:
    """The dynamics do something that has no derivative at all."""
    return Finding.of(
        [Metric("Jacobian self-check", float("inf"), SMOOTH)],
        "The dynamics cannot be differentiated, so no direction can be judged: "
        f"{(why.strip() or 'no reason given').splitlines()[0]}",
        remedies=(
            "Write forward with torch operations on the tensors it is given: no numpy, no random "
            "numbers, an answer of the shape of the state.",
        ),
        meaning=words.MEANING,
    )


def _unsmooth(wrong: float) -> Finding:
    """Nothing can be said of a simulator whose Jacobian is not what it does."""
    metric = Metric("Jacobian self-check", wrong, SMOOTH)
    if not math.isfinite(wrong):
        return Finding.of(
            [metric],
            "At states of its own training data the simulator gives numbers that are not finite, "
            "so no direction can be judged.",
            remedies=("Look for NaN in its weights; train again with a smaller learning rate.",),
            meaning=words.MEANING,
        )
    return Finding.of(
        [metric],
        "Forward-mode derivatives of the simulator differ from central differences by "
        f"{wrong:.2g} (relative; 1e-6 is asked). Something in between has no derivative or hides "
        "it, so no direction can be judged.",
        remedies=(
            "Look for detach(), .item(), no_grad or numpy inside the dynamics, for state changed "
            "in place, and for graphs rebuilt at every step.",
            "Take a smooth activation instead of one with kinks.",
        ),
        meaning=words.MEANING,
    )
