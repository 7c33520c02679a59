"""How far a forecast may be trusted: the significance test of an ensemble, along the forecast."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from simlearn.analysis.significance import (
    Doubt,
    Draw,
    Members,
    RelativeSpread,
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
from simlearn.component import ConfigError, DataError
from simlearn.dynamics import Ensemble
from simlearn.forecasting.course import Begin, Course
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory

Null = Literal["states", "rollouts"]
FAMILY = 19  # graphs of the training family that REL compares with
STATES = 4  # drawn on each of them
SINGLE = 2  # states up to which a trajectory has no order in time to speak of
REL = 2.0  # above which a graph counts as unlike those of the training


@dataclass(frozen=True)
class Question:
    """What is tested, and against what.

    Args:
        training: Trajectories of the training.
        siblings: The same model from other seeds, where the simulator is no ensemble itself.
        null: "states" compares with states whose nodes are drawn one by one from all states of the
            training; "rollouts" with rollouts on this very graph, whose first states are drawn from
            the first states of the training, time by time. The first is right for data without an
            order in time, and the cheaper by far; the second is exact along trajectories. None
            takes the second where the training has trajectories.
        draws: States (or rollouts) that p is ranked among; 199 (or 99) where None. Half as many
            measure each node.
        level: α, of tests and of false discoveries.
        seed: Of all draws.
    """

    training: Sequence[Trajectory]
    siblings: Sequence[Simulator] = ()
    null: Null | None = None
    draws: int | None = None
    level: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.null not in (None, "states", "rollouts"):
            raise ConfigError(f"null is states or rollouts, got {self.null!r}.")
        if self.null is None:
            alone = all(one.steps <= SINGLE for one in self.training)
            object.__setattr__(self, "null", "states" if alone else "rollouts")
        if self.draws is None:
            object.__setattr__(self, "draws", 199 if self.null == "states" else 99)
        if not 0 < self.level < 1:
            raise ConfigError(f"level is a probability between 0 and 1, got {self.level}.")


@dataclass(frozen=True, eq=False)
class Trust:
    """What the tests say of a forecast.

    Attributes:
        t: ``[S]``: times of the states that were tested.
        significance: Of these states.
        q: ``[S]``, its p adjusted for the number of states: doubt follows from it.
        spread: REL of the graph.
        doubt: Which kind of doubt it is, in words.
        members: How many fields were compared.
        test: What was asked for.
    """

    t: Tensor
    significance: Significance
    q: Tensor
    spread: RelativeSpread
    doubt: Doubt
    members: int
    question: Question


def judged(
    simulator: Simulator,
    members: Members,
    probes: Trajectory,
    steps: Sequence[int],
    question: Question,
    told: Callable[[int, int], None] | None,
) -> Trust:
    """Test some states of a forecast.

    Args:
        simulator: What was rolled out.
        members: What every member says.
        probes: The states to be tested.
        steps: How many steps after the start each of them is.
        question: What is asked.
        told: Hears how many of how many draws are done.

    Raises:
        DataError: The training data have other columns.
    """
    if any(one.dim != probes.dim for one in question.training):
        raise DataError("The training data have other columns than the forecast.")
    assert question.draws is not None  # set where it is made
    topology = probes.topology
    pool = resampled(torch.cat([complete(one) for one in question.training]).to(probes.x))
    draw = pool if question.null == "states" else _paths(simulator, probes, steps, question)
    found = significance(
        members,
        topology,
        probes.x,
        draw,
        reference=max(2, question.draws // 2),
        null=question.draws,
        seed=question.seed,
        level=question.level,
        progress=told,
    )
    spread = relative_spread(
        members,
        topology,
        _family(question, topology),
        pool,
        seed=question.seed,
        states=STATES,
    )
    count = len(members(probes.x[0], topology))
    q = benjamini_hochberg(found.p.double())  # many times are tested: some are low by chance
    said = doubt(replace(found, p=q), spread, _inputs(simulator, probes, question), REL)
    return Trust(probes.t, found, q, spread, said, count, question)


def complete(one: Trajectory) -> Tensor:
    """Complete states of the nodes, ``[samples, dim]``."""
    x = one.x[: one.finite_steps]
    return x.flatten(0, 1) if one.mask is None else x[one.mask[: one.finite_steps]]


def _paths(
    simulator: Simulator, probes: Trajectory, steps: Sequence[int], question: Question
) -> Draw:
    """Rollouts on the graph of the forecast, at the times of its states."""
    firsts = torch.cat([complete(one.slice(0, 1)) for one in question.training]).to(probes.x)
    wanted, every = set(steps), math.gcd(*steps) or 1

    def roll(x: Tensor) -> Tensor:
        begin = Begin(x, probes.topology, float(probes.t[0].min()))
        course, found = Course(simulator, begin, max(steps), every, None), []
        for k, one in enumerate(one for piece in course for one in piece.part.x):
            if k * every in wanted:
                found.append(one)
        # a rollout that is lost stays where it was seen last
        return torch.stack(found + [course.last] * (len(steps) - len(found)))

    return rolled(firsts, roll)


def _family(question: Question, topology: Topology) -> list[Topology]:
    """Graphs like those of the training, in the precision of the forecast."""
    graphs = family_of(question.training, FAMILY, question.seed)
    real = topology.edge_attr
    return [one if real is None else one.to("cpu", real.dtype) for one in graphs]


def _inputs(simulator: Simulator, probes: Trajectory, question: Question) -> Tensor | None:
    """Share of members whose networks see at a node what none saw in training, ``[S, rows]``.

    None where they see nothing but the state, of which the alarms tell.
    """
    field = simulator.dynamics
    if not (isinstance(field, Ensemble) and field.watches):
        return None
    real = probes.x.dtype
    box = box_of(simulator, [one.to("cpu", real) for one in question.training])
    return torch.stack([box.outside(x, probes.topology) for x in probes.x])
