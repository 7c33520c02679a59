"""What was measured of a simulator in the directions without data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from simlearn import Evidence, Simulator, inputs_for
from simlearn.analysis import directions, growth, jacobian
from simlearn.analysis.flat import Motion, states
from simlearn.analysis.local import LocalNormals
from simlearn_checks.unlearnable.case import Frame, Points, drawn, starts_of, step_of

STARTS = 4  # held-out rollouts whose distance from the data is watched
MOST = 32  # directions whose dependence on the seed is measured
SAMPLES = 5000  # training states that local normals search


@dataclass(frozen=True)
class Outside:
    """Growth off the data.

    Attributes:
        exponents: Transverse ones, ``[m]``, 1/time.
        errors: Their standard errors.
        lost: Share of the orbits that left every bound.
        normal: N ``[n, m]`` without exact symmetries; None in local mode.
        symmetric: How many directions are exact nulls by symmetry.
        blocks: Of one step at the anchors; None in local mode.
        leak: Error off the data added by one step, in units of the spread; None if unknown.
        dimension: Of the set of data, in local mode.
    """

    exponents: Tensor
    errors: Tensor
    lost: float
    normal: Tensor | None
    symmetric: int
    blocks: directions.Blocks | None
    leak: float | None
    dimension: int | None = None

    @property
    def largest(self) -> tuple[float, float]:
        """The largest exponent and its standard error."""
        worst = int(self.exponents.argmax())
        return float(self.exponents[worst]), float(self.errors[worst])


@dataclass(frozen=True)
class Clamp:
    """Free rollouts beside ones clamped to the data.

    Attributes:
        t: ``[steps + 1]``.
        free: Distance of free rollouts from the span of the data, worst start, ``[steps + 1]``.
        clamped_error: Error of clamped rollouts against the truth at the end, mean over starts.
        free_error: The same of free ones.
        observed: First step at which a free rollout was ``tolerance`` off; infinite if none.
    """

    t: Tensor
    free: Tensor
    clamped_error: float
    free_error: float
    observed: float


@dataclass(frozen=True)
class Memory:
    """How much of the draw of the weights is left, direction by direction.

    Attributes:
        ratio: r_i ``[k]``.
        models: Trained models compared.
        index: Which directions of the energy, ``[k]``; empty where they are those of N.
        exponents: Largest transverse exponent of each sibling.
    """

    ratio: Tensor
    models: int
    index: list[int] = field(default_factory=list)
    exponents: list[float] = field(default_factory=list)


def outside(
    step: Motion,
    frame: Frame,
    points: Points,
    fresh: list[Motion],
    horizon: int,
    dt: float,
    seed: int,
) -> Outside:
    """Transverse exponents along the data, one step's blocks, and the leak."""
    symmetric, normal = directions.by_symmetry(fresh, points.z, frame.normal)
    if not normal.shape[1]:
        none, lost = torch.zeros(0, dtype=torch.float64), _lost(step, points, horizon, dt)
        return Outside(none, none, lost, normal, symmetric.shape[1], None, None)
    found = growth.spectrum(
        step,
        points.z,
        horizon,
        dt=dt,
        t0=points.t,
        normal=normal,
        transient=horizon // 2,
        follow=frame.onto_data,
        bound=_bound(points),
        seed=seed,
    )
    kept = torch.cat([frame.data, symmetric], dim=1)
    # all of J costs n tangent vectors; of a large graph only what leaves N is looked at
    blocks = directions.blocks(step, points.z, kept[:, : 4 * MOST], normal, points.t)
    leak = None
    if points.ahead is not None:
        leak = directions.leak(step, points.z, points.ahead, normal, points.t)
    return _outside(found, normal, symmetric.shape[1], blocks, leak)


def curved(
    step: Motion,
    points: Points,
    samples: Tensor,
    neighbours: int,
    horizon: int,
    dt: float,
    seed: int,
) -> tuple[Outside, LocalNormals]:
    """The same for data on a curved set, with normals from the nearest samples."""
    local = LocalNormals(samples[:: max(1, len(samples) // SAMPLES)], neighbours)
    if local.dimension >= samples.shape[1]:
        none, lost = torch.zeros(0, dtype=torch.float64), _lost(step, points, horizon, dt)
        return Outside(none, none, lost, None, 0, None, None, local.dimension), local

    def onto_data(z: Tensor) -> Tensor:
        near, tangent = local.nearest(z)[1], local.tangents(z)
        return near + torch.einsum("anr,amr,am->an", tangent, tangent, z - near)

    found = growth.spectrum(
        step,
        points.z,
        horizon,
        dt=dt,
        t0=points.t,
        normal=local,
        transient=horizon // 2,
        follow=onto_data,
        bound=_bound(points),
        seed=seed,
    )
    leak = None
    if points.ahead is not None:
        leak = directions.leak(step, points.z, points.ahead, local(points.ahead), points.t)
    told = _outside(found, None, 0, None, leak, local.dimension)
    return told, local


def _outside(
    found: growth.Spectrum,
    normal: Tensor | None,
    symmetric: int,
    blocks: directions.Blocks | None,
    leak: float | None,
    dimension: int | None = None,
) -> Outside:
    lost = float((found.lost >= 0).double().mean())
    exponents = found.exponents if not lost else torch.full_like(found.exponents, torch.nan)
    return Outside(exponents, found.errors, lost, normal, symmetric, blocks, leak, dimension)


def _lost(step: Motion, points: Points, horizon: int, dt: float) -> float:
    """Share of free rollouts that leave every bound, where there is no direction to follow."""
    orbit = directions.rolled(step, points.z, horizon, dt=dt, t0=points.t)
    largest = orbit.abs().amax((0, 2)).nan_to_num(torch.inf)
    return float((largest > _bound(points)).double().mean())


def _bound(points: Points) -> float:
    return 1e3 * float(points.z.abs().max() + 1)


def clamp(
    simulator: Simulator,
    evidence: Evidence,
    frame: Frame,
    normal: Tensor,
    horizon: int,
    tolerance: float,
) -> Clamp | None:
    """Held-out rollouts, free and clamped, as long as the data; None where they cannot be told."""
    gaps: list[tuple[Tensor, Tensor, Tensor]] = []
    for one in starts_of(evidence, STARTS):
        if inputs_for(one.slice(0, 1), 0, simulator.dt) is not None:
            return None  # each step would have its own input; the exponents say enough
        step = step_of(simulator, one.topology, frame.scale)
        z0, t0 = states(one)[0] / frame.scale, float(one.t[0].min())
        truth = states(one)[:, 0] / frame.scale
        steps = horizon
        free = directions.rolled(step, z0, steps, dt=simulator.dt, t0=t0)[:, 0]
        held = directions.rolled(
            step, z0, steps, dt=simulator.dt, t0=t0, data=frame.data, mean=frame.mean
        )[:, 0]
        shared = _shared(one.t, simulator.dt, steps)
        gaps.append(
            (
                directions.off_data(free, normal, frame.mean),
                _error(free, truth, shared),
                _error(held, truth, shared),
            )
        )
    if not gaps:
        return None
    off = torch.stack([gap[0] for gap in gaps], 1)
    told = [torch.stack([gap[k] for gap in gaps]).mean() for k in (1, 2)]
    return Clamp(
        simulator.dt * torch.arange(len(off), dtype=torch.float64),
        torch.where(off.isfinite(), off, torch.inf).amax(1),
        float(told[1]),
        float(told[0]),
        float(directions.escaped(off, tolerance).min()),
    )


def _shared(t: Tensor, dt: float, steps: int) -> int:
    """The last step at which the data, sampled every dt, still tell the truth; 0 if they do not."""
    gaps = t.diff(dim=0)
    even = t.ndim == 1 and bool(((gaps - dt).abs() <= 1e-4 * dt).all())
    return min(steps, len(t) - 1) if even else 0


def _error(orbit: Tensor, truth: Tensor, last: int) -> Tensor:
    return (orbit[last] - truth[last]).norm()


def memory(
    simulator: Simulator,
    evidence: Evidence,
    frame: Frame,
    points: Points,
    normal: Tensor,
    horizon: int,
) -> Memory | None:
    """r_i from the siblings, and their own exponents; None where there are none."""
    fresh = drawn(simulator, evidence.seed)
    if not evidence.siblings or not fresh:
        return None
    small = frame.data.shape[0] <= MOST and not frame.local
    asked = frame.energy.directions if small else normal[:, :MOST]
    trained = [simulator, *evidence.siblings]
    answers = [
        torch.stack(
            [
                directions.response(
                    step_of(one, points.topology, frame.scale), points.z, asked, points.t
                )
                for one in models
            ]
        )
        for models in (trained, fresh)
    ]
    exponents = []
    if normal.shape[1]:
        for one in evidence.siblings:
            found = growth.spectrum(
                step_of(one, points.topology, frame.scale),
                points.z,
                horizon,
                dt=simulator.dt,
                t0=points.t,
                normal=normal,
                transient=horizon // 2,
                follow=frame.onto_data,
                bound=_bound(points),
                seed=evidence.seed,
            )
            exponents.append(float(found.exponents.max()))
    index = list(range(asked.shape[1])) if small else []
    return Memory(directions.sensitivity(*answers), len(trained), index, exponents)


def self_check(step: Motion, points: Points, seed: int) -> float:
    """How far forward mode is from central differences, at three anchors."""
    few = points.z.clone()
    return jacobian.defect(lambda z: step(z, points.t), few, seed)


def predicted(outside: Outside, dt: float, tolerance: float) -> float:
    """The step at which errors off the data should reach the tolerance; infinite if never."""
    if outside.leak is None or not outside.exponents.numel() or outside.lost:
        return math.inf
    return directions.escape_step(
        math.exp(min(700.0, outside.largest[0] * dt)), outside.leak, tolerance
    )
