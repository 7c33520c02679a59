"""From a simulator that fails its gate to one that passes, on the command line and in Python."""

import json

import pytest
import torch
import yaml

import simlearn
from simlearn import Evidence, Simulator
from simlearn.dynamics import SeparableEnergy
from simlearn.integrators import Euler
from simlearn.training.objectives import DerivativeMatching
from simlearn_checks import EnergyDrift
from simlearn_mechanics import Pendulum

FIT = """
model:
  simulator:
    dynamics: {class_path: ResidualMap, init_args: {dim: 6, width: 32}}
    dt: 0.1
  objective: OneStep
  optimizer: {class_path: torch.optim.Adam, init_args: {lr: 3.0e-3}}
data:
  generator: {class_path: EmbeddedOscillator, init_args: {columns: 6}}
  count: 8
  steps: 101
  batch_size: 128
trainer:
  max_epochs: 60
"""
GATE = """
schema: 1
suites:
  full:
    - {class_path: UnlearnableDirections, init_args: {horizon: 150, anchors: 16}}
    - {class_path: Bounded, init_args: {horizon: 1000, factor: 1.5, starts: 2}}
    - {class_path: ForecastError, init_args: {horizon: 50, limit: 0.5, at: max, starts: 4}}
"""
DRAW = "--generator.columns 6 --count 4 --steps 201 --dt 0.1 --seed 1"


@pytest.fixture
def failed(command, tmp_path):
    """A network trained on data in a plane of six columns, as anybody would train it."""
    (tmp_path / "plane.yaml").write_text(FIT)
    (tmp_path / "gate.yaml").write_text(GATE)
    assert command("fit", "-c", "plane.yaml") == 0
    draw = ["generate", "--generator", "EmbeddedOscillator", *DRAW.split(), "--out", "test.h5"]
    assert command(*draw) == 0
    return command


def check(command, run, *more):
    return command("check", run, "--data", "test.h5", "-c", "gate.yaml", *more)


def test_a_plane_of_six_columns_is_remedied(failed, tmp_path, capsys):
    """The judged simulator fails, so the command does; the winner passes by itself."""
    latest = (tmp_path / "runs/latest").resolve()
    assert check(failed, "runs/plane", "--remedy", "--remedy-tries", 1) == 1
    said = capsys.readouterr().out
    table = json.loads((tmp_path / "runs/plane/report/remedies.json").read_text())
    tries = {one["change"]: one for one in table["tries"]}
    assert table["before"]["state"] == "fails"
    assert tries["add SubspaceProjection"]["state"] == "passes"
    assert not tries["add SubspaceProjection"]["trained"]
    assert tries["add NoiseInjection"]["trained"]
    assert tries["add NoiseInjection"]["state"] == "passes"
    spent = [tries[f"add {one}"]["cpu_seconds"] for one in ("NoiseInjection", "SubspaceProjection")]
    assert spent[0] > spent[1]
    winner = table["tries"][table["winner"]]
    assert winner["confirmed"]
    assert "EmbeddedOscillator drew with another seed" in table["evidence"]
    assert winner["folder"] == "runs/plane-remedied"
    assert f"{winner['change']} (" in said
    assert (tmp_path / "runs/latest").resolve() == latest, "tries are no runs of their own"
    assert check(failed, "runs/plane-remedied") == 0

    kept = yaml.safe_load((tmp_path / "runs/plane-remedied/config.yaml").read_text())
    assert kept == yaml.safe_load((tmp_path / "runs/plane/report/remedied.yaml").read_text())
    noisy = next(tmp_path.glob("runs/plane*/**/*noiseinjection"), tmp_path / winner["folder"])
    assert failed("fit", "-c", noisy / "config.yaml", "--run", "again") == 0
    again, first = simlearn.load("runs/again"), simlearn.load(noisy)
    for a, b in zip(again.parameters(), first.parameters(), strict=True):
        assert torch.equal(a, b), "its config trains another simulator"
    assert (noisy / "metrics.csv").is_file()


def test_energy_that_drifts_under_euler_is_kept_by_leapfrog():
    """Slopes were learned well, and the scheme spoils them: nothing has to be trained."""
    training = list(Pendulum().draw(range(8), simlearn.sample_times(61, 0.1), 0))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        simulator = Simulator(SeparableEnergy(dim=2, width=16), Euler(), 0.1).double()
    simlearn.fit(
        simulator,
        training,
        objective=DerivativeMatching(),
        optimizer=lambda weights: torch.optim.LBFGS(weights, line_search_fn="strong_wolfe"),
        max_epochs=15,
        progress=False,
    )
    held_out = list(Pendulum().draw(range(4), simlearn.sample_times(101, 0.1), 1))
    truth = Pendulum().truth().double()
    evidence = Evidence(held_out, training, truth=truth)
    report = simlearn.check(simulator, evidence, [EnergyDrift(horizon=1000)])
    assert not report.passed
    found = simlearn.remedy(simulator, report, evidence, generator=Pendulum())
    rows = {one.change: one for one in found.rows}
    assert rows["integrator: Leapfrog"].state == "passes"
    assert found.ratio(rows["integrator: Leapfrog"]) < 0.5
    assert found.winner.simulator.integrator.symplectic
    assert found.winner.confirmed.passed
    assert found.winner.error <= rows["integrator: Leapfrog"].error
    assert not found.winner.trained
