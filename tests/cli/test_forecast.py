"""``simlearn forecast``: on from the data or over them, told where it cannot be trusted."""

import csv

import pytest
import torch

import simlearn
from simlearn import Simulator, Topology, Trajectory
from simlearn.data.generate import sample_times
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4, Leapfrog
from simlearn_mechanics import DrivenPendulum, MassSpring, SpringChain

COLUMNS = {"time": "time", "state": ["q"], "momentum": ["p"], "system": "run"}


@pytest.fixture
def here(tmp_path):
    """A simulator that is the truth, and data of it."""
    drawn = list(MassSpring().draw(range(3), sample_times(21, 0.1), 0))
    told = {"units": {"time": "s", "position": "m", "momentum": "N s"}, "columns": COLUMNS}
    simlearn.write(tmp_path / "data.h5", drawn, told)
    simulator = Simulator(MassSpring().truth(), Leapfrog(), 0.1)
    low, high = [-1.0, -1.0], [1.0, 1.0]
    simulator.provenance = {"training": {"low": low, "high": high}}
    simlearn.save(simulator, tmp_path / "model")
    return tmp_path


def test_it_goes_on_where_the_data_end(here, command):
    arguments = ["forecast", "model", "--data", "data.h5", "--steps", "30", "--out"]
    assert command(*arguments, "f.h5") == 0
    found, data = simlearn.read(here / "f.h5"), simlearn.read(here / "data.h5")
    assert len(found) == 3
    for one, before in zip(found, data, strict=True):
        assert torch.equal(one.x[0], before.x[-1])
        torch.testing.assert_close(one.t, 2.0 + 0.1 * torch.arange(31).double())
    assert found.provenance["forecast"]["data"] == data.digest
    assert found.provenance["units"] == data.provenance["units"]
    assert command(*arguments, "f.h5") == 3
    assert command(*arguments, "f.h5", "--overwrite") == 0


def test_it_lies_over_the_data(here, command):
    arguments = ["--data", "data.h5", "--steps", "20", "--start", "first", "--every", "5"]
    assert command("forecast", "model", *arguments, "--out", "f.h5") == 0
    for one, data in zip(simlearn.read("f.h5"), simlearn.read("data.h5"), strict=True):
        assert one.steps == 5
        torch.testing.assert_close(one.x, data.x[::5], atol=5e-3, rtol=0)


def test_a_table_has_the_names_of_the_data(here, command):
    assert command("forecast", "model", "--data", "data.h5", "--steps", "2", "--out", "f.csv") == 0
    rows = list(csv.DictReader((here / "f.csv").open()))
    assert list(rows[0]) == ["run", "time", "q", "p"]
    assert len(rows) == 9
    exact = simlearn.load("model").rollout(simlearn.read("data.h5")[1].x[-1], 2, t0=2.0).x
    assert float(rows[5]["p"]) == float(exact[2, 0, 1])
    assert not list(here.glob(".*partial"))


def test_rows_of_a_chain_are_told_apart(here, command):
    chain = SpringChain(4)
    simlearn.write("chain.h5", chain.draw(range(2), sample_times(11, 0.1), 0), {})
    simlearn.save(Simulator(chain.truth(), Leapfrog(), 0.1), here / "chain")
    assert command("forecast", "chain", "--data", "chain.h5", "--steps", "3", "--out", "c.csv") == 0
    rows = list(csv.DictReader((here / "c.csv").open()))
    assert len(rows) == 2 * 4 * 4
    assert len({row["node"] for row in rows}) == 4


def test_leaving_the_range_of_the_training_data_is_told(here, command, capsys):
    far = Trajectory(
        sample_times(3, 0.1), torch.full((3, 1, 2), 5.0).double(), Topology.isolated(1)
    )
    simlearn.write("far.h5", [far], {})
    assert command("forecast", "model", "--data", "far.h5", "--steps", "3", "--out", "f.h5") == 0
    told = capsys.readouterr().err
    assert "forecast 0 begins outside the range of the training data: x0 was in [-1, 1]" in told


@pytest.mark.fault(21)
def test_a_lost_forecast_is_kept_and_marked(here, command, capsys, seeded):
    """Finite first, infinite later: exit code 5, and what came before is in the file."""
    field = MLPField(dim=2, width=4).double()
    field.rate.fill_(1e200)
    simlearn.save(Simulator(field, RK4(), 1e120), here / "wild")
    assert command("forecast", "wild", "--data", "data.h5", "--steps", "9", "--out", "w.h5") == 5
    assert "3 of 3 forecasts stopped being finite" in capsys.readouterr().err
    found = simlearn.read("w.h5")
    last = max(found[0].steps - 1, 0)
    few = ("--steps", "9", "--every", "2", "--out", "few.h5")
    assert command("forecast", "wild", "--data", "data.h5", *few) == 5
    assert f"after {last // 2 * 2} of 9 steps" in capsys.readouterr().err
    assert {one.status for one in found} == {"diverged"}
    assert all(bool(one.x.isfinite().all()) for one in found)


def test_inputs_end_where_the_data_end(here, command, capsys):
    simlearn.write("driven.h5", DrivenPendulum().draw(range(1), sample_times(21, 0.1), 0), {})
    simlearn.save(Simulator(DrivenPendulum().truth(), RK4(), 0.1), here / "driven")
    arguments = ["forecast", "driven", "--data", "driven.h5", "--steps", "5", "--out"]
    assert command(*arguments, "d.h5") == 3
    assert "--start first" in capsys.readouterr().err
    assert command(*arguments, "d.h5", "--start", "first") == 0
    wanted = simlearn.read("driven.h5")[0].x[:6]
    torch.testing.assert_close(simlearn.read("d.h5")[0].x, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (["--steps", "0", "--out", "f.h5"], 2),
        (["--steps", "5", "--out", "f.txt"], 2),
        (["--steps", "5", "--out", "f.h5", "--start", "middle"], 2),
        (["--steps", "5", "--out", "/proc/nowhere/f.csv"], 6),
    ],
)
def test_bad_input_has_its_code(here, command, wrong, code, capsys):
    assert command("forecast", "model", "--data", "data.h5", *wrong) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_missing_simulator_or_dataset_is_named(here, command, capsys):
    rest = ["--steps", "5", "--out", "f.h5"]
    assert command("forecast", "nothing", "--data", "data.h5", *rest) == 7
    assert command("forecast", "model", "--data", "nothing.h5", *rest) == 3
    assert "nothing.h5" in capsys.readouterr().err


def test_help_shows_what_to_type(command, capsys):
    assert command("forecast", "--help") == 0
    told = capsys.readouterr().out
    assert "    simlearn forecast runs/genes --graph edges.csv --x0 x0.csv" in told
