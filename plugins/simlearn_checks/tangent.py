"""What the checks of growth share: anchors, the truth with a step that is fine, a self-check."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simlearn import (
    DataError,
    Dynamics,
    Evidence,
    Finding,
    Metric,
    Place,
    Simulator,
    Topology,
    Trajectory,
)
from simlearn.analysis import flat
from simlearn.analysis.flat import Motion
from simlearn.analysis.jacobian import SMOOTH, defect
from simlearn.dynamics import Map
from simlearn.integrators import RK4
from simlearn_checks.starts import spread

FINE = 1e-5  # of the spread of the data, a step of the truth is wrong by at most
NUMBERS = 500_000  # that the Jacobians of one group of anchors may hold
LEFT = 5.0  # times the largest component of the data, where an orbit is lost
ATTRIBUTES = ("edge_attr", "node_attr", "node_type", "system_attr")
REPAIR = (
    "Look for .detach(), .item(), torch.no_grad, changes in place and edge lists that are rebuilt "
    "in the forward pass, and take smooth activations (tanh, softplus).",
)


@dataclass(frozen=True)
class Setting:
    """States of the evidence at which a simulator is looked at, each with its time and input.

    Attributes:
        topology: Of one system, without its control inputs.
        x: ``[anchors, n]``.
        scale: ``[n]`` standard deviation of each component in the evidence.
        t: ``[anchors]``, when each state was met.
        inputs: ``[anchors, rows, u]``, what acts on each; None where nothing does.
    """

    topology: Topology
    x: Tensor
    scale: Tensor
    t: Tensor
    inputs: Tensor | None = None

    @property
    def t0(self) -> float | Tensor:
        """The time of every row, ``[anchors · rows, 1]``; a number where all are alike."""
        if bool((self.t == self.t[0]).all()):
            return float(self.t[0])
        return self.t.repeat_interleave(self.topology.rows)[:, None]

    @property
    def topologies(self) -> Topology:
        """Of all anchors where inputs tell them apart, else of one."""
        if self.inputs is None:
            return self.topology
        return self.topology.repeat(len(self.x)).replace(inputs=self.inputs.flatten(0, 1))

    def motion(self, simulator: Simulator) -> Motion:
        """One step of a simulator on flat states, of all anchors."""
        return flat.stepper(simulator, self.topologies)

    def slope(self, field: Dynamics) -> Motion:
        """The field on flat states, of all anchors."""
        return flat.slopes(field, self.topologies)

    def some(self, which: Tensor | slice) -> Setting:
        """Some of the anchors."""
        inputs = None if self.inputs is None else self.inputs[which]
        return replace(self, x=self.x[which], t=self.t[which], inputs=inputs)

    def parts(self) -> Iterator[Setting]:
        """The anchors in groups whose Jacobians fit into memory."""
        size = max(1, NUMBERS // self.x.shape[1] ** 2)
        for first in range(0, len(self.x), size):
            yield self.some(slice(first, first + size))


def setting(evidence: Evidence, anchors: int) -> Setting:
    """Held-out states, spread evenly over the trajectories like the first one.

    Raises:
        DataError: There are none, or several graphs are drawn as one.
    """
    first = evidence.start()
    alike = [one for one in evidence.held_out if _alike(one.topology, first.topology)]
    every = gathered(alike)
    scale = every.x.std(0) if len(every.x) > 1 else torch.ones_like(every.x[0])
    chosen = torch.tensor(spread(len(every.x), anchors))
    return replace(every.some(chosen), scale=_floored(scale))


def met_at(evidence: Evidence, x: Tensor) -> Place:
    """Where a held-out state ``[n]`` was met."""
    for number, one in enumerate(evidence.held_out):
        found = flat.states(one)
        if found.shape[-1] == len(x) and bool((same := (found == x).all(-1)).any()):
            step, system = divmod(int(same.flatten().int().argmax()), same.shape[1])
            t = one.t if one.t.ndim == 1 else one.t[:, system]
            return Place(number, time=float(t[step]))
    return Place()


def gathered(several: Sequence[Trajectory], systems: int | None = None) -> Setting:
    """All states of trajectories with one topology, or those of so many systems of each.

    Raises:
        DataError: Several graphs are drawn as one, or only some are driven by inputs.
    """
    if len({one.inputs is None for one in several}) > 1:
        raise DataError("Some held-out trajectories carry control inputs and some do not.")
    topology = _single(several[0])
    x = torch.cat([flat.states(one)[:, :systems].flatten(0, 1) for one in several])
    times = [one.t if one.t.ndim > 1 else one.t[:, None] for one in several]
    each = [
        t.expand(-1, one.topology.num_systems)[:, :systems]
        for t, one in zip(times, several, strict=True)
    ]
    t = torch.cat([part.flatten() for part in each]).to(x)
    acting = [_inputs(one)[:, :systems].flatten(0, 1) for one in several if one.inputs is not None]
    bare = topology.replace(inputs=None)
    return Setting(bare, x, torch.ones_like(x[0]), t, torch.cat(acting) if acting else None)


def _inputs(one: Trajectory) -> Tensor:
    """What acts on each state, ``[steps, systems, rows, u]``; on the last what acted before."""
    assert one.inputs is not None
    acting = one.inputs.clone()
    acting[-1] = acting[max(0, one.steps - 2)]
    systems = one.topology.num_systems
    return acting.reshape(one.steps, systems, -1, acting.shape[-1])


def _floored(scale: Tensor) -> Tensor:
    largest = float(scale.max())
    return scale.clamp_min(1e-3 * largest if largest > 0 else 1.0)


def _single(one: Trajectory) -> Topology:
    topology = one.topology
    if topology.num_systems == 1:
        return topology
    if topology.one_row_each and all(getattr(topology, name) is None for name in ATTRIBUTES):
        return Topology.isolated(1)
    raise DataError(
        f"The check needs one system a trajectory, the held-out one holds {topology.num_systems}. "
        "Split the systems first."
    )


def _alike(a: Topology, b: Topology) -> bool:
    """Whether two topologies are the same one, value by value."""
    if a is b:
        return True
    if a.rows != b.rows or a.num_systems != b.num_systems:
        return False
    pairs = [(a.graph.edge_index, b.graph.edge_index), (a.system, b.system)]
    pairs += [(getattr(a, name), getattr(b, name)) for name in ATTRIBUTES]
    return all(_equal(one, two) for one, two in pairs)


def _equal(one: Tensor | None, two: Tensor | None) -> bool:
    return one is two if one is None or two is None else torch.equal(one, two)


def smooth(motion: Motion, where: Setting, seed: int) -> Metric:
    """How far the derivatives of a motion are from differences of it, as a metric with a limit."""
    moved = flat.scaled(motion, where.scale)
    try:
        found = defect(lambda z: moved(z, where.t0), where.x / where.scale, seed)
    except RuntimeError:  # an operation without forward mode
        found = float("inf")
    return Metric("relative defect of the Jacobian", found, SMOOTH)


def rough(metric: Metric, motion: Motion, where: Setting, meaning: str) -> Finding:
    """The finding where no Jacobian can be trusted."""
    with torch.no_grad():
        lost = not bool(motion(where.x, where.t0).isfinite().all())
    why = (
        "The simulator answers held-out states with numbers that are none."
        if lost
        else "The simulator has detached operations, in-place state or kinks: its derivatives are "
        f"off by {metric.value:.1e} of what differences show, so nothing can be said of growth."
    )
    return Finding.of([metric], why, {}, REPAIR, meaning=meaning)


def true_simulator(simulator: Simulator, evidence: Evidence, where: Setting) -> Simulator | None:
    """The truth, with RK4 and a step that divides the simulator's and is fine enough.

    Raises:
        DataError: The truth leaves the numbers within a step.
    """
    if evidence.truth is None:
        return None
    truth = copy.deepcopy(evidence.truth).double().requires_grad_(False)
    if isinstance(truth, Map):
        return Simulator(truth, None, simulator.dt)
    fine = Simulator(truth, RK4(), simulator.dt)
    before, count = _reached(fine, 1, where), 1
    while True:
        after = _reached(fine.with_step(simulator.dt / (2 * count)), 2 * count, where)
        error = float(((after - before) / where.scale).abs().max())
        if error <= FINE or count >= 64:
            break
        count, before = 2 * count, after
    if not error < 1:
        raise DataError("The truth cannot be followed over a step of the simulator by RK4.")
    return fine.with_step(simulator.dt / count)


@torch.no_grad()
def _reached(model: Simulator, count: int, where: Setting) -> Tensor:
    """Where so many steps lead from the anchors."""
    motion, x = where.motion(model), where.x
    for k in range(count):
        x = motion(x, where.t0 + k * model.dt)
    return x


def ratio(fine: Simulator, coarse: Simulator) -> int:
    """Steps of the finer one in a step of the other."""
    return max(1, round(coarse.dt / fine.dt))
