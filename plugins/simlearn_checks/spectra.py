"""What every spectrum of exponents obeys, and how it is drawn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import Curve, Line, Metric, Place, Simulator
from simlearn.analysis import growth
from simlearn.analysis.growth import Spectrum
from simlearn.analysis.symplectic import divergence
from simlearn.dynamics import HamiltonianField, SplitField, VectorField
from simlearn_checks.common import per
from simlearn_checks.starts import spread
from simlearn_checks.symplectic import form_weights, pairing
from simlearn_checks.tangent import Setting

DRAWN = 4  # exponents whose convergence is drawn
TOLD = 6  # exponents that get a line of their own
PAIRED = 50  # steps after which the pairing of a Hamiltonian field is looked at


@dataclass(frozen=True)
class Wanted:
    """Exponents that are expected.

    Attributes:
        exponents: ``[k]``, largest first.
        source: Where they come from, in words.
        found: What was computed from the truth, along orbits from the same starts.
    """

    exponents: Tensor
    source: str
    found: Spectrum | None = None


def structure(
    found: Spectrum, simulator: Simulator, where: Setting, transient: int
) -> list[Metric]:
    """What holds for exponents of any value: dimension, sum rule, pairing."""
    rules: list[Metric] = []
    n, field = where.x.shape[1], simulator.dynamics
    whole = len(found.exponents) == n
    if whole or found.sum < 0:
        rules.append(Metric("Kaplan-Yorke dimension", growth.kaplan_yorke(found.exponents)))
    if whole:
        rules.append(Metric("sum of all exponents", found.sum, unit="1/time"))
        if isinstance(field, VectorField):
            rules.append(_sum_rule(found, simulator, where, transient))
    if whole and isinstance(field, HamiltonianField | SplitField):
        weights = form_weights(simulator, where.topology)
        assert weights is not None
        grown = pairing(simulator, where, weights, PAIRED)
        title = f"pairing of growth over {grown.steps} steps, |ln σ_i σ_n+1-i|"
        rules.append(Metric(title, grown.worst))
    return rules


def _sum_rule(found: Spectrum, simulator: Simulator, where: Setting, transient: int) -> Metric:
    """Sum of the exponents less the mean divergence of the field along the orbits."""
    where = where.some(found.lost < 0)
    motion, slope, x = where.motion(simulator), where.slope(simulator.dynamics), where.x
    seen, steps = [], round(found.time / simulator.dt)
    looks = {transient + k for k in spread(steps, 64)}
    with torch.no_grad():
        for k in range(transient + steps):
            t = where.t0 + k * simulator.dt
            if k in looks:
                seen.append(divergence(slope, x, t).mean())
            x = motion(x, t)
    mean = torch.stack(seen)
    noise = float(mean.std() / math.sqrt(len(mean))) if len(mean) > 1 else 0.0
    return Metric("sum less mean divergence", found.sum - float(mean.mean()), noise=noise)


def curves(found: Spectrum, wanted: Wanted | None, unit: str) -> dict[str, Curve]:
    """The exponents, and how their means converge."""
    names = [str(k + 1) for k in range(len(found.exponents))]
    x = [float(k) for k in range(len(names))]
    label = f"exponent{per('1/' + unit if unit else '1/time')}"
    mine = Line(x, found.exponents.tolist(), label="this simulator", error=found.errors.tolist())
    lines = [mine]
    if wanted is not None:
        lines.insert(0, Line(x, wanted.exponents.tolist(), "truth", label=wanted.source))
    caption = "Largest first, with standard errors."
    spectrum = Curve(lines, "number", label, caption, categories=names)
    return {"Lyapunov exponents": spectrum, "Convergence": _convergence(found, wanted, unit, label)}


def _convergence(found: Spectrum, wanted: Wanted | None, unit: str, label: str) -> Curve:
    """Means over longer and longer parts of the orbits."""
    blocks = found.blocks[:, found.lost < 0]
    times = (found.time * (torch.arange(len(blocks)) + 1) / len(blocks)).tolist()
    lines = []
    size = 3 * float(found.exponents[0].abs()) + 3 / found.time  # others would flatten these
    near = [k for k, value in enumerate(found.exponents.abs().tolist()) if value <= size]
    for k in near[:DRAWN]:
        parts = [blocks[: end + 1, :, k].mean(0) for end in range(len(blocks))]
        means = [float(part.mean()) for part in parts]
        spreads = [float(part.std()) if len(part) > 1 else 0.0 for part in parts]
        unit_error = float(found.errors[k]) / spreads[-1] if spreads[-1] else 0.0
        errors = [unit_error * one for one in spreads]
        name = f"exponent {k + 1}"
        lines.append(Line(times, means, "judged", name, "this simulator", errors))
        if wanted is not None:
            level = [float(wanted.exponents[k])] * 2
            ends = [times[0], times[-1]]
            lines.append(Line(ends, level, "truth", name, wanted.source))
    caption = "Means over the orbits so far, with standard errors; they should settle on the lines."
    return Curve(lines, f"time after the transient{per(unit)}", label, caption)


def told(found: Spectrum) -> list[Metric]:
    """The first exponents with their errors."""
    pairs = zip(found.exponents.tolist(), found.errors.tolist(), strict=True)
    lines = [
        Metric(f"exponent {k + 1}", value, unit="1/time", noise=error)
        for k, (value, error) in enumerate(pairs)
        if k < TOLD
    ]
    nearest = float(found.exponents.abs().min())
    return [*lines, Metric("exponent nearest to zero", nearest, unit="1/time")]


def words(found: Spectrum, wanted: Wanted | None) -> str:
    """The finding in words."""
    first, error = float(found.exponents[0]), float(found.errors[0])
    text = f"The largest exponent is {first:.4g} ± {error:.2g} per unit of time"
    if wanted is not None:
        text += f" ({wanted.source}: {float(wanted.exponents[0]):.4g})"
    if first > 3 / found.time:
        text += f": errors grow e-fold in {1 / first:.3g}"
    nearest = float(found.exponents.abs().min())
    text += f". The one nearest to zero is {nearest:.2g} (3 / t is {3 / found.time:.2g})."
    if len(found.exponents) > 1:
        text += f" Together they are {found.sum:.5g}."
    return text


def lost_orbits(found: Spectrum) -> str:
    """How many orbits were lost, in words."""
    lost = found.lost[found.lost >= 0]
    return (
        f"{len(lost)} of {len(found.lost)} orbits left the region of the data, or the numbers, the "
        f"first at step {int(lost.min())}."
    )


def first_lost(found: Spectrum) -> Place:
    """Where the first orbit was lost."""
    return Place(step=int(found.lost[found.lost >= 0].min()))
