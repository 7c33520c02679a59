"""Pictures of the finding."""

from __future__ import annotations

import torch
from torch import Tensor

from simlearn import Curve, Evidence, Line
from simlearn.analysis import graphs
from simlearn_checks.common import row_names, since
from simlearn_checks.unlearnable.words import Told

LEAST = 1e-34  # energy that a picture shows
SHOWN = 6  # directions of one picture


def energy(told: Told) -> dict[str, Curve]:
    """The energy spectrum of the data with its floor."""
    values = told.frame.energy.values.clamp_min(LEAST)
    n = len(values)
    places = [float(k + 1) for k in range(n)]
    floor = max(told.frame.energy.floor, LEAST)
    lines = [Line(places, values.tolist(), label="energy of the training data")]
    lines.append(Line([1.0, float(n)], [floor] * 2, "truth", "", "below: rounding and noise"))
    what = "local inputs of the graph" if told.frame.local else "the state"
    return {
        "Energy of the data": Curve(
            lines,
            f"direction of {what}, by energy",
            "variance, in units of the spread",
            "A direction below the dotted line was never shown to the simulator.",
            y_scale="log",
        )
    }


def growth(told: Told, evidence: Evidence) -> dict[str, Curve]:
    """Transverse exponents with error bars."""
    found = told.found
    if not told.count or found.lost:
        return {}
    places = [float(k + 1) for k in range(told.count)]
    unit = evidence.units.get("time", "")
    error = (2 * found.errors).tolist()
    return {
        "Growth of errors off the data": Curve(
            [
                Line(places, found.exponents.tolist(), error=error, label="exponent ± 2 s.e."),
                Line([places[0] - 0.5, places[-1] + 0.5], [0.0, 0.0], "truth", "", "neutral"),
            ],
            "direction without data",
            f"transverse exponent / {unit or 'time'}⁻¹",
            "Above the dotted line errors grow, below they heal.",
        )
    }


def clamp(told: Told, evidence: Evidence) -> dict[str, Curve]:
    """Distance of free rollouts from the data, beside what the exponent predicts."""
    one = told.clamp
    if one is None or not bool(one.free.isfinite().all()):
        return {}
    lines = [
        Line(one.t[1:].tolist(), one.free[1:].clamp_min(1e-17).tolist(), label="free rollout"),
        Line([0.0, float(one.t[-1])], [told.tolerance] * 2, "truth", "", "counts as escaped"),
    ]
    if told.found.leak:
        budget = _budget(told, one.t)
        lines.append(Line(one.t[1:].tolist(), budget[1:].tolist(), "reference", "", "predicted"))
    return {
        "Leaving the data": Curve(
            lines,
            since(evidence),
            "distance from the span of the data / spread",
            "Held-out starts, the worst of them; predicted from leak and exponent alone.",
            y_scale="log",
        )
    }


def _budget(told: Told, t: Tensor) -> Tensor:
    """e_k = l (ρᵏ − 1) / (ρ − 1)."""
    leak, steps = told.found.leak or 0.0, torch.arange(len(t), dtype=torch.float64)
    rate = told.found.largest[0] * told.simulator.dt
    share = torch.expm1(rate * steps) / torch.expm1(torch.tensor(rate, dtype=torch.float64))
    return (leak * (share if rate else steps)).clamp(1e-17, 1e6)


def memory(told: Told) -> dict[str, Curve]:
    """How much of the draw of the weights is left."""
    one = told.memory
    if one is None or not bool(one.ratio.isfinite().all()):
        return {}
    places = [float(k + 1) for k in range(len(one.ratio))]
    span = [places[0], places[-1]]
    what = "direction of the data, by energy" if one.index else "direction without data"
    return {
        "What the seed decides": Curve(
            [
                Line(places, one.ratio.clamp_min(1e-8).tolist(), label="variance left"),
                Line(span, [0.5, 0.5], "truth", "", "above: unlearned"),
                Line(span, [0.1, 0.1], "truth", "", "below: learned"),
            ],
            what,
            "variance over seeds, trained / untrained",
            f"Response of {one.models} models of different seeds in each direction.",
            y_scale="log",
        )
    }


def vectors(told: Told, evidence: Evidence) -> dict[str, Curve]:
    """The directions themselves: by column, or by node and by graph-Fourier mode."""
    normal = told.found.normal
    if normal is None or not normal.shape[1]:
        return {}
    one = evidence.training[0]
    shown = normal[:, :SHOWN]
    rows = normal.shape[0] // one.dim
    if rows == 1:
        return {"Directions without data": _by_column(shown, one.dim)}
    by_node = graphs.node_share(shown, one.dim)
    found = {
        "Directions without data, by node": _shares(by_node, "node", row_names(one), rows),
    }
    if one.topology.graph.edge_index.numel():
        waves = graphs.wave_energy(shown, one.topology, one.dim)
        found["Directions without data, by wave"] = _shares(waves, "graph-Fourier mode", [], rows)
    return found


def _by_column(shown: Tensor, dim: int) -> Curve:
    places = [float(k) for k in range(dim)]
    lines = [
        Line(places, shown[:, k].tolist(), group=f"direction {k + 1}")
        for k in range(shown.shape[1])
    ]
    return Curve(
        lines,
        "column of the state, from 0",
        "component, in units of the spread",
        "Start new trajectories along these to teach what is missing.",
    )


def _shares(share: Tensor, what: str, names: list[str], rows: int) -> Curve:
    places = [float(k) for k in range(rows)]
    lines = [
        Line(places, share[:, k].tolist(), group=f"direction {k + 1}")
        for k in range(share.shape[1])
    ]
    few = names if 0 < len(names) <= 16 else []
    return Curve(lines, what, "share of the direction", f"By {what}.", categories=few)
