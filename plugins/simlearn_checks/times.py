"""The system's own time scale: the period of the data, and horizons in it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import ConfigError, DataError, Evidence, Simulator, Trajectory
from simlearn.analysis import flat

SEEN = 2.0  # periods that a trajectory must cover at least
FEWEST = 16  # samples
FINER = 8  # times as many frequencies as the samples give
SHARE = 0.25  # of the power that must lie in the peak
STILL = 1e-9  # of its largest value: a column that moves less does not
WIDTH = 2.0  # of the peak to either side, in frequencies of the samples
PERIODS = re.compile(r"\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*periods?\s*")


@dataclass(frozen=True)
class Period:
    """The time in which most of the data's motion repeats.

    Attributes:
        value: In the unit of the data's time; the median over trajectories.
        spread: Median deviation from it over trajectories; systems that are not linear swing at
            other paces with other widths.
    """

    value: float
    spread: float


def refuse(horizon: int | str) -> None:
    """Refuse a horizon that is neither a number of steps nor of periods.

    Raises:
        ConfigError: It is none.
    """
    if isinstance(horizon, str):
        found = PERIODS.fullmatch(horizon)
        try:
            good = found is not None and float(found[1]) > 0
        except ValueError:
            good = False
    else:
        good = horizon > 0
    if not good:
        raise ConfigError(
            "horizon must be positive, a number of steps or of periods of the data "
            f"('10 periods'), got {horizon!r}."
        )


def steps_in(horizon: int | str, simulator: Simulator, evidence: Evidence) -> int:
    """A horizon in steps of the simulator.

    Raises:
        DataError: It is in periods, and the data show none.
    """
    if not isinstance(horizon, str):
        return horizon
    found = PERIODS.fullmatch(horizon)
    assert found is not None
    one = period(evidence)
    if one is None:
        raise DataError(
            f"A horizon of {horizon} needs held-out data that repeat themselves, and these do not "
            f"show a period {SEEN:g} times. Give the horizon in steps, or longer data."
        )
    return max(1, round(float(found[1]) * one.value / simulator.dt))


def period(evidence: Evidence) -> Period | None:
    """The dominant period of the held-out data, by their power spectrum.

    Every column counts alike. None where no peak holds a quarter of the power, as in data that come
    to rest, that are noise, or that have as many periods as columns; or where fewer than two
    periods are seen.
    """
    found = [value for one in evidence.held_out if (value := _of(one)) is not None]
    if 2 * len(found) <= len(evidence.held_out):
        return None
    values = torch.tensor(found, dtype=torch.float64)
    middle = values.median()
    return Period(float(middle), float((values - middle).abs().median()))


def _of(one: Trajectory) -> float | None:
    """The dominant period of a trajectory that is evenly sampled."""
    if one.steps < FEWEST or one.t.ndim > 1:
        return None
    apart = one.t.diff()
    dt = float(apart.mean())
    if float((apart - dt).abs().max()) > 1e-3 * dt:
        return None
    x = _moving(flat.states(one).flatten(1).double(), one.t)
    if not x.shape[1]:
        return None
    window = torch.hann_window(len(x), periodic=False, dtype=torch.float64)[:, None]
    power = torch.fft.rfft(window * x, n=FINER * len(x), dim=0).abs().square()
    mean = (power / power.sum(0)).mean(1)
    first = math.ceil(SEEN * FINER)  # frequencies in units of 1 / (8 · span)
    peak = int(mean[first:].argmax()) + first
    wide = math.ceil(WIDTH * FINER)
    share = float(mean[max(0, peak - wide) : peak + wide + 1].sum())
    rising = peak == first and float(mean[first - 1]) > float(mean[first])
    if share < SHARE or rising or peak == len(mean) - 1:
        return None
    return FINER * len(x) * dt / (peak + _between(mean[peak - 1 : peak + 2]))


def _moving(x: Tensor, t: Tensor) -> Tensor:
    """Columns that move, less their straight line, in units of their spread."""
    t, least = (t - t.mean()).double()[:, None], STILL * x.abs().amax(0)
    x = x - x.mean(0)
    x = x - t * (t * x).sum(0) / t.square().sum()
    left = x.square().mean(0).sqrt()
    moves = left > least
    return x[:, moves] / left[moves]


def _between(three: Tensor) -> float:
    """Where a parabola through three logarithms has its top, seen from the middle one."""
    a, b, c = three.clamp_min(1e-300).log().tolist()
    bent = a - 2 * b + c
    return 0.0 if bent == 0 else 0.5 * (a - c) / bent
