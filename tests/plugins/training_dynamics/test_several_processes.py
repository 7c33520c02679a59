"""Two processes watch the training that one watches with the doubled batch."""

import csv
import pathlib

import pytest

import simlearn
from simlearn import cli

CONFIG = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 8, depth: 1}}
    integrator: RK4
    dt: 0.1
  objective: OneStep
  optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.1, momentum: 0.9}}
  steps_per_call: 3
data: {generator: MassSpring, count: 4, steps: 21, dt: 0.1, batch_size: BATCH}
trainer:
  max_epochs: 3
  callbacks:
    - {class_path: simlearn_training_dynamics.callbacks.Sharpness, init_args: {every: 3}}
    - {class_path: simlearn_training_dynamics.callbacks.TrainingExponent, init_args: {every: 3}}
    - {class_path: simlearn_training_dynamics.callbacks.OrbitalStability, init_args: {every: 3}}
"""
NAMES = ("sharpness", "training_exponent", "training_exponent_spread", "orbit_distance")


def found(run):
    rows = {}
    for row in csv.DictReader((run / "metrics.csv").open()):
        if row["updates"]:
            told = {name: float(row[name]) for name in NAMES if row[name]}
            rows.setdefault(float(row["updates"]), {}).update(told)
    return rows


def test_two_processes_find_what_one_finds(command, shell, tmp_path):
    for batch in (8, 16):
        (tmp_path / f"batch{batch}.yaml").write_text(CONFIG.replace("BATCH", str(batch)))
    ddp = pathlib.Path(cli.__file__).parents[2] / "configs/trainer/ddp.yaml"
    done = shell("fit", "-c", "batch8.yaml", "-c", ddp, "--trainer.accelerator", "cpu")
    assert done.returncode == 0, done.stderr
    assert command("fit", "-c", "batch16.yaml") == 0
    two, one = found(tmp_path / "runs/batch8"), found(tmp_path / "runs/batch16")
    assert len(two) == len(one) >= 4
    for updates, told in one.items():
        assert set(told) == set(NAMES)
        assert two[updates] == pytest.approx(told, rel=1e-5, abs=1e-8)
    kept = simlearn.load(tmp_path / "runs/batch8").provenance["training_dynamics"]
    assert set(kept) == {"Sharpness", "TrainingExponent", "OrbitalStability"}


def test_what_works_on_one_process_only_says_so(shell, tmp_path):
    text = CONFIG.replace("BATCH", "8").split("    - {")[0]
    text += "    - simlearn_training_dynamics.callbacks.TrainingSpectrum\n"
    (tmp_path / "one.yaml").write_text(text)
    ddp = pathlib.Path(cli.__file__).parents[2] / "configs/trainer/ddp.yaml"
    done = shell("fit", "-c", "one.yaml", "-c", ddp, "--trainer.accelerator", "cpu")
    assert done.returncode == 2
    assert "works on one process" in done.stderr
