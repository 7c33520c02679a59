"""A system that loses energy, from its config to its gate."""

import json
import pathlib

import pytest
import torch

import simlearn
from simlearn import cli
from simlearn_mechanics import PendulumLaw

ROOT = pathlib.Path(__file__).parents[2]
FIT, DATA, GATE = (
    str(ROOT / f"configs/{kind}/damped-pendulum.yaml") for kind in ("fit", "data", "gate")
)


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """Train for so many epochs, gate on the smoke suite: (exit code, report, simulator)."""
    monkeypatch.chdir(tmp_path)
    assert cli.run(["generate", "-c", DATA, "--out", "test.h5"]) == 0

    def run(epochs):
        name = f"after-{epochs}"
        assert cli.run(["fit", "-c", FIT, "--run", name, "--trainer.max_epochs", str(epochs)]) == 0
        code = cli.run(
            ["check", f"runs/{name}", "--data", "test.h5", "-c", GATE, "--suite", "smoke"]
        )
        report = json.loads((tmp_path / f"runs/{name}/report/report.json").read_text())
        return code, report, simlearn.load(f"runs/{name}")

    return run


def test_a_damped_pendulum_is_trained_and_passes_its_gate_and_an_untrained_one_fails(judged):
    code, report, trained = judged(12)
    assert code == 0, report
    assert report["verdict"] == "pass"
    code, report, _ = judged(0)
    assert code == 1
    verdicts = {check["check"]: check["verdict"] for check in report["checks"]}
    assert verdicts["ForecastError"] == "fail"
    _loses_energy_like_the_truth(trained)


def _loses_energy_like_the_truth(trained):
    """Friction 0.1 takes the energy: of the learned H never a gain, of the true H as much."""
    x = torch.tensor([[1.5, 0.0], [0.0, 1.0]], dtype=torch.float64)
    with torch.no_grad():
        rolled = trained.rollout(x, 300)
        learned, true = (
            torch.stack([of(s, rolled.topology) for s in rolled.x])
            for of in (trained.dynamics.energy, PendulumLaw().energy)
        )
        friction = trained.dynamics.resistance(x)
    assert (learned.diff(dim=0) < 1e-9).all()
    assert (true[-1] / true[0]).max() < 0.1
    assert friction.mean() == pytest.approx(0.1, rel=0.1)
