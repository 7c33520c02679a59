"""Many rollouts as one: like each by itself, and lost each by itself."""

import pytest
import torch

import simlearn
from simlearn import DataError, Evidence, Simulator, Topology, Trajectory
from simlearn.dynamics import HenonMap
from simlearn.integrators import RK4, Leapfrog
from simlearn_checks import batch, starts
from simlearn_mechanics import DrivenPendulum, HenonHeiles, SpringGraph


def test_a_flock_is_its_rollouts_one_by_one(henon_heiles):
    one = Simulator(HenonHeiles().truth(), Leapfrog(), 0.1)
    begins = starts.starts(henon_heiles, 6, 10)
    assert len(begins) == 6
    flock = batch.together(one, begins, 40, 5)
    assert flock.lost.tolist() == [-1] * 6
    for k, begin in enumerate(begins):
        alone = one.rollout(begin.x[0], 40, begin.topology, every=5)
        torch.testing.assert_close(flock.systems()[:, k], alone.x[:, 0], rtol=0, atol=1e-13)
        torch.testing.assert_close(flock.t, alone.t, rtol=0, atol=1e-12)


def test_graphs_that_differ_roll_out_together():
    drawn = list(SpringGraph().draw(range(3), simlearn.sample_times(5, 0.1), 0))
    one = Simulator(SpringGraph().truth(), Leapfrog(), 0.1)
    flock = batch.together(one, drawn, 20)
    rows = 0
    for begin in drawn:
        alone = one.rollout(begin.x[0], 20, begin.topology).x
        torch.testing.assert_close(
            flock.x[:, rows : rows + begin.topology.rows], alone, rtol=0, atol=1e-12
        )
        rows += begin.topology.rows
    error = batch.distances(flock, drawn)
    assert error.shape == (5, 3)
    assert float(error[0].max()) == 0


def test_a_lost_system_does_not_disturb_the_others():
    t = simlearn.sample_times(3, 1.0)
    x = torch.tensor([[0.1, 0.0], [50.0, 0.0], [0.2, 0.1]], dtype=torch.float64)
    begins = [Trajectory(t, start.expand(3, 1, 2).clone(), Topology.isolated(1)) for start in x]
    one = Simulator(HenonMap(), None, 1.0)
    flock = batch.together(one, begins, 100)
    assert flock.lost[0] == flock.lost[2] == -1
    step = int(flock.lost[1])
    assert 3 < step < 20
    assert bool(flock.x[step:, 1].isnan().all())
    assert bool(flock.x[:step, 1].isfinite().all())
    alone = one.rollout(begins[2].x[0], 100)
    assert torch.equal(flock.x[:, 2:], alone.x)
    every = batch.together(one, [begins[1]] * 2, 1000)
    assert every.x.shape[0] == 1001  # stopped early, padded
    boxed = batch.together(one, begins, 100, inside=lambda state: state[:, 0].abs() < 60)
    assert int(boxed.lost[1]) == 1


def test_control_inputs_and_start_times_are_each_ones_own():
    system = DrivenPendulum()
    drawn = list(system.draw(range(2), simlearn.sample_times(60, 0.05), 0))
    one = Simulator(system.truth(), RK4(), 0.05)
    begins = [drawn[0].slice(0, 30), drawn[1].slice(25, 55)]
    flock = batch.together(one, begins, 29)
    for k, begin in enumerate(begins):
        inputs = simlearn.inputs_for(begin, 29, 0.05)
        alone = one.rollout(begin.x[0], 29, begin.topology, t0=float(begin.t[0]), inputs=inputs)
        torch.testing.assert_close(flock.x[:, k], alone.x[:, 0], rtol=0, atol=1e-12)
    with pytest.raises(DataError, match="Shorten the horizon"):
        batch.together(one, begins, 40)


def test_starts_are_spread_and_no_more_than_there_are(tracks):
    evidence = Evidence(tracks(2, 2, steps=50))
    found = starts.starts(evidence, 10, 5)
    firsts = [float(one.t[0]) for one in found]
    assert firsts == pytest.approx([0, 1.1, 2.2, 3.4, 4.5] * 2, abs=0.11)
    assert all(one.steps == 5 for one in found)
    assert len(starts.starts(evidence, 1000, 1)) == 100
    assert len(starts.starts(Evidence(tracks(5, 2)), 3)) == 3
    with pytest.raises(DataError, match="51 samples in a row"):
        starts.starts(evidence, 10, 51)
    with pytest.raises(DataError, match="held-out trajectory"):
        starts.starts(Evidence(), 10)


def test_steps_and_samples_have_to_meet(tracks):
    (one,) = tracks(1, 2, steps=20, dt=0.1)
    assert starts.grid(one, 0.1) == (1, 1)
    assert starts.grid(one, 0.02) == (5, 1)
    assert starts.grid(one, 0.3) == (1, 3)
    with pytest.raises(DataError, match="neither is a"):
        starts.grid(one, 0.07)
    uneven = Trajectory(one.t**2, one.x, one.topology)
    with pytest.raises(DataError, match="evenly spaced"):
        starts.grid(uneven, 0.1)


def test_the_climate_is_the_spread_of_the_states(tracks):
    evidence = Evidence(tracks(3, 4, steps=4000, size=2.0))
    assert batch.climate(evidence) == pytest.approx(2.0 * 2.0, rel=0.02)  # √4 columns of width 2


def test_data_of_other_spacing_are_left_out(tracks):
    fine, coarse = tracks(2, 2, steps=30, dt=0.1), tracks(1, 2, steps=30, dt=0.2)
    found = starts.evenly(Evidence((*coarse, *fine)), 0.1)
    assert (found.steps, found.skip) == (1, 1)
    assert [id(one) for one in found.evidence.held_out] == [id(one) for one in fine]
    assert "1 of 3 held-out trajectories are sampled otherwise and left out" in found.note
    whole = Evidence(fine)
    assert starts.evenly(whole, 0.05).evidence is whole
    assert starts.evenly(whole, 0.05).steps == 2
    with pytest.raises(DataError, match="neither is a"):
        starts.evenly(whole, 0.07)
