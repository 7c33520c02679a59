"""Energies learned in closed form, from their configs to their gates.

The damped pendulum, which no closed form explains, is in test_dissipative.py.
"""

import csv
import json
import pathlib
import subprocess
import sys

import pytest
import torch

import simlearn
from simlearn import cli
from simlearn.dynamics import SeparableEnergy, SeparableSeries

ROOT = pathlib.Path(__file__).parents[2]
# config of the fit: that of the held-out data, trajectories to train on and to judge by, choice
CASES = {
    "mass-spring-ladder": ("mass-spring", "25", "4", "separable"),
    "pendulum-ladder": ("pendulum", "25", "4", "separable"),
    "two-body": ("two-body", "16", "2", "pairs"),
    "three-body": ("three-body", "24", "2", "pairs"),
}


def config(kind, name):
    return str(ROOT / f"configs/{kind}/{name}.yaml")


def check(run, name):
    """Exit code and report of the smoke suite."""
    gate = ["check", f"runs/{run}", "--data", "test.h5", "-c", config("gate", name)]
    code = cli.run([*gate, "--suite", "smoke"])
    report = pathlib.Path(f"runs/{run}/report")
    return code, json.loads((report / "report.json").read_text()), report / "report.html"


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", CASES)
def test_a_config_is_fitted_in_closed_form_and_passes_its_gate(name, here, capsys):
    """The choice stands in the terminal, in metrics.csv, in the archive and in the report."""
    held_out, count, few, choice = CASES[name]
    assert cli.run(["fit", "-c", config("fit", name), "--data.count", count]) == 0
    assert f"chosen: {choice}" in "".join(capsys.readouterr())
    record = simlearn.load(f"runs/{name}").provenance["ladder"]
    assert record["choice"] == choice
    rows = list(csv.DictReader((here / f"runs/{name}/metrics.csv").open()))
    scores = [float(r["rung_cross_validated_error"]) for r in rows if r.get("rung")]
    assert scores == pytest.approx([r["cross_validated_error"] for r in record["rungs"]])
    gains = [float(r["joint_gain"]) for r in rows if r.get("joint_iteration")]
    assert gains == pytest.approx(record.get("joint", {}).get("gains", []))
    assert bool(gains) == name.endswith("ladder"), "noisy states are fitted through rollouts"
    data = config("data", held_out)
    assert cli.run(["generate", "-c", data, "--out", "test.h5", "--count", few]) == 0
    code, report, page = check(name, name)
    assert code == 0, report["checks"]
    assert report["provenance"]["ladder"]["choice"] == choice
    assert f"Chosen: <b>{choice}</b>" in page.read_text()
    if name == "two-body":
        a_wrong_law_fails_it()


def a_wrong_law_fails_it():
    """A force that is two per cent too strong is bounded and keeps momentum, but is wrong."""
    simulator = simlearn.load("runs/two-body")
    with torch.no_grad():
        potential = simulator.dynamics.potential
        simulator.dynamics.coefficients[-potential.count :] *= 1.02
        simulator.dynamics.settle()
    simlearn.save(simulator, "runs/wrong/simulator")
    code, report, _ = check("wrong", "two-body")
    assert code == 1
    verdicts = {one["check"]: one["verdict"] for one in report["checks"]}
    assert verdicts["MomentumDrift"] == "pass"
    assert verdicts["ForecastError"] == "fail"


def test_fine_tuning_starts_from_the_closed_form_and_is_resumed(here, capsys):
    """The checkpoint brings the series that took the place of the network, and its weights."""
    fit = ["-c", config("fit", "mass-spring-ladder"), "--data.held_out", "0.2"]
    assert cli.run(["fit", *fit, "--run", "tuned", "--trainer.max_epochs", "2"]) == 0
    tuned = simlearn.load("runs/tuned")
    assert isinstance(tuned.dynamics, SeparableSeries)
    assert cli.run(["validate", *fit, "--run", "tuned"]) == 0
    assert "validation_loss" in capsys.readouterr().out
    more = ["--run", "tuned", "--resume", "--trainer.max_epochs", "4"]
    assert cli.run(["fit", *fit, *more]) == 0
    resumed = simlearn.load("runs/tuned")
    assert resumed.provenance["ladder"] == tuned.provenance["ladder"]
    assert cli.run(["fit", *fit, "--run", "whole", "--trainer.max_epochs", "4"]) == 0
    whole = simlearn.load("runs/whole")
    for a, b in zip(resumed.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    before = next(tuned.parameters())
    assert not torch.equal(before, next(resumed.parameters())), "gradients changed the weights"


def test_what_no_closed_form_explains_is_left_to_the_network(here, capsys):
    """Friction is not an energy: without epochs a sentence, with them the config's network."""
    (here / "damped.yaml").write_text("data: {generator: DampedPendulum, noise: 0.0}\n")
    words = ["fit", "-c", config("fit", "mass-spring-ladder"), "-c", "damped.yaml"]
    assert cli.run(words) == 2
    assert "trainer.max_epochs" in capsys.readouterr().err
    assert cli.run([*words, "--run", "network", "--trainer.max_epochs", "1"]) == 0
    trained = simlearn.load("runs/network")
    assert isinstance(trained.dynamics, SeparableEnergy)
    assert trained.provenance["ladder"]["choice"] == "network"


@pytest.mark.slow
def test_the_example_tells_the_ladder_from_a_network_and_draws_it(tmp_path):
    """On the same noisy pendulum the ladder's field is at least twenty times as good."""
    command = [sys.executable, str(ROOT / "examples/energy.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    truth, ladder, network = (float(row[-4]) for row in rows)
    assert truth == 0
    assert 20 * ladder < network
    assert (tmp_path / "phase-portraits.png").stat().st_size > 10_000


def test_a_refused_argument_of_a_start_is_one_sentence(here, capsys):
    """The kind may be left out, so that jsonargparse wraps what the component says."""
    words = ["fit", "-c", config("fit", "pendulum-ladder"), "--model.start.init_args.worst", "0"]
    assert cli.run(words) == 2
    told = capsys.readouterr().err
    assert told == "simlearn: Ladder.worst is a relative error above zero, got 0.0.\n"
