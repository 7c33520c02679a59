"""Turns rollouts, data and the record of a training into a `Curve`."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from simlearn.component import ConfigError, DataError
from simlearn.dynamics.base import Dynamics
from simlearn.plot.scene import Names, per, picked, row_names
from simlearn.simulator import Simulator
from simlearn.stability.finding import Curve, Line
from simlearn.state import Trajectory

DRAWN = 8  # lines of one picture that can be told apart
SHOWN = 16  # directions

Role = Literal["judged", "truth"]


def rollout_curve(
    rolled: Trajectory, truth: Trajectory | None, units: Mapping[str, str], rows: Names | None
) -> Curve:
    """Orbits where positions have two dimensions, else the first column against time."""
    unit, orbits = per(units.get("position", "")), rolled.dim >= 4 and rolled.dim % 2 == 0
    chosen = picked(rolled, rows, DRAWN)
    if orbits:
        lines = _lines(rolled, truth, chosen, lambda one: (one.x[..., 0], one.x[..., 1]))
        return Curve(lines, f"x{unit}", f"y{unit}", equal=True)
    lines = _lines(rolled, truth, chosen, lambda one: (_since(one), one.x[..., 0]))
    return Curve(lines, "time since the start" + per(units.get("time", "")), f"position{unit}")


def phase_curve(
    rolled: Trajectory, truth: Trajectory | None, units: Mapping[str, str], rows: Names | None
) -> Curve:
    """The first position against its momentum or velocity, or the second column."""
    if rolled.dim < 2:
        raise DataError("A phase plane needs states of two columns, these have one.")
    half = rolled.dim // 2 if rolled.dim % 2 == 0 else 1
    second = next((name for name in ("momentum", "velocity") if name in units), "")
    x_label, y_label = "position" + per(units.get("position", "")), second or "momentum"
    if rolled.dim % 2:
        x_label, y_label = "column 0", "column 1"
    chosen = picked(rolled, rows, DRAWN)
    lines = _lines(rolled, truth, chosen, lambda one: (one.x[..., 0], one.x[..., half]))
    return Curve(lines, x_label, y_label + per(units.get(second, "")))


def energy_curve(
    rolled: Mapping[str, Trajectory], source: Dynamics | Simulator, units: Mapping[str, str]
) -> Curve:
    """(E − E₀) / |E₀| of the first system of each rollout against time."""
    field = source.dynamics if isinstance(source, Simulator) else source
    energy = getattr(field, "energy", None)
    if energy is None:
        raise ConfigError(
            f"{type(field).__name__} has no energy. Give a HamiltonianField or a SplitField, "
            "the truth's for example."
        )
    lines = []
    for name, one in rolled.items():
        with torch.no_grad():
            values = torch.stack([energy(x, one.topology)[0] for x in one.x])
        error = (values - values[0]) / values[0].abs().clamp_min(1e-300)
        times = (_since(one)[:, 0]).tolist()
        role: Literal["judged", "reference"] = "reference" if name else "judged"
        lines.append(Line(times, error.tolist(), role, label=name or "this simulator"))
    label = "time since the start" + per(units.get("time", ""))
    return Curve(lines, label, "(E − E₀) / |E₀|", focus=True)


def directions_curve(data: Trajectory | Iterable[Trajectory]) -> Curve:
    """Share of the variance in each principal direction, largest first."""
    from simlearn.data.importing import Census

    found = Census.of([data] if isinstance(data, Trajectory) else data).directions()
    if not found:
        raise DataError("These data have no directions in common: sizes differ, or are too few.")
    share = [max(part, 1e-16) for part, _ in found[:SHOWN]]
    more = f" The first {SHOWN} of {len(found)}." if len(found) > SHOWN else ""
    return Curve(
        [Line([float(k) for k in range(len(share))], share, label="data")],
        f"direction; the weakest is {found[-1][1]}",
        "share of the variance",
        f"A direction without variance cannot be learned from these data.{more}",
        y_scale="log",
        categories=[str(k + 1) for k in range(len(share))],
    )


def training_curve(run: Path | str) -> Curve:
    """Loss and held-out errors of a run folder's metrics.csv against epochs."""
    path = Path(run)
    path = path / "metrics.csv" if path.is_dir() else path
    if not path.is_file():
        raise DataError(f"There is no {path}. Give the folder of a run, such as runs/latest.")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = {"loss": "loss", "validation_loss": "held-out loss", "rollout_error": "held-out rollout"}
    lines = [
        Line(*_column(rows, name), role="reference" if name != "loss" else "judged", label=label)
        for name, label in told.items()
    ]
    lines = [line for line in lines if line.x]
    if not lines:
        raise DataError(f"{path} holds no loss yet.")
    positive = all(v > 0 for line in lines for v in line.y if math.isfinite(v))
    return Curve(lines, "epoch", "loss, error", y_scale="log" if positive else "symlog")


def _column(rows: list[dict[str, str]], name: str) -> tuple[list[float], list[float]]:
    seen = [(float(r["epoch"]), float(r[name])) for r in rows if r.get(name) and r.get("epoch")]
    return [e for e, _ in seen], [v for _, v in seen]


def _since(one: Trajectory) -> Tensor:
    """Time since the start, ``[steps, rows]``."""
    t = one.t - one.t[0]
    return t[:, None].expand(one.x.shape[:2]) if t.ndim == 1 else t[:, one.topology.system]


def _lines(
    rolled: Trajectory,
    truth: Trajectory | None,
    rows: list[int],
    of: Callable[[Trajectory], tuple[Tensor, Tensor]],
) -> list[Line]:
    """A line for each row of the rollout, and of the truth as far as the rollout goes."""
    names, lines = row_names(rolled), []
    voices: list[tuple[Trajectory, Role, str]] = [(rolled, "judged", "rollout")]
    if truth is not None:
        span = float((rolled.t[-1] - rolled.t[0]).max()) * (1 + 1e-9)
        t = truth.t if truth.t.ndim == 1 else truth.t[:, 0]
        seen = truth.slice(0, int((t - t[0] <= span).sum()))
        voices.append((seen, "truth", "truth"))
    for one, role, label in voices:
        x, y = of(one)
        for k in rows:
            group = names[k] if len(rows) > 1 else ""
            lines.append(Line(x[:, k].tolist(), y[:, k].tolist(), role, group, label))
    return lines
