"""Multiple shooting from states that are known: a start where the weak form is poor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.training.network.fit import error_of, newton
from simlearn.training.network.noise import Observed

LONGER = 4  # factor from the pieces of one stage to those of the next
FEW = 3  # pieces of the longest trajectory, below which the whole is fitted instead
MANY = 10  # intervals of it from which on every second one is enough at first
CLEAR = 5e-4  # error of pieces below which they are fitted no further
STILL = 0.02  # of the error of states that stand still: the same where the stamps are dense
MOVED = 0.5  # of that error: what a stage leaves at most, or nothing of the kind moves the data


@dataclass(frozen=True)
class Stage:
    """Pieces of one length.

    Attributes:
        length: Intervals between stamps in each.
        every: Every so many of them are fitted: at first some say enough, later all are needed.
    """

    length: int
    every: int

    @property
    def told(self) -> str:
        """In words, for the record."""
        plural = "s" if self.length > 1 else ""
        return f"pieces of {self.length} interval{plural}"


def stages_of(intervals: int) -> list[Stage]:
    """Single intervals, then longer and longer pieces, as long as there are several."""
    found, length = [], 1
    while math.ceil(intervals / length) >= FEW:
        found.append(Stage(length, 2 if length == 1 and intervals >= MANY else 1))
        length *= LONGER
    return found


def in_pieces(model: CoupledSeries, data: Observed, stages: list[dict[str, float | str]]) -> float:
    """Fit single intervals between stamps, then longer pieces, each from a state that is known.

    Multiple shooting (Bock 1983) with states that are data, smooth ones where these are noisy.
    However wrong the law is, no error lasts longer than a piece, and each stage sees states of all
    times. It starts from the coefficients that are loaded, or from zero, which cannot blow up,
    where that is closer. Pieces that are lost wait for a later stage.

    Args:
        model: With the coefficients of the weak form; those of the last stage are loaded.
        data: What is observed.
        stages: The record, to which a line for each stage is added.

    Returns:
        Error of whole rollouts; infinite where they are lost.
    """
    still = math.inf
    for stage in stages_of(max(len(one.t) for one in data.smooth) - 1):
        pieces = data.pieces(stage.length, stage.every)
        if stage.length == 1:
            still = _begun(model, pieces)
        enough = min(CLEAR, STILL * still)
        reached = newton(model, pieces, [], enough)
        if not math.isfinite(reached) and (some := _followed(model, pieces)).fitted:
            reached = newton(model, some, [], enough)
        stages.append({"stage": stage.told, "error": reached})
        if not reached < MOVED * still:
            break
    return error_of(model, data.judged)


def _begun(model: CoupledSeries, pieces: Observed) -> float:
    """Load zero where that is closer; the error of states that stand still."""
    kept, begun = model.coefficients.detach().clone(), error_of(model, pieces.fitted)
    model.coefficients.zero_()
    still = error_of(model, pieces.fitted)
    if begun < still:
        model.coefficients.copy_(kept)
    return still


def _followed(model: CoupledSeries, pieces: Observed) -> Observed:
    """Without those that are lost."""
    some = [one for one in pieces.fitted if math.isfinite(error_of(model, [one]))]
    return replace(pieces, fitted=some, judged=some, smooth=some)
