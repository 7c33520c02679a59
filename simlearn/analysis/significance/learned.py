"""What the tests compare, taken from simulators and the trajectories they were trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from simlearn.analysis.significance.family import rewired
from simlearn.analysis.significance.inputs import Box
from simlearn.analysis.significance.spread import Members
from simlearn.component import ConfigError
from simlearn.dynamics import Ensemble
from simlearn.randomness import generator
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory

BOXED = 500  # training states whose range is taken


def members_of(simulator: Simulator, siblings: Sequence[Simulator] = ()) -> Members | None:
    """What every member says of dx/dt (of a map: of its step); None where there is one only.

    Args:
        simulator: Of an `Ensemble`, or one of sister models.
        siblings: Its sisters: the same description, trained from other seeds.

    Raises:
        ConfigError: A sister has other columns.
    """
    field = simulator.dynamics
    if isinstance(field, Ensemble):
        return lambda x, topology: field.members(0.0, x, topology)
    if not siblings:
        return None
    sisters = [simulator, *siblings]
    for one in siblings:
        if one.dynamics.dim != field.dim:
            raise ConfigError(
                f"A sister has {one.dynamics.dim} columns, the simulator {field.dim}. Sisters are "
                "trained from one config with other seeds."
            )
    return lambda x, topology: torch.stack([_slope(one, x, topology) for one in sisters])


def family_of(training: Sequence[Trajectory], count: int, seed: int = 0) -> list[Topology]:
    """Graphs of the training, and where they are few, others of the same degrees (`rewired`).

    Args:
        training: Trajectories; a graph that several of them share counts once.
        count: Graphs that are wanted.
        seed: Of the choice among more graphs, and of the links drawn anew.
    """
    graphs = list({one.topology.graph.key: one.topology for one in training}.values())
    chosen = torch.randperm(len(graphs), generator=generator(seed, 2))[:count]
    family = [graphs[k] for k in chosen.tolist()]
    alone = [one for one in graphs if one.num_systems == 1]
    for number, one in enumerate(alone):
        missing = -(-(count - len(family)) // (len(alone) - number))
        if missing:
            family += rewired(one, missing, seed + number)
    return family


def box_of(simulator: Simulator, training: Sequence[Trajectory]) -> Box:
    """The range of what networks saw in training: the state, and what an `Ensemble` says beside."""
    field: Any = simulator.dynamics
    every = max(1, sum(one.steps for one in training) // BOXED)
    states = [(x, one.topology) for one in training for x in one.x]

    def seen(x: Tensor, topology: Topology) -> Tensor:
        return field.seen(x, topology) if isinstance(field, Ensemble) else x[None]

    return Box.of(seen, states[::every])


def _slope(one: Simulator, x: Tensor, topology: Topology) -> Tensor:
    real = next((p.dtype for p in one.parameters()), x.dtype)
    if one.integrator is None:
        return (one.dynamics(0.0, x.to(real), one.dt, topology) - x).to(x.dtype)
    return one.dynamics(0.0, x.to(real), topology).to(x.dtype)
