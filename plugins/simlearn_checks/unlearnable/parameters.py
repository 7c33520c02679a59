"""Directions of the parameters that the data leave open: masses whose pull nobody measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from simlearn import Curve, Estimate, Evidence, Line, Metric, Simulator, Trajectory
from simlearn.dynamics import PairForce

SAMPLES = 400
WEAKEST = 3  # directions that are drawn


@dataclass(frozen=True)
class Parameters:
    """What is said of parameters beside the directions of the state."""

    metrics: list[Metric] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    curves: Mapping[str, Curve] = field(default_factory=dict)


def of(simulator: Simulator, evidence: Evidence) -> Parameters:
    """The masses of a field of pair forces that the training data leave open.

    With d_j the accelerations that body j causes and r what the fit leaves unexplained (root mean
    square of each row), the matrix of all d_j / r is taken apart into singular values: directions
    of log μ, by how much a change by its own size would show. Judged open is what the jackknife of
    the closed form calls so, since residuals are no white noise.
    """
    model = simulator.dynamics
    known = {n: e for n, e in evidence.estimates.items() if n in getattr(model, "names", ())}
    if not isinstance(model, PairForce) or not known:
        return Parameters()
    vague = {name: one for name, one in known.items() if not one.determined}
    pulls = _pulls(model, known, evidence.training[0])
    _, sizes, directions = torch.linalg.svd(pulls, full_matrices=False)
    names = list(known)
    return Parameters(
        [
            Metric("parameters without support in the data", float(len(vague))),
            *(
                Metric(f"unlearnable parameter: mass of {n}, relative error", e.relative_error)
                for n, e in vague.items()
                if e.value
            ),
        ],
        [_sentence(known, vague, pulls, names)],
        _curves(names, known, pulls, sizes, directions),
    )


def _pulls(model: PairForce, known: Mapping[str, Estimate], one: Trajectory) -> Tensor:
    """d_j / r for each known body, ``[samples · rows · components, bodies]`` over √samples.

    A body whose estimate is impossible pulls with the size of its error.
    """
    gap = (one.t[2:] - one.t[:-2])[:, None, None]
    slope, middle = (one.x[2:] - one.x[:-2]) / gap, one.x[1:-1]
    every = max(1, len(middle) // SAMPLES)
    slope, middle = slope[::every], middle[::every]
    with torch.no_grad():
        unit = torch.stack([model.columns(x, one.topology) @ model.weights for x in middle])
        left = model.fitted(slope) - unit @ model.masses()
    noise = left.square().mean((0, 2)).sqrt().clamp_min(1e-300)[:, None, None]
    size = [max(abs(e.value) if e.determined else 0.0, e.error) for e in known.values()]
    place = [list(model.names).index(name) for name in known]
    pulled = (unit / noise)[..., place] * torch.tensor(size, dtype=unit.dtype)
    return pulled.flatten(0, 2) / len(middle) ** 0.5


def _own(pulls: Tensor, k: int) -> tuple[float, float]:
    """Size of one pull, and of the part of it that the others cannot imitate."""
    others = torch.cat([pulls[:, :k], pulls[:, k + 1 :]], dim=1)
    basis = torch.linalg.qr(others / others.norm(dim=0).clamp_min(1e-300))[0]
    rest = pulls[:, k] - basis @ (basis.mT @ pulls[:, k])
    return float(pulls[:, k].norm()), float(rest.norm())


def _sentence(
    known: Mapping[str, Estimate],
    vague: Mapping[str, Estimate],
    pulls: Tensor,
    names: Sequence[str],
) -> str:
    if not vague:
        return f"Of the parameters, the data determine all {len(known)} masses."
    told = []
    for name, one in vague.items():
        whole, own = _own(pulls, names.index(name))
        told.append(
            f"{name} ({100 * one.relative_error:.0f} %; {100 * own / max(whole, 1e-300):.0f} % of "
            "its pull is not imitated by other bodies)"
        )
    return (
        f"Of the parameters, {len(vague)} of {len(known)} masses are unlearnable from these data: "
        f"{', '.join(told)}. Whatever the simulator holds for them is no measurement; a longer "
        "span of data, or data of what they pull on, would teach them."
    )


def _curves(
    names: Sequence[str],
    known: Mapping[str, Estimate],
    pulls: Tensor,
    sizes: Tensor,
    directions: Tensor,
) -> dict[str, Curve]:
    places = [float(k) for k in range(len(names))]
    own = [max(_own(pulls, k)[1], 1e-12) for k in range(len(names))]
    errors = [min(one.relative_error, 1e3) for one in known.values()]
    weakest = directions[-WEAKEST:].flip(0)
    return {
        "Support of the parameters": Curve(
            [
                Line(places, own, group="own", label="own pull / what the fit leaves unexplained"),
                Line(places, errors, "reference", "error", "relative error of the mass"),
                Line(places, [0.5] * len(places), "truth", "limit", "not determined above"),
            ],
            "",
            "relative",
            "A mass is determined where its error stays below the dotted line.",
            y_scale="log",
            categories=names,
        ),
        "Weakest directions of the parameters": Curve(
            [
                Line(
                    places,
                    weakest[k].tolist(),
                    group=f"direction {k + 1}",
                    label=f"shows by {float(sizes[-1 - k]):.2g} of the rest",
                )
                for k in range(len(weakest))
            ],
            "",
            "share of each mass",
            "Changes of the masses, in units of their own size, that the data see least.",
            categories=names,
        ),
    }
