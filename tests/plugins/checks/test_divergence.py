"""Divergence: a share that is known is counted; few starts cannot pass."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError, Evidence, Trajectory
from simlearn.analysis.horizon import wilson
from simlearn_checks.divergence import Divergence


@pytest.fixture
def uniform():
    """400 states with x₁ evenly in (−1, 1), as one long track."""
    x = torch.linspace(-1, 1, 400, dtype=torch.float64)
    x = torch.stack([x, 0 * x], 1)[:, None]
    one = Trajectory(simlearn.sample_times(400, 0.1), x, simlearn.Topology.isolated(1))
    return Evidence((one,))


def test_the_share_is_that_of_the_states_that_escape(uniform, fields, simulator):
    check = Divergence(horizon=20, starts=200, limit=0.3)
    found = check.run(simulator(fields.Escaping(0.5), 0.1), uniform)
    lost = found.metrics[1]
    assert lost.value == pytest.approx(0.25, abs=0.005)
    assert found.metrics[0].value == pytest.approx(wilson(50, 200)[1], abs=0.01)
    assert found.verdict == "fail"  # the interval ends beyond 0.3
    assert (
        Divergence(horizon=20, starts=200, limit=0.35)
        .run(simulator(fields.Escaping(0.5), 0.1), uniform)
        .verdict
        == "pass"
    )


def test_rollouts_that_stay_pass_and_the_curve_stays_at_one(uniform, fields, simulator):
    found = Divergence(horizon=50).run(simulator(fields.Escaping(9.0), 0.1), uniform)
    assert found.verdict == "pass"
    assert found.metrics[1].value == 0
    (curve,) = found.curves.values()
    assert set(curve.lines[0].y) == {1.0}


def test_the_time_of_loss_is_told_and_drawn(uniform, fields, simulator):
    # everything runs at 50; from 1 the border of five times the data is reached at t = 0.08
    found = Divergence(horizon=100).run(simulator(fields.Escaping(-9.0), 0.01), uniform)
    assert found.verdict == "fail"
    assert "the first after a time of 0.09" in found.summary
    (curve,) = found.curves.values()
    assert curve.lines[0].y[0] == 1.0
    assert curve.lines[0].y[-1] == 0.0


def test_no_number_is_lost_at_once(uniform, fields, simulator):
    found = Divergence(horizon=5).run(simulator(fields.Nothing(), 0.1), uniform)
    assert found.verdict == "fail"
    assert found.metrics[1].value == 1.0


def test_the_factor_sets_the_box(uniform, fields, simulator):
    drift = fields.Linear([[0.2, 0.0], [0.0, 0.0]])  # e^2 = 7.4 after a time of ten
    wide = Divergence(horizon=100, factor=8.0).run(simulator(drift, 0.1), uniform)
    tight = Divergence(horizon=100, factor=5.0).run(simulator(drift, 0.1), uniform)
    assert wide.verdict == "pass"
    assert tight.verdict == "fail"
    assert 0.3 < tight.metrics[1].value < 0.4  # |x₁| > 5 e^-2 = 0.68


def test_few_held_out_states_get_neighbours(tracks, fields, simulator):
    evidence = Evidence(tracks(2, 2, steps=3))
    still = simulator(fields.Linear([[0.0, 0.0], [0.0, 0.0]]), 0.1)
    found = Divergence(horizon=5).run(still, evidence)
    assert found.verdict == "pass"
    assert "of 100 rollouts" in found.summary
    again = Divergence(horizon=5).run(still, evidence)
    assert again.metrics == found.metrics
    with pytest.raises(DataError, match="6 different starts"):
        Divergence(horizon=5, noise=0.0).run(still, evidence)


@pytest.mark.parametrize(
    "given",
    [
        {"horizon": 0},
        {"factor": 0.5},
        {"factor": math.nan},
        {"starts": 0},
        {"starts": 20},  # even none of 20 leaves room for a share of 0.16
        {"limit": 0.0},
        {"limit": 1.0},
        {"noise": -0.1},
    ],
)
def test_senseless_arguments_are_refused(given):
    with pytest.raises(ConfigError):
        Divergence(**given)


def test_training_data_do_not_move_the_box(uniform, tracks, fields, simulator):
    drift = fields.Linear([[0.2, 0.0], [0.0, 0.0]])
    wide = Evidence(uniform.held_out, training=tracks(2, 2, size=100.0))
    check = Divergence(horizon=100)
    found = [check.run(simulator(drift, 0.1), one) for one in (uniform, wide)]
    assert found[0].metrics == found[1].metrics
    assert found[0].verdict == "fail"


def test_driven_data_of_other_spacing_are_left_out(simulator):
    from simlearn_mechanics import DrivenPendulum

    held = list(DrivenPendulum().draw(range(3), simlearn.sample_times(60, 0.05), 0))
    held[1:2] = [held[1].slice(0, None, 5)]
    one = simulator(DrivenPendulum().truth(), 0.05)
    found = Divergence(horizon=40).run(one, Evidence(held))
    assert "1 of 3 held-out trajectories are sampled otherwise" in found.summary
