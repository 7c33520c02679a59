"""What the checks of growth share: anchors, the truth with a step that is fine, a self-check."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import DataError, Evidence, Finding, Metric, Simulator, Topology, Trajectory
from simlearn.analysis import flat
from simlearn.analysis.flat import Motion
from simlearn.analysis.jacobian import SMOOTH, defect
from simlearn.dynamics import Map
from simlearn.integrators import RK4
from simlearn_checks.batch import spread

FINE = 1e-5  # of the spread of the data, a step of the truth is wrong by at most
LEFT = 5.0  # times the largest component of the data, where an orbit is lost
ATTRIBUTES = ("edge_attr", "node_attr", "node_type", "system_attr")
REPAIR = (
    "Look for .detach(), .item(), torch.no_grad, changes in place and edge lists that are rebuilt "
    "in the forward pass, and take smooth activations (tanh, softplus).",
)


@dataclass(frozen=True)
class Setting:
    """States of the evidence at which a simulator is looked at.

    Attributes:
        topology: Of one system.
        x: ``[anchors, n]``.
        scale: ``[n]`` standard deviation of each component in the evidence.
        t0: When the evidence begins.
    """

    topology: Topology
    x: Tensor
    scale: Tensor
    t0: float

    def motion(self, simulator: Simulator) -> Motion:
        """One step of a simulator on flat states."""
        return flat.stepper(simulator, self.topology)


def setting(evidence: Evidence, anchors: int) -> Setting:
    """Held-out states, spread evenly over the trajectories like the first one.

    Raises:
        DataError: There are none, or several graphs are drawn as one.
    """
    first = evidence.start()
    topology = _single(first)
    alike = [one for one in evidence.held_out if _alike(one.topology, first.topology)]
    seen = torch.cat([flat.states(one).flatten(0, 1) for one in alike])
    if first.inputs is not None:
        topology = topology.replace(inputs=first.inputs[0, : topology.rows])
    x = seen[spread(len(seen), anchors)]
    scale = seen.std(0) if len(seen) > 1 else torch.ones_like(seen[0])
    return Setting(topology, x, _floored(scale), float(first.t[0].min()))


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
    try:
        found = defect(flat.scaled(motion, where.scale), where.x / where.scale, seed)
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
