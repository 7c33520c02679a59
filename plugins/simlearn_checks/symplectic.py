"""Is a step a symplectic map?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

import simlearn
from simlearn import Curve, Evidence, Finding, Line, Metric, Simulator, Topology
from simlearn.analysis.flat import Motion, doubled
from simlearn.analysis.jacobian import jacobian, push
from simlearn.analysis.symplectic import canonical, defect, mispairing
from simlearn.dynamics import HamiltonianField, Map, SplitField
from simlearn_checks import causes, remedies
from simlearn_checks.common import positive, since
from simlearn_checks.noise import DIGIT, between_halves
from simlearn_checks.tangent import Setting, met_at, rough, setting, smooth

LOOKS = 50  # at the growth along an orbit
ROOM = 1e6  # growth between the largest and the smallest direction, beyond which rounding rules
PAIRED = "growth, |ln σ_i σ_n+1-i| over some steps"
REMEDIES = (
    "Give an implicit scheme a smaller tolerance.",
    "A state of (q, v) needs the masses as weights of the form (`form`).",
)
MEANING = (
    "a symplectic step keeps phase-space volume and, for a small step, an energy near the true "
    "one, over any length of time: no friction and no heating that nobody put in. It says nothing "
    "of whether the energy was learned rightly."
)


class SymplecticDefect(simlearn.Check):
    """One step keeps the symplectic form: Jᵀ Ω J = Ω at states of the evidence.

    Ω is the field's own form Σ w_i dq_i ∧ dp_i; J and Ω are taken where it is the plain one
    (rows times √|w_i|), so the defect has no unit. Growth over many steps is told by the singular
    values of the product of all J: σ_i σ_n+1−i = 1. That pairing holds at any time, while exponents
    by QR have it only as 1 / t. Steps of plain Runge-Kutta schemes are not symplectic, however
    small. A scheme that carries a copy of the state (Tao) is symplectic on state and copy together,
    and looked at there: both copies count with the field's form.

    Args:
        limit: Largest allowed entry of Jᵀ Ω J − Ω.
        pairing: Largest allowed |ln σ_i σ_n+1−i| over ``steps`` steps.
        steps: Steps over which growth is paired; fewer where it exceeds 1e6, for rounding.
        states: Held-out states at which the step is looked at.
    """

    def __init__(
        self, limit: float = 1e-10, pairing: float = 1e-7, steps: int = 100, states: int = 32
    ):
        positive(limit=limit, pairing=pairing, steps=steps, states=states)
        self.limit, self.pairing, self.steps, self.states = limit, pairing, steps, states

    @classmethod
    def examples(cls) -> list[SymplecticDefect]:
        """Forty steps."""
        return [cls(steps=40, states=4)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Differentiate a step and compare."""
        where = setting(evidence, self.states)
        weights = form_weights(simulator, where.topology)
        if weights is None or where.x.shape[1] % 2:
            kind = type(simulator.dynamics).__name__
            return Finding.not_applicable(f"{kind} claims no symplectic form.")
        plain, (where, copied, note) = where, _with_copy(simulator, where, weights)
        motion = _motion(simulator, where)
        trusted = smooth(motion, where, evidence.seed)
        if not trusted.passed:
            return rough(trusted, motion, where, MEANING)
        each = _defects(simulator, where, copied)
        worst = float(each.max())
        grown = pairing(simulator, plain, weights, self.steps)
        lost = _lost(motion, where, simulator.dt, self.steps)
        metrics = [
            trusted,
            Metric("share of orbits that stop being finite", lost, 0.0),
            Metric("largest entry of JᵀΩJ − Ω", worst, self.limit, noise=between_halves(each)),
            Metric(PAIRED, grown.worst, self.pairing, noise=grown.rounding),
        ]
        good = worst <= self.limit and grown.worst <= self.pairing
        blown = f" {lost:.0%} of the orbits stop being finite on the way." if lost else ""
        return Finding.of(
            metrics,
            f"A step {'keeps' if good else 'does not keep'} the symplectic form: largest defect "
            f"{worst:.2g} at {len(each)} states; growth and decay pair to {grown.worst:.2g} over "
            f"{grown.steps} steps.{blown}{note}",
            {"Growth and decay": _fan(grown, since(evidence))},
            remedies.ranked(remedies.symplectic(simulator), REMEDIES),
            meaning=MEANING,
            worst=met_at(evidence, plain.x[int(each.argmax())]),
            causes=() if good else causes.told(causes.unsymplectic(simulator, evidence))[0],
        )


def _extended(simulator: Simulator) -> bool:
    return simulator.integrator is not None and simulator.integrator.extended


def _with_copy(
    simulator: Simulator, where: Setting, weights: Tensor
) -> tuple[Setting, Tensor, str]:
    """Anchors and weights of state and copy together, where there is a copy, and a word on it."""
    if not _extended(simulator):
        return where, weights, ""
    both = replace(where, x=where.x.repeat(1, 2), scale=where.scale.repeat(2))
    scheme = type(simulator.integrator).__name__
    return both, weights.repeat(2), f" That is of state and copy together, as {scheme} moves them."


def _motion(simulator: Simulator, where: Setting) -> Motion:
    """A step at the anchors, with the copy where there is one."""
    return doubled(simulator, where.topologies) if _extended(simulator) else where.motion(simulator)


def _defects(simulator: Simulator, where: Setting, weights: Tensor) -> Tensor:
    """The largest entry of JᵀΩJ − Ω at every anchor."""
    found = []
    for part in where.parts():
        plain, x, form = canonical(_motion(simulator, part), part.x, weights)
        j = jacobian(lambda y, plain=plain, t=part.t0: plain(y, t), x)  # type: ignore[misc]
        found.append(defect(j, form))
    return torch.cat(found)


@torch.no_grad()
def _lost(motion: Motion, where: Setting, dt: float, steps: int) -> float:
    """The share of anchors whose orbit is no number after so many steps."""
    x = where.x
    for k in range(steps):
        x = motion(x, where.t0 + k * dt)
    return float((~x.isfinite().all(1)).double().mean())


def form_weights(simulator: Simulator, topology: Topology) -> Tensor | None:
    """The weight of each row in the form, ``[rows]``; None where no form is claimed."""
    field = simulator.dynamics
    if isinstance(field, Map) and field.symplectic:
        return torch.ones(topology.rows, dtype=torch.float64)
    if not isinstance(field, HamiltonianField | SplitField):
        return None
    return field.form(topology).detach().double()


@dataclass(frozen=True)
class Growth:
    """How growth and decay pair along orbits.

    Attributes:
        worst: Largest |ln σ_i σ_n+1−i| met.
        steps: Over how many steps.
        t: ``[looks]`` times.
        logs: ``[looks, n]`` ln σ_i of the first orbit.
        rounding: What rounding may make of the worst: a last digit of the largest σ, over the
            smallest.
    """

    worst: float
    steps: int
    t: list[float]
    logs: Tensor
    rounding: float = 0.0


def pairing(simulator: Simulator, where: Setting, weights: Tensor, steps: int) -> Growth:
    """Singular values of the product of all Jacobians, and how far they are from pairing.

    Where the scheme moves a copy beside the state, of both together. It stops early where the
    largest growth leaves too few digits of the smallest.
    """
    where, weights, _ = _with_copy(simulator, where, weights)
    found = [_paired(simulator, part, weights, steps) for part in where.parts()]
    worst, least = max(one.worst for one in found), min(one.steps for one in found)
    rounding = max(one.rounding for one in found)
    return replace(found[0], worst=worst, steps=least, rounding=rounding)


def _paired(simulator: Simulator, where: Setting, weights: Tensor, steps: int) -> Growth:
    """The same of as many anchors as fit into memory."""
    plain, x, _ = canonical(_motion(simulator, where), where.x, weights)
    dt = simulator.dt
    product = torch.eye(x.shape[1], dtype=x.dtype).repeat(len(x), 1, 1)
    worst, look, done, wide = 0.0, max(1, steps // LOOKS), 0, 0.0
    times, seen = [0.0], [torch.zeros(x.shape[1], dtype=x.dtype)]
    while done < steps:
        t = where.t0 + done * dt
        x, product = push(lambda y, t=t: plain(y, t), x, product)  # type: ignore[misc]
        done += 1
        if done % look and done < steps:
            continue
        if not bool(product.isfinite().all()):
            worst = math.inf
            break
        logs = _logs(product)
        apart = float((logs[:, 0] - logs[:, -1]).max())
        if done > look and apart > math.log(ROOM):
            break
        wide = max(wide, apart)
        worst = max(worst, float(mispairing(product).max()))
        times.append(done * dt)
        seen.append(logs[0])
    return Growth(worst, done, times, torch.stack(seen), DIGIT * math.exp(wide))


def _logs(product: Tensor) -> Tensor:
    """Logarithms of the singular values, ``[anchors, n]``."""
    return torch.linalg.svdvals(product).clamp_min(1e-300).log()


def _fan(grown: Growth, label: str) -> Curve:
    """The largest and smallest singular values, and the smallest mirrored."""
    times, logs, lines = grown.t, grown.logs, []
    n = logs.shape[1]
    for k in range(min(4, n // 2)):
        name = f"pair {k + 1}"
        lines.append(Line(times, logs[:, k].tolist(), "judged", name, "growth"))
        mirrored = (-logs[:, n - 1 - k]).tolist()
        lines.append(Line(times, mirrored, "truth", name, "decay, mirrored"))
    caption = "Each growing direction has one that decays as fast: both lines of a pair are one."
    return Curve(lines, label, "ln σ", caption)
