"""Where a loss will end, forecast from the first tenth of a training; with the skill it has."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any, Literal

import torch
from torch import Tensor

from simlearn.component import ConfigError, DataError

Use = Literal["loss", "exponents", "both"]
EARLY = 0.1  # share of the steps that is looked at
LEAST = 8  # losses that tell something
LATE = 0.025  # share of the steps at the end whose losses make the final one
NAMES: dict[str, tuple[str, ...]] = {
    "loss": ("fall", "slope", "bend"),
    "exponents": ("growth", "edge"),
    "both": ("fall", "slope", "bend", "growth", "edge"),
}
RIDGE, FAR = 3.0, 3.0  # of the fit, and standard deviations beyond which nothing is extrapolated
SURE = 0.8  # share of final losses inside the interval


@dataclass(frozen=True)
class Early:
    """What the first tenth of a training shows.

    Attributes:
        fall: ln (loss now / first loss); now is its last quarter, in the mean of logarithms.
        slope: d ln loss / d ln step in its second half.
        bend: The same from an eighth to a half, less the slope.
        growth: ln of what a small difference grew by, exponent times steps, as sign · ln(1 + |·|).
        edge: ln of the sharpness over its limit, from 1e-4 to 2.
    """

    fall: float
    slope: float
    bend: float
    growth: float = math.nan
    edge: float = math.nan

    @classmethod
    def of(
        cls,
        steps: Sequence[int] | Tensor,
        losses: Sequence[float] | Tensor,
        exponent: float | None = None,
        share: float | None = None,
    ) -> Early:
        """From losses at steps of the optimizer, counted from 1.

        Args:
            steps: Ascending.
            losses: At these steps.
            exponent: Finite-time exponent of the training, per step.
            share: Sharpness over its limit, at the end.

        Raises:
            DataError: Fewer than eight losses, or one that is not a positive number.
        """
        at = torch.as_tensor(steps, dtype=torch.float64)
        value = torch.as_tensor(losses, dtype=torch.float64)
        good = int((value.isfinite() & (value > 0)).sum())
        if good < LEAST or good < len(at):
            raise DataError(
                f"A final loss is forecast from at least {LEAST} positive losses and no others, "
                f"got {len(at)}, of which {good} are positive."
            )
        log, last = value.log(), float(at[-1])
        now = float(log[at > 0.75 * last].mean() - log[0])
        slope = _slope(at, log, 0.5 * last, last)
        bend = _slope(at, log, 0.125 * last, 0.5 * last) - slope
        growth = math.nan if exponent is None else exponent * last
        return cls(
            now,
            slope,
            bend,
            math.copysign(math.log1p(abs(growth)), growth),
            math.nan if share is None else math.log(min(2.0, max(1e-4, share))),
        )


def _slope(at: Tensor, log: Tensor, low: float, high: float) -> float:
    inside = (at >= low) & (at <= high)
    if int(inside.sum()) < 2:
        return 0.0
    x, y = at[inside].log(), log[inside]
    x = x - x.mean()
    return float((x @ (y - y.mean())) / (x @ x))


@dataclass(frozen=True)
class Forecaster:
    """A linear forecast of ln (final loss / first loss).

    Attributes:
        use: What it looks at.
        intercept: Forecast of a usual training.
        mean: Of each feature.
        scale: Of each feature.
        coefficients: Of each feature, in units of its scale.
        low: Error, in ln, below which a tenth of the final losses lie.
        high: Error above which a tenth lie.
        skill: What it was worth on systems it was not fitted to, and what others were.
    """

    use: str
    intercept: float
    mean: Sequence[float]
    scale: Sequence[float]
    coefficients: Sequence[float]
    low: float = 0.0
    high: float = 0.0
    skill: Mapping[str, Any] = field(default_factory=dict)

    def logarithm(self, early: Early) -> float:
        """Ln (final loss / first loss).

        Raises:
            ConfigError: It needs exponents, and they were not measured.
        """
        given = features(early, self.use)
        if any(math.isnan(value) for value in given):
            raise ConfigError(
                f"A forecast from {self.use} needs the exponent of the training and its share of "
                "the edge of stability; measure them, or forecast from the loss alone."
            )
        far = (
            min(FAR, max(-FAR, (value - mean) / scale))
            for value, mean, scale in zip(given, self.mean, self.scale, strict=True)
        )
        return self.intercept + sum(c * z for c, z in zip(self.coefficients, far, strict=True))

    def forecast(self, early: Early, first: float) -> tuple[float, float, float]:
        """The final loss, and the interval in which four out of five final losses lie.

        Args:
            early: The first tenth.
            first: The first loss.
        """
        log = self.logarithm(early)
        low, middle, high = (first * math.exp(log + off) for off in (self.low, 0.0, self.high))
        return middle, low, high

    def to_json(self) -> dict[str, Any]:
        """In plain JSON types."""
        return asdict(self)


def features(early: Early, use: str) -> list[float]:
    """The numbers that a kind of forecast looks at."""
    return [float(getattr(early, name)) for name in NAMES[use]]


def fitted(use: str, seen: Sequence[Early], ends: Sequence[float]) -> Forecaster:
    """A ridge fit to trainings that have ended.

    Args:
        use: What it looks at.
        seen: Their first tenths.
        ends: Their ln (final loss / first loss).

    Raises:
        DataError: Fewer than twice as many trainings as features.
    """
    names = NAMES[use]
    if len(seen) < 2 * len(names):
        raise DataError(
            f"A forecast from {len(names)} features needs at least {2 * len(names)} trainings that "
            f"have ended, got {len(seen)}."
        )
    rows = torch.tensor([features(one, use) for one in seen], dtype=torch.float64)
    target = torch.tensor(ends, dtype=torch.float64)
    mean, scale = rows.mean(0), rows.std(0).clamp_min(1e-9)
    z = ((rows - mean) / scale).clamp(-FAR, FAR)
    square = z.T @ z + RIDGE * torch.eye(len(names), dtype=torch.float64)
    found = torch.linalg.solve(square, z.T @ (target - target.mean()))
    return Forecaster(use, float(target.mean()), mean.tolist(), scale.tolist(), found.tolist())


def left_out(
    use: str, seen: Sequence[Early], ends: Sequence[float], groups: Sequence[str]
) -> list[float]:
    """For each training the forecast by a fit to all others but those of its own group."""
    found = [math.nan] * len(seen)
    for group in dict.fromkeys(groups):
        inside = [k for k, one in enumerate(groups) if one == group]
        outside = [k for k, one in enumerate(groups) if one != group]
        made = fitted(use, [seen[k] for k in outside], [ends[k] for k in outside])
        for k in inside:
            found[k] = made.logarithm(seen[k])
    return found


def shipped(use: Use = "loss") -> Forecaster:
    """The forecast that comes with simlearn, made by ``benchmarks/training_dynamics.py``."""
    text = resources.files("simlearn.analysis.training").joinpath("final_loss.json").read_text()
    return Forecaster(**json.loads(text)[use])
