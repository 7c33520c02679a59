"""How long is a forecast valid, and how large is a share that was counted?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.stats import binomtest
from torch import Tensor

from simlearn.component import ConfigError


@dataclass(frozen=True)
class Validity:
    """Valid prediction times of some starts.

    In Lyapunov times where an exponent was given, else in time.

    Attributes:
        times: ``[starts]``; the horizon where the error stayed below the threshold.
        censored: ``[starts]`` whether it did, so that the true time is longer.
        horizon: Where the errors end.
    """

    times: Tensor
    censored: Tensor
    horizon: float

    @property
    def median(self) -> float:
        """The median; at least that, where more than half of the starts outlast the horizon."""
        return self._quantile(0.5)

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter of the starts is valid for less than the first, for more than the second."""
        return self._quantile(0.25), self._quantile(0.75)

    @property
    def noise(self) -> float:
        """Standard error of the median: half of the interval between its neighbours in rank."""
        wide = min(0.5, 0.5 / math.sqrt(len(self.times)))
        return (self._quantile(0.5 + wide) - self._quantile(0.5 - wide)) / 2

    @property
    def at_least(self) -> bool:
        """Whether the median is only a lower bound."""
        return float(self.censored.double().mean()) >= 0.5

    def _quantile(self, share: float) -> float:
        return float(torch.quantile(self.times, share))


def valid_time(
    error: Tensor,
    scale: float,
    theta: float = 0.4,
    dt: float = 1.0,
    exponent: float | None = None,
) -> Validity:
    """The valid prediction time λ · min {t: ‖e(t)‖ / scale > θ} of every start.

    A small error e₀ that grows at the rate λ is worth ln(θ / e₀) Lyapunov times. An error that is
    no number is too large. Times are those of the first sample beyond the threshold.

    Args:
        error: ``[samples, starts]``, the first at the start.
        scale: The root mean square of the states about their mean.
        theta: The threshold.
        dt: Time between samples.
        exponent: The largest Lyapunov exponent, 1/time; times are plain without it.

    Raises:
        ConfigError: A threshold, scale, step or exponent that is not positive.
    """
    given = {"theta": theta, "scale": scale, "dt": dt, "exponent": exponent}
    for name, value in given.items():
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise ConfigError(f"{name} of a valid prediction time must be positive, got {value}.")
    if error.ndim != 2 or not error.shape[0] or not error.shape[1]:
        raise ConfigError(f"Errors must be [samples, starts], got {list(error.shape)}.")
    beyond = ~(error / scale <= theta)
    censored = ~beyond.any(0)
    first = torch.where(censored, len(error) - 1, beyond.int().argmax(0))
    unit = dt * (exponent or 1.0)
    return Validity(first.double() * unit, censored, (len(error) - 1) * unit)


def wilson(count: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share, ``count`` of ``trials``.

    Raises:
        ConfigError: No trials, more counted than tried, or a confidence outside 0 to 1.
    """
    if trials < 1 or not 0 <= count <= trials or not 0 < confidence < 1:
        raise ConfigError(
            f"A share needs 0 <= count <= trials and a confidence in (0, 1), got {count} of "
            f"{trials} and {confidence}."
        )
    found = binomtest(count, trials).proportion_ci(confidence, method="wilson")
    return float(found.low), float(found.high)
