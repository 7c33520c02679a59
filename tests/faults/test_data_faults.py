"""Fault rows 9, 11 and 27: unused keys, bad numbers, and data that are hardly any."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError, Evidence, Simulator, Topology, Trajectory
from simlearn.data.generate import sample_times
from simlearn.data.module import TrajectoryData
from simlearn.dynamics import MLPField, PairForce
from simlearn.integrators import RK4, Leapfrog
from simlearn.training.objectives import DerivativeMatching, MultiStep
from simlearn_checks import Bounded, ForecastError

NAMED = {"columns": {"state": ["angle"], "momentum": ["spin"]}}


def track(steps=20, **changes):
    t = sample_times(steps, 0.1)
    x = torch.stack([t.sin(), t.cos()], dim=-1)[:, None]
    return Trajectory(**{"t": t, "x": x, "topology": Topology.isolated(1), **changes})


def spoiled(name, step, column, value):
    one = track(derivative=torch.zeros(20, 1, 2, dtype=torch.float64))
    values = getattr(one, name).clone()
    values[step, 0, column] = value
    return track(**{"derivative": one.derivative, name: values})


def setup(trajectories, **given):
    data = TrajectoryData.of(trajectories, NAMED, **given)
    data.setup("fit")
    return data


@pytest.mark.fault(11)
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize(
    ("name", "column", "called"), [("x", 1, "spin"), ("derivative", 0, "derivative 0")]
)
def test_bad_numbers_are_named_by_trajectory_step_and_channel(value, name, column, called):
    bad = [track(), spoiled(name, 7, column, value)]
    with pytest.raises(DataError, match=f"Trajectory 1, step 7, row 0, {called}: {value}"):
        setup(bad)
    kept = setup(bad, missing="drop")
    assert [one.steps for one in kept.training] == [20, 7, 12]
    assert all(bool(one.x.isfinite().all()) for one in kept.training)


@pytest.mark.fault(11)
def test_a_masked_number_may_be_anything():
    mask = torch.ones(20, 1, dtype=torch.bool)
    mask[4] = False
    x = track().x.clone()
    x[4] = math.nan
    assert [one.steps for one in setup([track(x=x, mask=mask)]).training] == [4, 15]


@pytest.mark.fault(11)
@pytest.mark.parametrize("step", [3, 19])
def test_times_grow(step):
    t = sample_times(20, 0.1)
    t[step] = t[step - 1]
    with pytest.raises(DataError, match=f"Trajectory 0, step {step}: the time"):
        setup([track(t=t)])


@pytest.mark.fault(9)
def test_a_key_that_nobody_reads_is_said(tmp_path, command, capsys):
    """data.count belongs to a generator; a file brings its own."""
    simlearn.write(tmp_path / "d.h5", [track()], {})
    (tmp_path / "c.yaml").write_text(
        "model: {simulator: {dynamics: {class_path: MLPField, init_args: {dim: 2}}, "
        "integrator: RK4, dt: 0.1}}\ndata: {file: d.h5, count: 7}\ntrainer: {max_epochs: 1}\n"
    )
    assert command("fit", "-c", "c.yaml") == 0
    assert "note: data.count: not used" in capsys.readouterr().err


@pytest.mark.fault(9)
def test_a_start_that_never_grows_is_refused():
    with pytest.raises(ConfigError, match="grow_over"):
        MultiStep(horizon=8, start=2)


@pytest.mark.fault(27)
def test_an_empty_dataset_is_refused_everywhere(tmp_path, command, capsys):
    simlearn.write(tmp_path / "none.h5", [], {})
    assert command("fit", "--data.file", "none.h5") == 3
    assert "no trajectory" in capsys.readouterr().err
    assert command("data", "show", "none.h5") == 0
    assert "trajectories  0" in capsys.readouterr().out


@pytest.mark.fault(27)
def test_one_trajectory_is_enough_and_cannot_be_split():
    assert len(setup([track()]).training) == 1
    with pytest.raises(ConfigError, match="at least two trajectories"):
        setup([track()], held_out=0.5)


@pytest.mark.fault(27)
def test_a_horizon_longer_than_the_data_is_refused(seeded):
    simulator = Simulator(MLPField(dim=2, width=4).double(), RK4(), 0.1)
    with pytest.raises(DataError, match="needs 101 states, the longest of 1 trajectories has 20"):
        simlearn.fit(simulator, [track()], objective=MultiStep(100), max_epochs=1)
    with pytest.raises(DataError, match="The horizon of 100 steps"):
        ForecastError(horizon=100, limit=1.0).run(simulator, Evidence([track()]))


@pytest.mark.fault(27)
def test_evidence_without_trajectories_is_refused(seeded):
    simulator = Simulator(MLPField(dim=2, width=4).double(), RK4(), 0.1)
    with pytest.raises(DataError, match="needs held-out trajectory 0"):
        Bounded(horizon=10).run(simulator, Evidence())


@pytest.mark.fault(27)
def test_graphs_without_edges_and_isolated_nodes_have_defined_results(seeded):
    """Nothing acts on a body that nothing is joined to: it moves on straight."""
    field = PairForce(names=["a", "b", "c"], terms=4, r_min=0.1, r_max=10.0).double()
    field.requires_grad_(False)
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    types = {"node_type": torch.arange(3), "node_names": ("a", "b", "c")}
    none = Topology(simlearn.Graph(torch.zeros((2, 0), dtype=torch.int64), 3), **types)
    pair = Topology(simlearn.Graph(torch.tensor([[0, 1], [1, 0]]), 3), **types)
    for topology, still in ((none, [0, 1, 2]), (pair, [2])):
        rolled = Simulator(field, Leapfrog(), 0.1).rollout(x, 10, topology)
        straight = x[:, :2] + 1.0 * x[:, 2:]
        assert rolled.status == "ok"
        torch.testing.assert_close(rolled.x[-1, still, :2], straight[still])


@pytest.mark.fault(27)
def test_slopes_of_two_samples_cannot_be_had(seeded):
    simulator = Simulator(MLPField(dim=2, width=4).double(), RK4(), 0.1)
    with pytest.raises(DataError, match="need three states, got 2"):
        simlearn.fit(simulator, [track(2)], objective=DerivativeMatching(), max_epochs=1)
