"""What `Significance` asks of one held-out graph."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from simlearn import Evidence, Simulator, Topology, Trajectory
from simlearn.analysis.significance import (
    Draw,
    Members,
    Significance,
    benjamini_hochberg,
    box_of,
    doubt,
    family_of,
    relative_spread,
    resampled,
    rolled,
    significance,
)

FAMILY = 39  # graphs that REL compares with, those of the training among them


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
    if asked.rollouts:
        tests = _rolled(asked, simulator, held_out, evidence)
    else:
        tests = [(*_spread_out(held_out, asked.states), pool)]
    whole = _tested(asked, members, topology, tests, evidence.seed)
    family = family_of(evidence.training, FAMILY, evidence.seed)
    spread = relative_spread(members, topology, family, pool, seed=evidence.seed, states=4)
    states = torch.cat([x for _, x, _ in tests])
    box = box_of(simulator, evidence.training)
    outside = torch.stack([box.outside(x, topology) for x in states])
    # many states are tested: some p are low by chance
    tested = replace(whole, p=benjamini_hochberg(whole.p))
    return OnGraph(
        torch.cat([t for t, _, _ in tests]),
        whole.p,
        float(whole.rejected_nodes.double().mean()),
        spread.rel,
        spread.spread,
        spread.family,
        float(outside.mean()),
        doubt(tested, spread, outside, asked.rel).sentences,
    )


def attached(topology: Topology) -> tuple[object, ...]:
    """What tells a graph, with all that is attached to it, from others."""
    held = (topology.edge_attr, topology.node_attr, topology.node_type, topology.system_attr)
    return topology.graph.key, *(None if one is None else str(one.tolist()) for one in held)


def _tested(
    asked: Asked,
    members: Members,
    topology: Topology,
    tests: Sequence[tuple[Tensor, Tensor, Draw]],
    seed: int,
) -> Significance:
    """Tests of states on one graph, one after the other."""
    half = max(2, asked.draws // 2)
    found = [
        significance(
            members,
            topology,
            x,
            draw,
            reference=half,
            null=asked.draws,
            seed=seed + k,
            level=asked.level,
        )
        for k, (_, x, draw) in enumerate(tests)
    ]
    return Significance(
        torch.cat([one.p for one in found]),
        torch.cat([one.p_mean for one in found]),
        torch.cat([one.p_top for one in found]),
        torch.cat([one.mean for one in found]),
        torch.cat([one.top for one in found]),
        torch.cat([one.z for one in found]),
        torch.cat([one.node_p for one in found]),
        torch.cat([one.node_q for one in found]),
        found[0].level,
    )


def _spread_out(held_out: Sequence[Trajectory], count: int) -> tuple[Tensor, Tensor]:
    """Times since the start and states, evenly over trajectories and times."""
    t = torch.cat([one.t - one.t[0] for one in held_out])
    x = torch.cat([one.x for one in held_out])
    chosen = _places(len(x), count)
    return t[chosen], x[chosen]


def _places(of: int, count: int, single: float = 0.0) -> Tensor:
    """So many places of a list, evenly; one alone stands at a share of its length."""
    if count == 1:
        return torch.tensor([round(single * (of - 1))])
    return torch.linspace(0, of - 1, min(count, of)).round().long()


def _rolled(
    asked: Asked, simulator: Simulator, held_out: Sequence[Trajectory], evidence: Evidence
) -> list[tuple[Tensor, Tensor, Draw]]:
    """For each trajectory times, states, and rollouts to compare them with, time by time."""
    starts = torch.cat([one.x[0] for one in evidence.training])
    each, tests = max(1, asked.states // len(held_out)), []
    some = held_out[: asked.states]
    for number, one in enumerate(some, start=1):
        steps = ((one.t - one.t[0]) / simulator.dt).round().long()
        near = (one.t - one.t[0] - steps * simulator.dt).abs() < 1e-3 * simulator.dt
        usable = (near & (steps <= asked.horizon)).nonzero()[:, 0]
        usable = usable[_places(len(usable), each, number / len(some))]
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
