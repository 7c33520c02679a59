"""Callbacks look on: they change no number, are resumed, and write down what they found."""

import csv
import itertools

import pytest
import torch
from lightning.pytorch.loggers import CSVLogger

import simlearn
from simlearn.cli import Options
from simlearn.cli.parsing import prepare
from simlearn.training.objectives import MultiStep, OneStep
from simlearn_stabilizers import JacobianPenalty, NoiseInjection, SpectralNorm
from simlearn_training_dynamics import callbacks
from simlearn_training_dynamics.callbacks import (
    OrbitalStability,
    Sharpness,
    TrainingExponent,
    TrainingSpectrum,
)


def everyone():
    return [
        Sharpness(every=4, probe=7),
        TrainingExponent(every=4),
        OrbitalStability(every=4, points=8),
        TrainingSpectrum(every=4, count=3, vectors=6),
    ]


WAYS = {
    "full batches": {},
    "minibatches, noise, momentum": {
        "batch_size": 3,
        "stabilizers": [NoiseInjection(0.1)],
        "optimizer": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9, nesterov=True),
        "objective": OneStep(),
    },
    "Adam, clipped, a growing horizon": {
        "batch_size": 4,
        "clip": 0.5,
        "optimizer": None,
        "objective": MultiStep(4, start=1, grow_over=6),
        "max_epochs": 8,
    },
    "AdamW, learned starts, a schedule": {
        "optimizer": lambda w: torch.optim.AdamW(w, lr=0.01),
        "scheduler": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
        "objective": MultiStep(4, optimize_starts=True),
        "max_epochs": 8,
    },
    "RMSprop, bounded weights, penalty": {
        "optimizer": lambda w: torch.optim.RMSprop(w, lr=0.003, momentum=0.2),
        "stabilizers": [SpectralNorm(), JacobianPenalty(0.1)],
        "max_epochs": 8,
    },
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("way", WAYS)
def test_weights_are_the_same_to_the_last_bit(train, way, dtype):
    alone = train(dtype=dtype, **WAYS[way])
    random = torch.random.get_rng_state()
    watched = train(*everyone(), dtype=dtype, **WAYS[way])
    assert torch.equal(random, torch.random.get_rng_state())
    for name, value in alone.state_dict().items():
        assert torch.equal(watched.state_dict()[name], value), name
    told = watched.provenance.pop("training_dynamics")
    assert alone.provenance == watched.provenance
    assert set(told) == {
        "Sharpness", "TrainingExponent", "OrbitalStability", "TrainingSpectrum"
    }  # fmt: skip
    assert all(one["lines"] for one in told.values())


def test_the_archive_takes_along_what_was_found(train, tmp_path):
    watched = train(*everyone())
    kept = simlearn.load(simlearn.save(watched, tmp_path / "simulator")).provenance
    assert kept["training_dynamics"] == watched.provenance["training_dynamics"]
    for told in kept["training_dynamics"].values():
        assert {"title", "caption", "x_label", "y_label", "lines", "numbers"} <= set(told)


@pytest.mark.parametrize("count", [10, 255, 256, 5000])
def test_of_many_rows_some_are_kept_evenly_spaced_up_to_the_last(count):
    watch = TrainingExponent()
    for number in range(1, count + 1):
        watch.keep({"updates": 10.0 * number})
    kept = [row["updates"] for row in watch.rows]
    assert min(count, 128) <= len(kept) <= 255
    assert len({b - a for a, b in itertools.pairwise(kept)}) == 1
    assert kept[-1] > 10 * count * (1 - 1 / 64)


CONFIG = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 8, depth: 1}}
    integrator: RK4
    dt: 0.1
  objective: OneStep
  stabilizers: [NoiseInjection]
  optimizer: OPTIMIZER
  dtype: DTYPE
  steps_per_call: 3
data: {generator: MassSpring, count: 4, steps: 21, dt: 0.1, batch_size: 8}
trainer:
  max_epochs: 6
  callbacks:
    - {class_path: simlearn_training_dynamics.callbacks.Sharpness, init_args: {every: 5}}
    - {class_path: simlearn_training_dynamics.callbacks.TrainingExponent, init_args: {every: 5}}
    - {class_path: simlearn_training_dynamics.callbacks.OrbitalStability, init_args: {every: 5}}
    - class_path: simlearn_training_dynamics.callbacks.TrainingSpectrum
      init_args: {every: 5, vectors: 8}
"""
ADAM = "{class_path: torch.optim.Adam, init_args: {lr: 0.01}}"


def rows(run):
    """What callbacks wrote, by step of the optimizer, over all files of a run."""
    found = {}
    for path in sorted(run.glob("metrics*.csv")):
        for row in csv.DictReader(path.open()):
            if row.get("updates"):
                names = [n for n in row if row[n] and n not in ("step", "epoch")]
                found.setdefault(float(row["updates"]), {}).update(
                    {n: float(row[n]) for n in names}
                )
    return found


def test_every_row_is_written_whatever_lightning_skips(train, tmp_path):
    """simlearn.fit leaves log_every_n_steps at Lightning's 50."""
    watch, logger = Sharpness(every=2), CSVLogger(tmp_path, name="", version="")
    train(watch, TrainingExponent(every=3), logger=logger)
    written = list(csv.DictReader((tmp_path / "metrics.csv").open()))
    sharp = [row for row in written if row["sharpness"]]
    assert [float(row["updates"]) for row in sharp] == list(range(2, 21, 2))
    assert [int(row["step"]) for row in sharp] == list(range(1, 20, 2))
    assert [float(row["sharpness"]) for row in sharp] == [one["sharpness"] for one in watch.rows]
    exponents = [float(row["updates"]) for row in written if row["training_exponent"]]
    assert exponents == [3, 6, 9, 12, 15, 18]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_resumed_training_finds_what_one_that_ran_through_found(command, tmp_path, dtype, capsys):
    text = CONFIG.replace("OPTIMIZER", ADAM).replace("DTYPE", dtype)
    (tmp_path / "through.yaml").write_text(text)
    (tmp_path / "parts.yaml").write_text(text)
    assert command("fit", "-c", "through.yaml") == 0
    assert command("fit", "-c", "parts.yaml", "--trainer.max_epochs", 3) == 0
    assert command("fit", "-c", "parts.yaml", "--run", "parts", "--resume") == 0, (
        capsys.readouterr().err
    )
    through, parts = rows(tmp_path / "runs/through"), rows(tmp_path / "runs/parts")
    assert list(through) == list(parts)
    assert len(through) >= 8
    for step, row in through.items():
        assert row == pytest.approx(parts[step], rel=1e-9, abs=1e-12), step
    one, other = (
        simlearn.load(tmp_path / "runs" / name).provenance["training_dynamics"]
        for name in ("through", "parts")
    )
    for name, told in one.items():
        for a, b in zip(told["lines"], other[name]["lines"], strict=True):
            assert a["x"] == b["x"]
            assert a["y"] == pytest.approx(b["y"], rel=1e-9, abs=1e-12)
        assert told["caption"] == other[name]["caption"]


# Where they are found


def test_the_plugin_is_loaded_and_lets_configs_name_its_callbacks():
    known = prepare(Options())
    (ours,) = [p for p in known.plugins if p.name == "training-dynamics"]
    assert (ours.status, ours.components) == ("ok", [])
    assert "simlearn_training_dynamics" in known.modules()


def test_the_package_does_not_import_lightning(shell):
    import subprocess
    import sys

    code = "import sys, simlearn_training_dynamics; sys.exit('lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_config_that_names_a_callback_wrongly_is_told(command, tmp_path, capsys):
    text = CONFIG.replace("OPTIMIZER", ADAM).replace("DTYPE", "float64")
    (tmp_path / "a.yaml").write_text(text.replace("callbacks.Sharpness", "callbacks.Sharpnes"))
    (tmp_path / "b.yaml").write_text(text.replace("vectors: 8", "vector: 8"))
    assert command("fit", "-c", "a.yaml") == 2
    assert "did you mean Sharpness" in capsys.readouterr().err
    assert command("fit", "-c", "b.yaml") == 2
    assert "TrainingSpectrum has no argument vector" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_every_callback_documents_its_arguments():
    for name in callbacks.__all__:
        doc = getattr(callbacks, name).__doc__
        assert "Args:" in doc
        assert "Cost" in doc
