"""The kit can fail: integrators and generators with one fault each."""

import dataclasses
import itertools

import pytest
import torch

import simlearn
from simlearn import Topology, Trajectory
from simlearn.integrators import Integrator
from simlearn.testing import asked

ASPECTS = {a.__name__: a for _, _, aspects in asked.ASKED for a in aspects}
count = itertools.count()


class Idle(Integrator):
    """Does nothing."""

    order = 1

    def step(self, field, t, x, dt, topology, carry):
        return x, carry


class Coupled(Integrator):
    """The step of one system depends on all others."""

    order = 1

    def step(self, field, t, x, dt, topology, carry):
        slope = field(t, x, topology)
        return x + dt * slope / (1 + slope.norm()), carry


class Boastful(Integrator):
    """Explicit Euler that claims order 2, symplecticity and reversibility."""

    order = 2
    symplectic = True
    reversible = True

    def step(self, field, t, x, dt, topology, carry):
        return x + dt * field(t, x, topology), carry


class Drawn(simlearn.DatasetGenerator):
    """Abstract: straight lines."""

    def line(self, times, slope):
        x = (times * slope)[:, None, None].expand(-1, 1, 2).clone()
        return Trajectory(times, x, Topology.isolated(1))


class Running(Drawn):
    """Depends on how often it was asked."""

    def draw(self, indices, times, seed):
        return (self.line(times, 1.0 + next(count)) for _ in indices)


class Negative(Drawn):
    """Is more accurate than exact."""

    def draw(self, indices, times, seed):
        return (self.line(times, 1.0 + i) for i in indices)

    def accuracy(self, times, seed):
        return -1.0


class GlobalDice(Drawn):
    """Draws from the global generator."""

    def draw(self, indices, times, seed):
        return (self.line(times, float(torch.rand(()))) for _ in indices)


class WrongSlope(Drawn):
    """Records another derivative than the data have; units are numbers."""

    def draw(self, indices, times, seed):
        for i in indices:
            one = self.line(times, 1.0 + i)
            yield dataclasses.replace(one, derivative=torch.zeros_like(one.x))

    def units(self):
        return {"time": 1}


class Falling(simlearn.HamiltonianField):
    """p²/2 + q."""

    dim = 2

    def energy(self, x, topology):
        return topology.per_system(x[:, 1] ** 2 / 2 + x[:, 0])


class WrongInvariant(simlearn.System):
    """Says the momentum of a falling body is kept."""

    def truth(self):
        return Falling()

    def start(self, rng):
        return torch.randn(1, 2, generator=rng), Topology.isolated(1)

    def invariants(self):
        return {"momentum": lambda x, topology: x[:, 1]}


@pytest.mark.parametrize(
    ("cls", "aspect", "told"),
    [
        (Idle, "steps_a_field", None),
        (Coupled, "a_batch_steps_as_its_parts", "not close"),
        (Boastful, "has_the_order_it_claims", "claims order 2, its error falls with order"),
        (Idle, "has_the_order_it_claims", "no steady order"),
        (Boastful, "step_is_symplectic", "JᵀΩJ"),
        (Boastful, "a_step_back_undoes_a_step", "missed its start"),
        (Running, "trajectory_depends_on_seed_and_index", "what else is drawn"),
        (Running, "workers_draw_the_same_bytes", "other bytes"),
        (Negative, "tells_its_accuracy", None),
        (GlobalDice, "drawing_leaves_the_global_rng_alone", None),
        (WrongSlope, "derivative_is_the_slope_of_the_data", "not close"),
        (WrongSlope, "names_its_units", "no string"),
        (WrongInvariant, "invariants_are_conserved", "momentum changes"),
    ],
)
def test_it_fails(cls, aspect, told):
    with pytest.raises(AssertionError, match=told):
        ASPECTS[aspect](cls)
