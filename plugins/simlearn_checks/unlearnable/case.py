"""What is asked of a simulator: its steps in scaled coordinates, and where to ask."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import DataError, Simulator, Topology, Trajectory
from simlearn.analysis import graphs
from simlearn.analysis.energy import Energy, Kind, energy
from simlearn.analysis.flat import Motion, scaled, stepper
from simlearn.analysis.subspace import looks_at_whole, subspace

Time = float | Tensor

LOCAL_INPUTS = 20_000  # that are looked at, of all edges at all samples
LARGEST = 4000  # columns of a state whose undetermined directions can be computed


@dataclass(frozen=True)
class Frame:
    """Directions with data and without, orthonormal in scaled coordinates of one system.

    Attributes:
        energy: Of the centred data: of whole systems, or of local inputs.
        kinds: Of each direction of the energy.
        local: Whether the energy is that of local inputs of a graph.
        data: S ``[n, r]``.
        normal: N ``[n, m]``.
        scale: ``[n]``.
        mean: ``[n]`` in scaled coordinates.
        samples: Independent samples that were looked at.
    """

    energy: Energy
    kinds: list[Kind]
    local: bool
    data: Tensor
    normal: Tensor
    scale: Tensor
    mean: Tensor
    samples: int

    def onto_data(self, z: Tensor) -> Tensor:
        """The nearest state in the span of the data."""
        return self.mean + (z - self.mean) @ self.data @ self.data.mT


@dataclass(frozen=True)
class Points:
    """States of the training data at which the simulator is asked.

    Attributes:
        z: ``[anchors, n]``, scaled.
        ahead: The true states one step later; None where the data have another interval.
        topology: One system for each anchor, or one for all.
        t: Time of each row, ``[anchors · rows, 1]``.
        inputs: Control inputs from each anchor on, ``[steps, anchors · rows, u]``, begun anew where
            the data end.
    """

    z: Tensor
    ahead: Tensor | None
    topology: Topology
    t: Tensor
    inputs: Tensor | None = None


def frame_of(
    simulator: Simulator,
    training: Sequence[Trajectory],
    noise: float,
    training_time: float | None,
    tolerance: float,
) -> Frame:
    """Where the training data live.

    Raises:
        DataError: There are none, they never move, or the graph is too large.
    """
    one = _same(training)
    several = one.topology.rows_each != 1
    if several and not looks_at_whole(simulator.dynamics):
        return _of_graph(one.topology, training, noise)
    found = subspace(
        training,
        several,
        noise=noise,
        training_time=training_time,
        tolerance=tolerance,
    )
    e = found.energy
    return Frame(
        e, found.kinds, False, found.data, found.normal, e.scale, e.mean / e.scale, e.samples
    )


def _same(training: Sequence[Trajectory]) -> Trajectory:
    if not training:
        raise DataError(
            "UnlearnableDirections asks what the training data never taught, and there are none. "
            "Give the file the simulator was trained on with --training-data."
        )
    one = training[0]
    if any(other.topology.rows_each != one.topology.rows_each for other in training):
        raise DataError(
            "The training data hold systems of different sizes; ask about one size at a time."
        )
    if one.topology.num_systems > 1 and not one.topology.one_row_each:
        raise DataError("Give trajectories of one system each, not a union of graphs.")
    return one


def _of_graph(topology: Topology, training: Sequence[Trajectory], noise: float) -> Frame:
    """The frame of a field that shares its weights over rows and edges."""
    dim, rows = training[0].dim, topology.rows
    states = torch.cat([one.x.reshape(-1, dim) for one in training])
    scale = energy(states, centred=True).scale
    edges = max(1, topology.graph.edge_index.shape[1])
    total = sum(one.steps for one in training)
    every = max(1, math.ceil(total * edges / LOCAL_INPUTS))
    seen = torch.cat([graphs.local_inputs(one.x[::every], one.topology) for one in training])
    ends = seen.shape[1] // dim
    found = energy(seen, centred=True, scale=scale.repeat(ends), noise=noise)
    kinds = found.kinds()
    null = found.basis(kinds, "null")
    n = rows * dim
    if not null.shape[1]:
        data, normal = torch.eye(n, dtype=torch.float64), torch.zeros(n, 0, dtype=torch.float64)
    elif n > LARGEST:
        raise DataError(
            f"The local inputs lack {null.shape[1]} directions, and the state has {n} columns: "
            f"which of its directions they reach is only worked out up to {LARGEST}."
        )
    else:
        data, normal = graphs.undetermined(null, topology, dim)
    middle = torch.cat([one.x.reshape(one.steps, -1) for one in training]).mean(0)
    wide = scale.repeat(rows)
    return Frame(found, kinds, True, data, normal, wide, middle / wide, total)


def points_of(training: Sequence[Trajectory], count: int, dt: float, scale: Tensor) -> Points:
    """Anchors spread evenly over all training states that have a next one."""
    places = [
        (one, k, s)
        for one in training
        for k in range(max(1, one.steps - 1))
        for s in range(one.topology.num_systems)
    ]
    chosen = [places[round(i * (len(places) - 1) / max(1, count - 1))] for i in range(count)]
    if len(places) <= count:
        chosen = places
    z = torch.stack([_system(one, k, s) for one, k, s in chosen]) / scale
    stepped = all(one.steps > k + 1 and _gap(one, k, s, dt) for one, k, s in chosen)
    ahead = torch.stack([_system(o, k + 1, s) for o, k, s in chosen]) / scale if stepped else None
    topology = _topology(chosen)
    rows = len(scale) // training[0].dim
    t = torch.stack([_time(one, k, s) for one, k, s in chosen]).repeat_interleave(rows)
    return Points(z, ahead, topology, t[:, None].to(z), _inputs(chosen))


Place = tuple[Trajectory, int, int]


def _inputs(chosen: Sequence[Place]) -> Tensor | None:
    """What acts on each anchor from its place on; the last of the recorded inputs acts no more."""
    if chosen[0][0].inputs is None:
        return None
    length = max(one.steps - 1 for one, _, _ in chosen)
    found = []
    for one, k, s in chosen:
        assert one.inputs is not None
        order = (k + torch.arange(length)) % max(1, one.steps - 1)
        found.append(one.inputs[order][:, one.topology.system == s])
    return torch.cat(found, dim=1).double()


def _system(one: Trajectory, k: int, s: int) -> Tensor:
    return one.x[k].reshape(one.topology.num_systems, -1)[s].double()


def _time(one: Trajectory, k: int, s: int) -> Tensor:
    return one.t[k] if one.t.ndim == 1 else one.t[k, s]


def _gap(one: Trajectory, k: int, s: int, dt: float) -> bool:
    return abs(float(_time(one, k + 1, s) - _time(one, k, s)) - dt) <= 1e-4 * dt


def _topology(chosen: Sequence[Place]) -> Topology:
    """One system for each anchor; one for all where nothing tells them apart."""
    first = chosen[0][0].topology
    driven = chosen[0][0].inputs is not None
    attributes = ("system_attr", "node_attr", "node_type", "edge_attr")
    plain = all(getattr(one.topology, a) is None for one, _, _ in chosen for a in attributes)
    if not driven and first.num_systems == 1 and all(one.topology is first for one, _, _ in chosen):
        return first
    if not driven and plain and first.one_row_each:
        return Topology.isolated(1)
    return Topology.union([_single(one, k, s) for one, k, s in chosen])


def _single(one: Trajectory, k: int, s: int) -> Topology:
    topology = one.topology
    if one.inputs is not None:
        topology = topology.replace(inputs=one.inputs[min(k, one.steps - 2)])
    if topology.num_systems == 1:
        return topology
    kept = {
        name: None if value is None else value[s : s + 1]
        for name, value in (
            ("inputs", topology.inputs),
            ("system_attr", topology.system_attr),
            ("node_attr", topology.node_attr),
            ("node_type", topology.node_type),
        )
    }
    return Topology.isolated(1).replace(**kept, node_names=topology.node_names)


def step_at(simulator: Simulator, points: Points, scale: Tensor) -> Motion:
    """One step from the anchors in scaled coordinates, under the inputs of that time."""
    inputs, begin, dt = points.inputs, float(points.t[0, 0]), simulator.dt
    if inputs is None:
        return step_of(simulator, points.topology, scale)

    def step(z: Tensor, t: Time = 0.0) -> Tensor:
        now = float(t.flatten()[0]) if isinstance(t, Tensor) else t
        acting = points.topology.replace(inputs=inputs[round((now - begin) / dt) % len(inputs)])
        rows = (z * scale).reshape(acting.rows, -1)
        return simulator.step(rows, acting, t).reshape(z.shape) / scale

    return step


def step_of(simulator: Simulator, topology: Topology, scale: Tensor) -> Motion:
    """One step in scaled coordinates."""
    return scaled(stepper(simulator, topology), scale)
