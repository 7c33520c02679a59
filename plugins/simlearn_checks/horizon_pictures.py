"""How forecasts are lost, drawn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from simlearn import Curve, Line
from simlearn.analysis.horizon import Validity
from simlearn_checks.common import line

SINGLE = 5  # starts whose error is drawn


def error_growth(
    times: Mapping[str, Tensor], errors: Mapping[str, Tensor], threshold: float
) -> Curve:
    """Errors of forecasts against time, up to where they are lost."""
    lines = []
    for name, error in errors.items():
        sound = error[1:].nan_to_num(torch.inf, torch.inf).clamp(min=1e-12)
        middle = _shown(sound.median(1).values)
        lines.append(line(name, times[name][1:], middle, "median of the starts"))
        for k in range(min(SINGLE, error.shape[1]) if not name else 0):
            lines.append(line(name, times[name][1:], _shown(sound[:, k]), "single starts"))
    ends = [float(times[""][1]), float(times[""][-1])]
    level = [threshold] * 2
    lines.append(Line(ends, level, "truth", label="threshold"))
    caption = (
        "A straight rise is chaos at work on a small error; the higher it begins, the poorer "
        "the law. It is lost at the threshold."
    )
    x_label = "time since the start / Lyapunov time"
    return Curve(lines, x_label, "error / rms of the data", caption, y_scale="log")


def _shown(values: Tensor) -> Tensor:
    return torch.where(values.isfinite(), values, torch.nan)


def survival(found: Mapping[str, Validity]) -> Curve:
    """The share of starts whose forecast still holds, against time."""
    lines = []
    for name, one in found.items():
        x = torch.linspace(0, one.horizon, 200, dtype=torch.float64)
        share = (one.times[None] > x[:, None]) | one.censored[None]
        lines.append(line(name, x, share.double().mean(1)))
    caption = "It crosses one half at the median valid prediction time."
    return Curve(lines, "time since the start / Lyapunov time", "share of starts", caption)
