"""What is asked of starts."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from simlearn.component import SimlearnError, describe
from simlearn.dynamics.base import Dynamics
from simlearn.dynamics.energy import SeparableEnergy
from simlearn.dynamics.neural import MLPField
from simlearn.dynamics.pairforce import PairForce
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory
from simlearn.testing.cases import SEED, examples, normal, simulator_of
from simlearn.testing.fields import TrialSpring
from simlearn.training.start import Solution, Start

NAMES = ("star", "near", "far")
STEPS, DT = 40, 0.1
Case = tuple[Simulator, list[Trajectory]]


def _drawn(truth: Dynamics, x: Tensor, topology: Topology) -> Trajectory:
    """A rollout of the truth with its derivative."""
    rolled = simulator_of(truth.double(), DT).rollout(x, STEPS, topology)
    slopes = torch.stack([truth(0.0, state, topology) for state in rolled.x])
    return replace(rolled, derivative=slopes)


def _spring(make: Callable[[], Dynamics]) -> Case:
    """Unlearned dynamics and four springs of different amplitude."""
    x = torch.tensor([[0.5, 0.0], [1.0, 0.1], [1.5, -0.2], [2.0, 0.3]], dtype=torch.float64)
    truth = TrialSpring().requires_grad_(False)
    tracks = [_drawn(truth, one[None], Topology.isolated(1)) for one in x]
    return simulator_of(make().double(), DT), tracks


def _bodies() -> Case:
    """An unlearned force between pairs and three bodies that pull at one another."""

    def make() -> PairForce:
        return PairForce(NAMES, terms=4, r_min=0.5, r_max=4.0)

    truth = make().double().requires_grad_(False)
    truth.load({"mass": torch.ones(3), "weights": -torch.ones(4)})
    topology, size = Topology.complete(3, NAMES), torch.tensor([2.0, 2.0, 0.1, 0.1])
    tracks = [_drawn(truth, normal(3, 4, seed=SEED + k) * size, topology) for k in range(3)]
    return simulator_of(make().double(), DT), tracks


CASES: tuple[Callable[[], Case], ...] = (
    functools.partial(_spring, lambda: SeparableEnergy(dim=2, width=4)),
    functools.partial(_spring, lambda: MLPField(dim=2, width=4)),
    _bodies,
)


def learner(make: Callable[[], Case]) -> Case:
    """A case with weights that are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return make()


@dataclass(frozen=True)
class Solved:
    """What a start made of a case.

    Attributes:
        one: The start.
        make: Makes the same unlearned case again.
        before: Description and weights of the dynamics before.
        simulator: The simulator afterwards.
        training: The data.
        solution: What it said.
        clean: Whether it left data and global generator as they were.
    """

    one: Start
    make: Callable[[], Case]
    before: tuple[Any, dict[str, Tensor]]
    simulator: Simulator
    training: list[Trajectory]
    solution: Solution
    clean: tuple[bool, bool]


def _solve(one: Start, make: Callable[[], Case]) -> Solved:
    simulator, training = learner(make)
    before, state = _state(simulator.dynamics), torch.random.get_rng_state()
    data = [track.x.clone() for track in training]
    solution = one.solve(simulator, training)
    kept = all(torch.equal(old, new.x) for old, new in zip(data, training, strict=True))
    quiet = torch.equal(state, torch.random.get_rng_state())
    return Solved(one, make, before, simulator, training, solution, (kept, quiet))


def _state(dynamics: Dynamics) -> tuple[Any, dict[str, Tensor]]:
    return describe(dynamics), {k: v.clone() for k, v in dynamics.state_dict().items()}


def _same(left: tuple[Any, dict[str, Tensor]], right: tuple[Any, dict[str, Tensor]]) -> bool:
    (told, weights), (again, others) = left, right
    return (
        told == again
        and weights.keys() == others.keys()
        and all(torch.equal(value, others[name]) for name, value in weights.items())
    )


@functools.cache
def _accepted(cls: type[Start]) -> list[Solved]:
    """The cases that the start does not refuse, solved once for all aspects."""
    import pytest

    found, refusals = [], []
    for one in examples(cls):
        for make in CASES:
            try:
                found.append(_solve(one, make))
            except SimlearnError as refusal:
                refusals.append(str(refusal))
    if not found:
        pytest.skip(f"it accepts none of the core's dynamics: {refusals[0]}")
    return found


def solve_leaves_dynamics_that_step(cls: type[Start]) -> None:
    """Something is learned, weights and steps are finite, and only who `replaces` may replace."""
    found = _accepted(cls)
    for one in found:
        told, weights = _state(one.simulator.dynamics)
        replaced = told != one.before[0]
        assert cls.replaces or not replaced, (
            f"it put {told['class_path']} in place of the dynamics and does not say `replaces`"
        )
        for name, value in weights.items():
            assert value.isfinite().all(), f"{name} is not finite after solve"
        for track in one.training:
            after = one.simulator.step(track.x[0], track.topology)
            assert after.isfinite().all(), "the simulator does not step after solve"
    changed = [not _same(one.before, _state(one.simulator.dynamics)) for one in found]
    assert any(changed), "solve changed no weight in any case it accepted"


def solve_is_a_pure_function(cls: type[Start]) -> None:
    """The same dynamics and data give the same dynamics, to 1e-8; the data stay as they are.

    Not bit for bit: solvers of linear algebra round as their memory happens to lie.
    """
    for one in _accepted(cls):
        again = _solve(one.one, one.make)
        assert one.clean[0], "solve changed the data in place"
        first, second = one.simulator, again.simulator
        told = describe(first.dynamics)
        assert describe(second.dynamics) == told, "solved twice, with two kinds of result"
        for track in one.training:
            far = (moved(first, track) - moved(second, track)).abs().max()
            assert far <= 1e-8 * moved(first, track).abs().max(), "solved twice, with two results"
        assert one.solution.record.keys() == again.solution.record.keys()
        assert one.solution.estimates.keys() == again.solution.estimates.keys()


def moved(simulator: Simulator, track: Trajectory) -> Tensor:
    """How far a step moves each state of a trajectory, ``[steps, rows, dim]``."""
    with torch.no_grad():
        return torch.stack([simulator.step(x, track.topology) - x for x in track.x])


def solving_leaves_the_global_rng_alone(cls: type[Start]) -> None:
    """`solve` draws nothing from the global generator."""
    for one in _accepted(cls):
        assert one.clean[1], "solve drew from the global generator; give the start a seed"


def restore_gives_what_solve_found(cls: type[Start]) -> None:
    """From its record, through JSON, `restore` makes dynamics that take the weights it found."""
    for one in _accepted(cls):
        fresh, training = learner(one.make)
        one.one.restore(fresh, json.loads(json.dumps(one.solution.record)))
        told, weights = _state(one.simulator.dynamics)
        assert describe(fresh.dynamics) == told, "restore made other dynamics than solve"
        fresh.dynamics.to(torch.float64).load_state_dict(weights)
        for track in training:
            now, then = (s.step(track.x[0], track.topology) for s in (fresh, one.simulator))
            assert torch.equal(now, then), "restored, it steps differently"
