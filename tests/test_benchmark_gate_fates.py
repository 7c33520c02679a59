"""What benchmarks/gate.py says of members whose fate is known, and the data it draws for them."""

import json
import math
import pathlib
import sys

import pytest
import torch

import simlearn
from simlearn import Simulator, Topology, Trajectory
from simlearn.dynamics import VectorField
from simlearn.integrators import RK4
from simlearn.training.objectives import OneStep
from simlearn_mechanics import MassSpring

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
from gate_parts import members, systems, verdicts

sys.path.pop(0)


class Growing(VectorField):
    """dx/dt = rate · x."""

    dim = 2

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, t, x, topology):
        return self.rate * x


def judged(rate):
    """A simulator whose fate is known, with data in [-1, 1]² and starts on its edge."""
    t = simlearn.sample_times(101, 0.1)
    turns = torch.stack([t.cos(), t.sin()], 1)[:, None]
    data = [Trajectory(t, r * turns, Topology.isolated(1)) for r in (0.5, 1.0)]
    fresh = [Trajectory(t[:2], turns[k : k + 2], Topology.isolated(1)) for k in range(0, 60, 10)]
    objective = OneStep(scale="none")
    objective.prepare(data)
    return members.Trained(Simulator(Growing(rate), RK4(), 0.1), objective, data, data, fresh, 0.0)


def test_brute_force_finds_the_step_of_loss():
    # from the edge to ten times the box: ln 10 / rate
    found = verdicts.fate(judged(0.05))
    assert found["doomed"]
    assert found["lost"] == 6
    assert found["first"] == pytest.approx(math.log(10) / 0.05 / 0.1, abs=8)
    slow = verdicts.fate(judged(0.9 * math.log(10) / 500))
    assert not slow["doomed"]
    assert slow["largest"] == pytest.approx(10**0.9, rel=0.02)


def test_validation_is_the_objective_and_the_error_of_a_forecast():
    found = verdicts.validation(judged(0.0))
    t = simlearn.sample_times(101, 0.1)
    chord = 2 * math.sin(0.05)  # a state at rest misses the next one by it
    assert found["loss"] == pytest.approx((0.25 + 1) / 2 * chord**2 / 2, rel=1e-9)
    away = 2 * (t / 2).sin()
    assert found["forecast_error"] > 0.5 * float(away.square().mean().sqrt())


def test_the_gate_judges_with_the_checks_that_ship():
    found = verdicts.gate(judged(0.05))
    assert found["Escape"]["verdict"] == "fail"
    assert set(found) == {"Escape", "UnlearnableDirections"}
    json.dumps(verdicts.finite(found), allow_nan=False)


def test_sensors_see_a_rotation_of_the_state():
    watched = systems.Watched(MassSpring(), 5, turn=3)
    times = simlearn.sample_times(4, 0.1)
    (seen,) = watched.draw(range(1), times, 0)
    (own,) = MassSpring().draw(range(1), times, 0)
    torch.testing.assert_close(seen.x @ watched.directions(), own.x)
    assert torch.linalg.matrix_rank(seen.x[:, 0]) == 2


def test_noise_of_measurement_has_the_size_that_is_told():
    clean, spread = systems.measured(MassSpring(), 64, 101, 0.1, 0, 0.0)
    noisy, _ = systems.measured(MassSpring(), 64, 101, 0.1, 0, 0.01, spread)
    off = torch.stack([b.x - a.x for a, b in zip(clean, noisy, strict=True)]).std((0, 1, 2))
    torch.testing.assert_close(off, 0.01 * spread, rtol=0.05, atol=0)
