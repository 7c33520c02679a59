"""`simlearn check --remedy`: what it says where there is little or nothing to be done."""

import json

import pytest
import torch
import yaml

import simlearn
from simlearn import Simulator, cli
from simlearn.catalog import load
from simlearn.cli.remedy import compact
from simlearn.component import ConfigError
from simlearn.dynamics import SeparableEnergy
from simlearn.integrators import Euler, Leapfrog
from simlearn.remedies.config import config_of, tidied

GATE = """
schema: 1
suites:
  drift: [{class_path: EnergyDrift, init_args: {horizon: 200, max_relative: 1.0e9}}]
  lost: [{class_path: Bounded, init_args: {horizon: 50, factor: 1.0e-3}}]
  kept: [{class_path: Bounded, init_args: {horizon: 50, factor: 1.0e+3}}]
"""
TINY = """
model:
  simulator:
    dynamics: {class_path: ResidualMap, init_args: {dim: 2, width: 4}}
    dt: 0.1
  objective: OneStep
data: {generator: MassSpring, count: 2, steps: 11}
trainer: {max_epochs: 1}
"""
DRAW = "--generator Pendulum --count 2 --steps 41 --dt 0.1 --seed 1 --out test.h5"


@pytest.fixture
def archives(command, tmp_path, capsys):
    """Two archives of an energy that nobody trained, and a gate."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, scheme in (("euler", Euler()), ("leap", Leapfrog())):
            simulator = Simulator(SeparableEnergy(dim=2, width=8), scheme, 0.1).double()
            simlearn.save(simulator, tmp_path / name)
    (tmp_path / "gate.yaml").write_text(GATE)
    assert command("generate", *DRAW.split()) == 0
    capsys.readouterr()

    def check(name, suite, *more):
        given = ["--data", "test.h5", "-c", "gate.yaml", "--suite", suite]
        return command("check", name, *given, *more), *capsys.readouterr()

    return check


def test_a_bare_archive_gets_what_needs_no_training(archives, tmp_path):
    code, said, _ = archives("euler", "drift", "--remedy")
    assert code == 1, "the simulator that was judged is no better for it"
    assert "there is no euler/config.yaml, so only what needs no training is tried" in said
    table = json.loads((tmp_path / "euler/report/remedies.json").read_text())
    tried = [one["change"] for one in table["tries"] if one["checks"]]
    assert "integrator: Leapfrog" in tried
    assert all(not one["trained"] for one in table["tries"])
    assert not (tmp_path / "euler/report/remedied.yaml").exists()


def test_where_none_passes_the_table_says_so(archives, tmp_path):
    code, said, _ = archives("leap", "lost", "--remedy")
    assert code == 1
    assert "No remedy passes" in said
    table = json.loads((tmp_path / "leap/report/remedies.json").read_text())
    assert table["winner"] is None
    assert "run" not in table["files"]
    assert not (tmp_path / "leap-remedied").exists()


def test_a_gate_that_passes_needs_no_remedy(archives, tmp_path):
    code, said, _ = archives("leap", "kept", "--remedy")
    assert code == 0
    assert "nothing to remedy" in said
    assert not (tmp_path / "leap/report/remedies.json").exists()


@pytest.mark.parametrize("limit", [("--remedy-tries", "2"), ("--remedy-seconds", "5")])
def test_a_limit_of_nothing_is_refused(archives, limit):
    code, _, error = archives("leap", "kept", *limit)
    assert code == 2
    assert f"{limit[0]} limits --remedy" in error


@pytest.mark.parametrize("limit", ["--remedy-tries=-1", "--remedy-seconds=-5"])
def test_a_limit_below_zero_is_refused_before_anything_is_judged(archives, tmp_path, limit):
    code, _, error = archives("euler", "drift", "--remedy", limit)
    assert code == 2
    assert f"{limit.partition('=')[0]} is a number from 0" in error
    assert not (tmp_path / "euler/report/report.json").exists()


def test_a_verdict_stands_whatever_becomes_of_the_search(archives, tmp_path):
    """A folder stands where the table would be written."""
    (tmp_path / "euler/report/remedies.md").mkdir(parents=True)
    code, said, error = archives("euler", "drift", "--remedy")
    assert code == 1
    assert "gate FAILED" in said
    assert "--remedy: Cannot write euler/report/remedies.md" in error


@pytest.mark.parametrize(("inside", "path"), [("lost", "."), ("lost/inner", "..")])
def test_a_simulator_is_judged_from_inside_its_folder(gated, write_gate, monkeypatch, inside, path):
    write_gate("full: [ENERGY]")
    (gated / "lost/inner").mkdir()
    monkeypatch.chdir(gated / inside)
    assert cli.run(["check", path, "-c", str(gated / "own.gate.yaml"), "--remedy"]) == 1
    table = json.loads((gated / "lost/report/remedies.json").read_text())
    assert table["winner"] is not None
    assert type(simlearn.load(gated / "lost-remedied").integrator).__name__ != "Euler"


def test_a_config_that_is_none_is_refused(archives, tmp_path):
    (tmp_path / "euler/config.yaml").write_text("trainer: {max_epochs: 3}\n")
    code, _, error = archives("euler", "drift", "--remedy")
    assert code == 2
    assert "has `model:` and `data:`" in error
    assert not (tmp_path / "euler/report/report.json").exists(), "it was judged before"
    with pytest.raises(ConfigError, match="nothing"):
        tidied({})


def test_a_compact_config_says_what_differs_and_means_the_same(command, tmp_path):
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert command("fit", "-c", "tiny.yaml") == 0
    found = compact(config_of(tmp_path / "runs/tiny"), load())
    assert found["trainer"] == {"max_epochs": 1}
    assert found["data"]["steps"] == 11
    assert "dtype" not in found["model"]
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(found))
    assert command("fit", "-c", "again.yaml") == 0
    a, b = (simlearn.load(tmp_path / "runs" / name) for name in ("tiny", "again"))
    assert all(torch.equal(one, b.state_dict()[name]) for name, one in a.state_dict().items())
