"""What `Significance` asks of one held-out graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import Evidence, Simulator, Topology, Trajectory
from simlearn.analysis.significance import (
    Box,
    Draw,
    Members,
    doubt,
    relative_spread,
    resampled,
    rewired,
    rolled,
    significance,
)
from simlearn.dynamics import Ensemble, Map

FAMILY = 39  # graphs that REL compares with, those of the training among them
BOXED = 500  # training states whose range is taken


@dataclass(frozen=True)
class Asked:
    """What is asked of each graph.

    Attributes:
        rollouts: Whether the null are rollouts.
        states: States tested.
        draws: Null draws.
        level: α.
        rel: Largest REL.
        horizon: Steps after the start that are tested at most, with rollouts.
    """

    rollouts: bool
    states: int
    draws: int
    level: float
    rel: float
    horizon: int


@dataclass
class OnGraph:
    """What was found on one graph.

    Attributes:
        t: Time of each state since its start.
        p: Of each state.
        nodes: Share of the nodes that were rejected, over states.
        rel: REL of the graph.
        spread: Of members over dx/dt here.
        family: The same on graphs like those of the training.
        exit: Share of nodes with inputs out of the training range, over states and members.
        said: The doubts in words.
    """

    t: Tensor
    p: Tensor
    nodes: float
    rel: float
    spread: float
    family: Tensor
    exit: float
    said: tuple[str, ...]


def members_of(simulator: Simulator, siblings: Sequence[Simulator]) -> Members | str:
    """What all members say; or why there are none to compare."""
    if isinstance(simulator.dynamics, Map):
        return "Significance compares what members say of dx/dt, and a map says nothing of it."
    ensemble = simulator.dynamics
    if isinstance(ensemble, Ensemble):
        return lambda x, topology: ensemble.members(0.0, x, topology)
    fields = [simulator.dynamics, *(one.dynamics for one in siblings)]
    if len(fields) < 2:
        return (
            "Significance compares the members of an ensemble, and this is one simulator. Train "
            "an Ensemble, or sister seeds (simlearn fit --seeds 5) and give them with --sibling."
        )
    return lambda x, topology: torch.stack([one(0.0, x, topology) for one in fields])


def examine(
    asked: Asked,
    simulator: Simulator,
    members: Members,
    held_out: Sequence[Trajectory],
    evidence: Evidence,
) -> OnGraph:
    """Test states of trajectories on one graph, the graph, and the inputs of networks."""
    topology = held_out[0].topology
    pool = resampled(torch.cat([one.x.flatten(0, 1) for one in evidence.training]))
    tests = _rolled(asked, simulator, held_out, evidence) if asked.rollouts else None
    if tests is None:
        tests = [(*_spread_out(held_out, asked.states), pool)]
    found = [
        significance(
            members,
            topology,
            x,
            draw,
            reference=max(2, asked.draws // 2),
            null=asked.draws,
            seed=evidence.seed + k,
            level=asked.level,
        )
        for k, (_, x, draw) in enumerate(tests)
    ]
    spread = relative_spread(
        members, topology, _family(evidence), pool, seed=evidence.seed, states=4
    )
    states = torch.cat([x for _, x, _ in tests])
    box = _box(simulator, evidence)
    outside = torch.stack([box.outside(x, topology) for x in states])
    worst = min(found, key=lambda one: float(one.p.min()))
    return OnGraph(
        torch.cat([t for t, _, _ in tests]),
        torch.cat([one.p for one in found]),
        float(torch.cat([one.rejected_nodes for one in found]).double().mean()),
        spread.rel,
        spread.spread,
        spread.family,
        float(outside.mean()),
        doubt(worst, spread, outside, asked.rel).sentences,
    )


def _spread_out(held_out: Sequence[Trajectory], count: int) -> tuple[Tensor, Tensor]:
    """Times since the start and states, evenly over trajectories and times."""
    t = torch.cat([one.t - one.t[0] for one in held_out])
    x = torch.cat([one.x for one in held_out])
    chosen = torch.linspace(0, len(x) - 1, min(count, len(x))).round().long()
    return t[chosen], x[chosen]


def _rolled(
    asked: Asked, simulator: Simulator, held_out: Sequence[Trajectory], evidence: Evidence
) -> list[tuple[Tensor, Tensor, Draw]]:
    """For each trajectory times, states, and rollouts to compare them with, time by time."""
    starts = torch.cat([one.x[0] for one in evidence.training])
    each, tests = max(1, asked.states // len(held_out)), []
    for one in held_out[: asked.states]:
        steps = ((one.t - one.t[0]) / simulator.dt).round().long()
        near = (one.t - one.t[0] - steps * simulator.dt).abs() < 1e-3 * simulator.dt
        usable = (near & (steps <= asked.horizon)).nonzero()[:, 0]
        if each < len(usable):
            usable = usable[torch.linspace(0, len(usable) - 1, each).round().long()]
        draw = paths(simulator, one.topology, starts, steps[usable].tolist())
        tests.append((one.t[usable] - one.t[0], one.x[usable], draw))
    return tests


def paths(simulator: Simulator, topology: Topology, starts: Tensor, steps: Sequence[int]) -> Draw:
    """Rollouts on a graph, at some steps after the start; NaN where they were lost."""
    last, every = max(steps), math.gcd(*steps) or 1
    index = torch.tensor([step // every for step in steps])

    def roll(x: Tensor) -> Tensor:
        many, rows, dim = x.shape
        with torch.no_grad():
            found = simulator.rollout(
                x.reshape(-1, dim), last, topology.repeat(many), every=every
            ).x
        whole = x.new_full((last // every + 1, many * rows, dim), torch.nan)
        whole[: len(found)] = found
        return whole[index].unflatten(1, (many, rows)).movedim(1, 0)

    return rolled(starts, lambda x: roll(x[None])[0], roll)


def _family(evidence: Evidence) -> list[Topology]:
    """Graphs of the training, and others of the same degrees."""
    graphs = list({one.topology.graph.key: one.topology for one in evidence.training}.values())
    family = graphs[:FAMILY]
    for k, one in enumerate(family[: FAMILY - len(family)]):
        share = -(-(FAMILY - len(family)) // (len(graphs) - k))
        family = family + rewired(one, share, evidence.seed + k)
    return family


def _box(simulator: Simulator, evidence: Evidence) -> Box:
    """The range of what networks saw in training; of the state alone where they do not tell."""
    field, every = simulator.dynamics, max(1, sum(o.steps for o in evidence.training) // BOXED)
    states = [(x, one.topology) for one in evidence.training for x in one.x]

    def seen(x: Tensor, topology: Topology) -> Tensor:
        return field.seen(x, topology) if isinstance(field, Ensemble) else x[None]

    return Box.of(seen, states[::every])
