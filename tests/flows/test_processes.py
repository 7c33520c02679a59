"""More than one process: the same numbers, and nothing written twice."""

import os
import subprocess
import sys

import pytest
import torch

import simlearn
from simlearn import cli
from simlearn.data.generate import sample_times
from simlearn.data.parallel import draw
from simlearn_mechanics import MassSpring

CONFIG = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 8}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4}}
  stabilizers: [Standardize]
  clip: 1.0
  steps_per_call: 3
data: {file: springs.h5, batch_size: BATCH, held_out: 0.2}
trainer: {max_epochs: 3}
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    springs = MassSpring().draw(range(10), sample_times(41, 0.1), 0)
    simlearn.write("springs.h5", springs, {"units": {"position": "m", "momentum": "kg m/s"}})
    for batch in (8, 16):
        (tmp_path / f"batch{batch}.yaml").write_text(CONFIG.replace("BATCH", str(batch)))
    return tmp_path


def weights(run):
    return simlearn.load(run).state_dict()


def launched(here, *command):
    return subprocess.run(
        [sys.executable, "-m", *map(str, command)],
        cwd=here,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=120,
    )


def same(one, other):
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=1e-6, atol=1e-9)


def test_two_processes_equal_one_with_the_doubled_batch(here, shell):
    """DDP over gloo from the same config: weights to 1e-6, one folder, one archive."""
    ddp = cli.__file__.replace("simlearn/cli/__init__.py", "configs/trainer/ddp.yaml")
    done = shell("fit", "-c", "batch8.yaml", "-c", ddp, "--trainer.accelerator", "cpu")
    assert done.returncode == 0, done.stderr
    assert cli.run(["fit", "-c", "batch16.yaml"]) == 0
    same(weights("runs/batch16"), weights("runs/batch8"))
    assert sorted(p.name for p in (here / "runs").iterdir()) == ["batch16", "batch8", "latest"]
    assert done.stdout.count("run: ") == 1
    rows = (here / "runs/batch8/metrics.csv").read_text().splitlines()
    assert len([row for row in rows[1:] if row]) == len(
        (here / "runs/batch16/metrics.csv").read_text().splitlines()[1:]
    )
    resumed = shell(
        *("fit", "-c", "batch8.yaml", "-c", ddp, "--trainer.accelerator", "cpu", "--resume"),
        *("--trainer.max_epochs", "4"),
    )
    assert resumed.returncode == 0, resumed.stderr
    kept = sorted(p.name for p in (here / "runs/batch8").glob("metrics*"))
    assert kept == ["metrics.csv"]


LBFGS = """
model:
  optimizer: {class_path: torch.optim.LBFGS, init_args: {max_iter: 5, line_search_fn: strong_wolfe}}
  scheduler: {class_path: torch.optim.lr_scheduler.ReduceLROnPlateau, init_args: {patience: 0}}
  clip: null
data: {batch_size: null, held_out: 0.0}
trainer: {max_epochs: 8}
"""


def test_line_searches_and_plateaus_see_one_loss(here):
    """Two processes that each followed their own loss would part, and then wait for ever."""
    (here / "lbfgs.yaml").write_text(LBFGS)
    ddp = ["--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.accelerator", "cpu"]
    two = launched(here, "simlearn", "fit", "-c", "batch8.yaml", "-c", "lbfgs.yaml", *ddp)
    assert two.returncode == 0, two.stderr
    assert cli.run(["fit", "-c", "batch16.yaml", "-c", "lbfgs.yaml"]) == 0
    same(weights("runs/batch16"), weights("runs/batch8"))


def test_torchrun_shares_one_run_folder(here):
    """Processes that somebody else started agree on the folder that the first one claimed."""
    (here / "runs/batch8").mkdir(parents=True)
    ddp = ["--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.accelerator", "cpu"]
    done = launched(
        here, "torch.distributed.run", "--nproc_per_node=2", "--standalone", "-m", "simlearn",
        "fit", "-c", "batch8.yaml", *ddp,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    names = sorted(p.name for p in (here / "runs").iterdir())
    assert names == ["batch8", "batch8-2", "latest"]
    assert (here / "runs/batch8-2/simulator/simulator.json").exists()
    assert not list((here / "runs/batch8").iterdir())


@pytest.mark.parametrize("workers", [2, 3])
def test_workers_change_no_bit(workers, here, command):
    """More trajectories than a shard; files of one and of several workers have one digest."""
    arguments = ["--generator", "MassSpring", "--count", "130", "--steps", "5", "--dt", "0.1"]
    assert command("generate", *arguments, "--out", "one.h5") == 0
    assert command("generate", *arguments, "--workers", workers, "--out", "many.h5") == 0
    assert simlearn.read("one.h5").digest == simlearn.read("many.h5").digest


def test_workers_keep_the_order():
    times = sample_times(5, 0.1)
    alone = list(MassSpring().draw(range(140), times, 3))
    for one, other in zip(alone, draw(MassSpring(), 140, times, 3, workers=2), strict=True):
        assert torch.equal(one.x, other.x)


def test_workers_below_one_are_refused(command, capsys):
    arguments = ["--generator", "MassSpring", "--steps", "5", "--dt", "0.1", "--out", "x.h5"]
    assert command("generate", *arguments, "--workers", "0") == 2
    assert "--workers must be at least 1" in capsys.readouterr().err
