"""The kit can fail: starts with one fault each."""

import itertools

import pytest
import torch

import simlearn
from simlearn.dynamics import LinearField
from simlearn.testing import asked
from simlearn.training.start import Solution

ASPECTS = {a.__name__: a for _, _, aspects in asked.ASKED for a in aspects}
count = itertools.count(1)


def scaled(simulator, factor):
    with torch.no_grad():
        for value in simulator.parameters():
            value.mul_(factor)


class Idle(simlearn.Start):
    """Learns nothing."""

    def solve(self, simulator, training):
        return Solution()


class Dividing(simlearn.Start):
    """Leaves NaN behind."""

    def solve(self, simulator, training):
        scaled(simulator, torch.nan)
        return Solution()


def linear(simulator):
    simulator.take(LinearField(simulator.dynamics.dim or 4).double())


class Usurping(simlearn.Start):
    """Replaces the dynamics and does not say so."""

    def solve(self, simulator, training):
        simulator.integrator = simlearn.integrators.RK4()
        linear(simulator)
        return Solution()


class Forgetful(simlearn.Start):
    """Replaces the dynamics and cannot do so again."""

    replaces = True

    def solve(self, simulator, training):
        simulator.integrator = simlearn.integrators.RK4()
        linear(simulator)
        return Solution()


class Wandering(simlearn.Start):
    """Finds something else each time."""

    def solve(self, simulator, training):
        scaled(simulator, 1 + 0.1 * next(count))
        return Solution()


class Scribbling(simlearn.Start):
    """Writes into the data."""

    def solve(self, simulator, training):
        training[0].x.mul_(2)
        scaled(simulator, 2)
        return Solution()


class Dicing(simlearn.Start):
    """Draws from the global generator."""

    def solve(self, simulator, training):
        scaled(simulator, 1 + float(torch.rand(1)))
        return Solution()


class Unspeakable(simlearn.Start):
    """Its record cannot stand in a file."""

    def solve(self, simulator, training):
        scaled(simulator, 2)
        return Solution(record={"weights": torch.ones(2)})


@pytest.mark.parametrize(
    ("cls", "aspect", "told"),
    [
        (Idle, "solve_leaves_dynamics_that_step", "changed no weight"),
        (Dividing, "solve_leaves_dynamics_that_step", "not finite after solve"),
        (Usurping, "solve_leaves_dynamics_that_step", "does not say `replaces`"),
        (Wandering, "solve_is_a_pure_function", "with two results"),
        (Scribbling, "solve_is_a_pure_function", "changed the data in place"),
        (Dicing, "solving_leaves_the_global_rng_alone", "drew from the global generator"),
        (Forgetful, "restore_gives_what_solve_found", "other dynamics than solve"),
    ],
)
def test_it_fails(cls, aspect, told):
    with pytest.raises(AssertionError, match=told):
        ASPECTS[aspect](cls)


def test_a_record_that_is_no_json_fails():
    with pytest.raises(TypeError, match="JSON"):
        ASPECTS["restore_gives_what_solve_found"](Unspeakable)
