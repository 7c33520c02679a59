"""Uncertainties: noise that is seen in data, rounding of rollouts, the choice of states."""

import math
from dataclasses import replace

import pytest
import torch

import simlearn
from simlearn import Evidence, Simulator, Topology, Trajectory
from simlearn.integrators import RK4, Leapfrog
from simlearn_chaos import Lorenz63Law
from simlearn_checks import Bounded, ForceLaw, ForecastError, StepHalving
from simlearn_checks.noise import between_halves, noise_of, rounded_otherwise
from simlearn_mechanics import MassSpring, MassSpringLaw, Pendulum, ThreeBody

SPRING = Simulator(MassSpringLaw(), Leapfrog(), 0.1)


def noisy(data, size):
    rng = torch.Generator().manual_seed(3)
    return [
        replace(one, x=one.x + size * torch.randn(one.x.shape, generator=rng, dtype=torch.float64))
        for one in data
    ]


def drawn(system, count=4, steps=400, dt=0.1):
    return list(system.draw(range(count), simlearn.sample_times(steps, dt), 0))


@pytest.mark.parametrize("size", [1e-3, 1e-2, 1e-1])
def test_noise_of_measurement_is_found_with_its_size(size):
    found = noise_of(noisy(drawn(Pendulum()), size))
    assert found.columns.tolist() == pytest.approx([size] * 2, rel=0.1)
    spread = torch.cat([one.x.flatten(0, 1) for one in drawn(Pendulum())]).std(0)
    assert found.share == pytest.approx(size * float((1 / spread).square().mean().sqrt()), rel=0.1)


@pytest.mark.parametrize("system", [Pendulum(), MassSpring(), ThreeBody()])
def test_smooth_data_have_none_even_where_bodies_meet(system):
    assert noise_of(drawn(system)).share == 0


@pytest.mark.parametrize("data", [[], drawn(MassSpring(), 1, 10)])
def test_few_samples_show_none(data):
    assert noise_of(data).share == 0


def test_noise_is_the_uncertainty_of_a_forecast_error():
    data = noisy(drawn(MassSpring(), 2, 60), 0.05)
    (metric,) = ForecastError(50, limit=1.0).run(SPRING, Evidence(data)).metrics
    assert metric.noise == pytest.approx(0.05, rel=0.3)
    clean = ForecastError(50, limit=1.0).run(SPRING, Evidence(drawn(MassSpring(), 2, 60)))
    assert 0 < clean.metrics[0].noise < 1e-12


def test_a_value_within_the_noise_of_the_data_is_marginal():
    data = Evidence(noisy(drawn(MassSpring(), 1, 60), 0.05))
    value = ForecastError(50, limit=1.0).run(SPRING, data).metrics[0].value
    (metric,) = ForecastError(50, limit=value + 0.01).run(SPRING, data).metrics
    assert metric.passed
    assert metric.marginal


def test_rounding_grows_with_chaos_and_repeats_itself():
    x = torch.tensor([[[1.0, 2.0, 20.0]]], dtype=torch.float64)
    begin = Trajectory(torch.zeros(1, dtype=torch.float64), x, Topology.isolated(1))
    chaos = Simulator(Lorenz63Law(), RK4(), 0.01)
    other = rounded_otherwise(chaos, begin, 3000, 0)
    assert torch.equal(other.x, rounded_otherwise(chaos, begin, 3000, 0).x)
    apart = (other.x - chaos.rollout(x[0], 3000).x).norm(dim=-1)[:, 0]
    assert float(apart[0]) < 1e-11
    assert float(apart[1000]) < 1e-5
    assert float(apart[2900:].max()) > 1e-3


def test_the_floor_of_a_chaotic_rollout_is_told():
    x = torch.tensor([[1.0, 2.0, 20.0]], dtype=torch.float64)
    chaos = Simulator(Lorenz63Law(), RK4(), 0.01)
    held = Evidence((chaos.rollout(x, 4000),))
    short, long = (
        StepHalving(steps, 1.0).run(chaos, held).metrics[0].noise for steps in (50, 4000)
    )
    assert short < 1e-12
    assert long > 1.0


def test_halves_of_what_was_looked_at():
    values = torch.tensor([1.0, 5.0, 2.0, 4.0])
    assert between_halves(values) == 3.0
    assert between_halves(values[:1]) == 0.0
    assert between_halves(torch.tensor([1.0, torch.inf])) == 0.0


def test_a_maximum_over_samples_is_as_uncertain_as_what_lies_between_them():
    """From (1, 0) leapfrog by h turns by an angle a on an ellipse, cos a = 1 − h²/2."""
    at, box = torch.tensor([[1.0, 0.0]], dtype=torch.float64), 2.0
    held = Evidence(
        (
            Trajectory(
                torch.arange(2.0, dtype=torch.float64),
                torch.stack([at, -box * at]),
                Topology.isolated(1),
            ),
        )
    )
    (largest, _) = Bounded(12, 3.0).run(SPRING, held).metrics
    turn, high = math.acos(1 - 0.1**2 / 2), math.sqrt(1 - 0.1**2 / 4)
    sizes = [max(abs(math.cos(k * turn)), high * abs(math.sin(k * turn))) / box for k in range(13)]
    assert largest.value == pytest.approx(sizes[0], rel=1e-12)
    assert largest.noise == pytest.approx(sizes[0] - sizes[1], rel=1e-9)


def test_a_bent_force_is_no_power_law(fields):
    class Bent(simlearn.dynamics.Newtonian):
        """Gravity with a knee."""

        def force(self, r):
            return torch.where(r < 1.7, r**-2, 1.7**-1 * r**-1)

    (names, held) = ("a", "b"), drawn(MassSpring(), 1, 2)
    x = torch.tensor([[[0, 0, 0, 0], [1, 0, 0, 1.0]]], dtype=torch.float64)
    t = torch.zeros(1, dtype=torch.float64)
    held = Trajectory(t, x, Topology.complete(2, names))
    metric = ForceLaw().run(Simulator(Bent(names, (1.0, 0.3)), Leapfrog(), 0.01), Evidence((held,)))
    assert metric.metrics[0].noise == pytest.approx(0.5, abs=0.05)
