"""Pictures of what is visited: histograms and power spectra."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from simlearn import Curve, Line
from simlearn.analysis import measure
from simlearn_checks.common import line

BINS = 40


def histograms(states: Mapping[str, Tensor], truth: Tensor, k: int, name: str) -> Curve:
    """How often a component has each value, by the data and by every simulator."""
    seen = truth[..., k]
    margin = 0.15 * float(seen.max() - seen.min()) or 1.0
    low, high = float(seen.min()) - margin, float(seen.max()) + margin
    edges = torch.linspace(low, high, BINS + 1, dtype=torch.float64)
    middles = (edges[1:] + edges[:-1]) / 2

    def density(x: Tensor) -> Tensor:
        x = x[x.isfinite()].flatten()
        return torch.histc(x, BINS, low, high) / max(1, len(x)) * BINS / (high - low)

    lines = [Line(middles.tolist(), density(seen).tolist(), "truth", label="held-out data")]
    lines += [line(who, middles, density(x[..., k])) for who, x in states.items()]
    caption = "How often each value is met, after the transient. Mass outside the frame is missing."
    return Curve(lines, name, "density", caption)


def power_spectra(
    states: Mapping[str, Tensor], truth: Tensor, k: int, spacing: float, label: str
) -> Curve:
    """The power of a component at each frequency, by the data and by every simulator."""

    def mean(x: Tensor) -> tuple[Tensor, Tensor]:
        found = x[..., k]
        found = found[:, found.isfinite().all(0)]
        if not found.shape[1]:
            return torch.tensor([1.0]), torch.tensor([torch.nan])
        frequency, density = measure.power(found, spacing, len(found) // 2)
        return frequency[1:], density[1:].mean(1).clamp_min(1e-300)

    f, p = mean(truth)
    lines = [Line(f.tolist(), p.tolist(), "truth", label="held-out data")]
    lines += [line(who, *mean(x)) for who, x in states.items()]
    caption = "At which frequencies it moves: peaks out of place are a wrong pace."
    return Curve(lines, label, "power", caption, "log", "log")
