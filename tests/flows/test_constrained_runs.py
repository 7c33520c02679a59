"""Runs whose stabilizers change the dynamics can be validated, tested, predicted and resumed."""

import pytest
import yaml

from simlearn import cli

CONFIG = {
    "model": {
        "simulator": {
            "dynamics": {"class_path": "MLPField", "init_args": {"dim": 8, "width": 12}},
            "integrator": "RK4",
            "dt": 0.1,
        },
        "objective": "OneStep",
    },
    "data": {
        "generator": "EmbeddedOscillator",
        "count": 6,
        "steps": 41,
        "dt": 0.1,
        "held_out": 0.3,
    },
    "trainer": {"max_epochs": 2},
}


@pytest.mark.parametrize(
    "stabilizers",
    [["SpectralNorm"], ["SubspaceProjection"], ["SpectralNorm", "SubspaceProjection"]],
)
def test_what_was_trained_is_what_is_validated(stabilizers, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    body = {**CONFIG, "model": {**CONFIG["model"], "stabilizers": stabilizers}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(body))
    assert cli.run(["fit", "-c", "a.yaml", "--run", "one"]) == 0
    for command in ("validate", "test", "predict"):
        assert cli.run([command, "-c", "a.yaml", "--run", "one"]) == 0, capsys.readouterr().err
    resumed = ["fit", "-c", "a.yaml", "--run", "one", "--resume", "--trainer.max_epochs", "3"]
    assert cli.run(resumed) == 0
    assert cli.run(["validate", "-c", "a.yaml", "--run", "one"]) == 0


def test_another_config_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(CONFIG))
    assert cli.run(["fit", "-c", "a.yaml", "--run", "one"]) == 0
    wide = ["--model.simulator.dynamics.init_args.width", "13"]
    assert cli.run(["validate", "-c", "a.yaml", "--run", "one", *wide]) == 7
    assert "do not fit the simulator of the config" in capsys.readouterr().err


def test_a_resume_with_another_stabilizer_is_refused(tmp_path, monkeypatch, capsys):
    """What has changed is told; whoever allows it hears that the weights do not fit."""
    monkeypatch.chdir(tmp_path)
    body = {**CONFIG, "model": {**CONFIG["model"], "stabilizers": ["SubspaceProjection"]}}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(body))
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(CONFIG))
    assert cli.run(["fit", "-c", "a.yaml", "--run", "one"]) == 0
    resumed = ["fit", "-c", "b.yaml", "--run", "one", "--resume", "--trainer.max_epochs", "3"]
    assert cli.run(resumed) == 7
    assert "model.stabilizers: [" in capsys.readouterr().err
    assert cli.run([*resumed, "--allow-drift"]) == 7
    assert "holds other weights than the config asks for" in capsys.readouterr().err


def test_a_gate_for_a_run_that_is_not_there_makes_no_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    gate = tmp_path / "gate.yaml"
    gate.write_text("schema: 1\nsuites: {full: [Bounded]}\n")
    assert cli.run(["check", "runs/typo", "--data", "x.h5", "-c", str(gate)]) == 7
    assert not (tmp_path / "runs").exists()
