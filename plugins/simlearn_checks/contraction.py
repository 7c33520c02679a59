"""Does a simulator forget where it began?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

import simlearn
from simlearn import (
    ConfigError,
    Curve,
    Dynamics,
    Evidence,
    Finding,
    Line,
    Metric,
    Remedy,
    Simulator,
    inputs_for,
)
from simlearn.analysis import contraction
from simlearn.analysis.flat import Motion
from simlearn.analysis.jacobian import jacobian
from simlearn.dynamics import Map, VectorField
from simlearn_checks.batch import together
from simlearn_checks.common import positive, since
from simlearn_checks.noise import between_halves
from simlearn_checks.tangent import Setting, gathered, met_at, rough, setting, smooth

ROUNDING = 1e-12  # of the largest rate
DRAWN = 200  # steps of the rollout that is drawn
REMEDIES = (
    "Give a metric P in which the system contracts: P = Q⁻ᵀ Q⁻¹ of the eigenvectors Q at rest, for "
    "instance.",
    Remedy(
        "Take dynamics that contract by construction (ContractingField).",
        "dynamics",
        "ContractingField",
    ),
    Remedy("Penalise growth while training (LogNormBound).", "stabilizer", "LogNormBound"),
)
MEANING = (
    "where neighbours draw together everywhere, a disturbance dies out and errors of every step "
    "stay bounded by error over rate. This is evidence, not proof: it was looked at some states, "
    "and between them, or outside the region of the data, anything may be. A rate that is missed "
    "at some states does not mean instability, only that growth for a while is possible."
)


class Contraction(simlearn.Check):
    """Neighbours draw together at a rate, at every state of the evidence that is looked at.

    For a field the largest logarithmic norm μ_P(∂f/∂x) may be at most −rate, for a map
    ln ‖∂F/∂x‖_P / dt (Lohmiller and Slotine 1998). Evidence, not proof. Each state is looked at
    with its own time and control input. For a field, the norm of one step is told, too: a step that
    is too large undoes contraction.

    Args:
        rate: Rate at which neighbours have to draw together, 1/time; 0 asks that they do not part.
        metric: P, a symmetric and positive definite matrix, for the whole state or for one row of
            it; the Euclidean metric by default.
        states: Held-out states that are looked at.
    """

    def __init__(
        self,
        rate: float = 0.0,
        metric: Sequence[Sequence[float]] | None = None,
        states: int = 256,
    ):
        positive(states=states)
        if not (rate >= 0 and math.isfinite(rate)):
            raise ConfigError(
                f"rate is the rate of decay, zero or positive, got {rate}. For decay like "
                "exp(−0.5 t) write 0.5."
            )
        if metric is not None:
            _refuse(metric)
        self.rate, self.metric, self.states = rate, metric, states

    @classmethod
    def examples(cls) -> list[Contraction]:
        """Euclidean, and with a metric for two columns."""
        return [cls(states=8), cls(rate=0.1, metric=[[2.0, 0.5], [0.5, 1.0]], states=8)]

    def run(self, simulator: Simulator, evidence: Evidence) -> Finding:
        """Differentiate at every state and take norms."""
        where = setting(evidence, self.states)
        metric = self._metric(where)
        motion = where.motion(simulator)
        trusted = smooth(motion, where, evidence.seed)
        if not trusted.passed:
            return rough(trusted, motion, where, MEANING)
        rates = _rates(simulator, where, metric)
        limit = ROUNDING * float(rates.abs().max()) - self.rate
        worst, good = float(rates.max()), float((rates <= limit).double().mean())
        metrics = [
            trusted,
            Metric("largest rate of growth", worst, limit, "max", "1/time", between_halves(rates)),
            Metric("median rate of growth", float(rates.median()), unit="1/time"),
            Metric("share of states that contract as fast", good),
        ]
        if isinstance(simulator.dynamics, VectorField):
            grown = _steps(simulator, where, metric)
            name, apart = "largest rate of growth of a step", between_halves(grown)
            metrics.append(Metric(name, float(grown.max()), unit="1/time", noise=apart))
        verb = "contracts" if worst <= limit else "does not contract everywhere"
        return Finding.of(
            metrics,
            f"The simulator {verb} (evidence, not proof: {len(rates)} states were looked at): "
            f"the largest rate of growth is {worst:.3g}, asked for {0.0 - self.rate:.3g}; "
            f"{good:.0%} of the states meet it.",
            {"Contraction along a rollout": self._curve(simulator, metric, evidence)},
            REMEDIES,
            meaning=MEANING,
            worst=met_at(evidence, where.x[int(rates.argmax())]),
        )

    def _metric(self, where: Setting) -> Tensor | None:
        """P for the whole state.

        Raises:
            ConfigError: It fits neither the state nor a row of it.
        """
        if self.metric is None:
            return None
        given = torch.tensor([list(row) for row in self.metric], dtype=torch.float64)
        n, rows = where.x.shape[1], where.topology.rows
        if len(given) == n:
            return given
        if len(given) * rows == n:
            return torch.kron(torch.eye(rows, dtype=torch.float64), given)
        raise ConfigError(
            f"The metric is {len(given)} × {len(given)}, the state has {n} components, "
            f"{n // rows} in a row."
        )

    def _curve(self, simulator: Simulator, metric: Tensor | None, evidence: Evidence) -> Curve:
        """Rates along a rollout of the simulator, and of the truth along the data."""
        seen = _rolled(simulator, evidence)
        times = (seen.t - seen.t[:1]).tolist()
        mine = _rates(simulator, seen, metric).tolist()
        lines = [Line(times, mine, label="this simulator")]
        asked = [-self.rate] * 2
        lines.append(Line([0.0, times[-1] or 1.0], asked, "reference", label="asked for"))
        true = evidence.truth
        if isinstance(true, VectorField) and not isinstance(simulator.dynamics, Map):
            data = gathered([evidence.start().slice(0, DRAWN + 1)], 1)
            since_start = (data.t - data.t[0]).tolist()
            rates = _log_norms(true, data, metric).tolist()
            lines.append(Line(since_start, rates, "truth", label="truth along the data"))
        caption = "Below the line neighbours draw together as fast as asked for."
        return Curve(lines, since(evidence), "rate of growth", caption)


def _refuse(metric: Sequence[Sequence[float]]) -> None:
    """Refuse what is no metric."""
    if not metric or any(len(row) != len(metric) for row in metric):
        raise ConfigError(f"The metric must be a square matrix, got {[list(r) for r in metric]}.")
    given = torch.tensor([list(row) for row in metric], dtype=torch.float64)
    values = torch.linalg.eigvalsh(given) if bool(given.isfinite().all()) else given.flatten()
    if not torch.allclose(given, given.T) or not float(values.min()) > 1e-12 * float(values.max()):
        raise ConfigError(
            f"The metric must be symmetric and positive definite, got {given.tolist()}."
        )


def _rates(simulator: Simulator, where: Setting, metric: Tensor | None) -> Tensor:
    """The rate of growth at every anchor, of a field, or of a map per time."""
    if isinstance(simulator.dynamics, Map):
        return _steps(simulator, where, metric)
    return _log_norms(simulator.dynamics, where, metric)


def _steps(simulator: Simulator, where: Setting, metric: Tensor | None) -> Tensor:
    """How fast neighbours part in a step."""
    found = []
    for part in where.parts():
        motion = part.motion(simulator)
        found.append(contraction.norm(_jacobian(motion, part), metric).log() / simulator.dt)
    return torch.cat(found)


def _log_norms(field: Dynamics, where: Setting, metric: Tensor | None) -> Tensor:
    return torch.cat(
        [contraction.log_norm(_jacobian(part.slope(field), part), metric) for part in where.parts()]
    )


def _jacobian(motion: Motion, where: Setting) -> Tensor:
    return jacobian(lambda y: motion(y, where.t0), where.x)


def _rolled(simulator: Simulator, evidence: Evidence) -> Setting:
    """A rollout from the first held-out start; shorter where inputs end or numbers do."""
    first, count, inputs = evidence.start(), DRAWN + 1, None
    start = gathered([first.slice(0, 1)], 1)
    if first.inputs is not None:
        lasts = float(first.t[-1].min()) - float(start.t[0])
        count = max(1, min(count, math.ceil(lasts / simulator.dt - 1e-6)))
        acting = inputs_for(first, count, simulator.dt)
        assert acting is not None
        inputs = acting[:, : start.topology.rows]
    flock = together(simulator, [first], count - 1)
    x = flock.systems()[:, 0]
    sound = x.isfinite().all(1)
    t = start.t + flock.t
    return replace(start, x=x, t=t, inputs=inputs).some(sound)
