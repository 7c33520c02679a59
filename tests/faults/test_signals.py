"""Fault row 5: a training that is asked to stop saves itself, says so, and goes on later."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

CONFIG = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 8}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: slow.Slow, init_args: {seconds: SECONDS}}
  steps_per_call: 1
data: {generator: Pendulum, count: 6, steps: 41, dt: 0.1, batch_size: 12}
trainer: {max_epochs: 6, callbacks: [{class_path: Checkpoints, init_args: {every_seconds: 1000}}]}
"""
SLOW = """
import pathlib
import time

from simlearn.training.objectives import MultiStep


class Slow(MultiStep):
    \"\"\"A step takes its time.

    Args:
        seconds: How long.
    \"\"\"

    def __init__(self, seconds: float = 0.0):
        super().__init__(horizon=4)
        self.seconds = seconds

    def prepare(self, training):
        super().prepare(training)
        pathlib.Path("prepared").touch()
        if pathlib.Path("stay").exists():
            time.sleep(60)

    def loss(self, simulator, window):
        with open("steps", "a") as file:
            file.write(".")
        time.sleep(self.seconds)
        return super().loss(simulator, window)
"""
FIT = ("fit", "-c", "x.yaml", "--allow-import", "slow")
WEIGHTS = "runs/x/simulator/weights.safetensors"


def folder(path, seconds):
    path.mkdir()
    (path / "x.yaml").write_text(CONFIG.replace("SECONDS", str(seconds)))
    (path / "slow.py").write_text(SLOW)
    return path


def steps(here):
    path = here / "steps"
    return len(path.read_text()) if path.exists() else 0


@pytest.fixture(scope="module")
def whole(forks, tmp_path_factory):
    """The same training, left alone; how slow it is does not change its weights."""
    here = folder(tmp_path_factory.mktemp("signals") / "whole", 0.0)
    code, process = forks.run(here, *FIT)
    assert code == 0, process.said()
    return (here / WEIGHTS).read_bytes()


@pytest.mark.fault(5)
@pytest.mark.parametrize(
    ("number", "code", "word"),
    [
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGUSR1, 143, "terminated"),
    ],
)
def test_a_signal_saves_at_the_next_step(forks, tmp_path, whole, number, code, word):
    """At the next one, and the checkpoint is of that step: nothing is done twice or left out."""
    here = folder(tmp_path / "here", 0.05)
    process = forks.start(here, *FIT)
    process.until(lambda: steps(here) > 2)
    os.kill(process.pid, number)
    assert process.wait() == code
    done, said = steps(here), process.said()
    assert f"simlearn: {word}" in said
    assert "with --run x --resume goes on" in said
    assert "Traceback" not in said
    assert not (here / "runs/x/simulator").exists()
    text = (here / "x.yaml").read_text()
    (here / "x.yaml").write_text(text.replace("seconds: 0.05", "seconds: 0.0"))
    assert forks.run(here, *FIT, "--resume", "--allow-drift")[0] == 0
    assert (here / WEIGHTS).read_bytes() == whole
    assert done < steps(here) == 30, "no step is done twice"


@pytest.mark.fault(5)
def test_a_second_signal_is_immediate(forks, tmp_path):
    here = folder(tmp_path / "here", 30.0)
    process = forks.start(here, *FIT)
    process.until(lambda: steps(here) > 0)
    os.kill(process.pid, signal.SIGTERM)
    time.sleep(0.3)
    os.kill(process.pid, 0)  # it still waits for the end of its step
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == -signal.SIGTERM


@pytest.mark.fault(5)
def test_slurm_is_asked_to_run_the_job_again(forks, tmp_path, whole):
    """A stand-in for scontrol writes down what it is told; the job goes on when it runs again."""
    here = folder(tmp_path / "here", 0.05)
    program = tmp_path / "bin/scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n')
    program.chmod(0o755)
    slurm = {
        "SLURM_JOB_ID": "42",
        "SLURM_NTASKS": "1",
        "SLURM_JOB_NAME": "training",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
        "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}",
    }
    job = (*FIT, "--resume", "--trainer.devices", "1")  # one line for all starts
    process = forks.start(here, *job, **slurm)
    process.until(lambda: steps(here) > 2)
    os.kill(process.pid, signal.SIGUSR1)
    assert process.wait() == 143, process.said()
    assert (tmp_path / "told").read_text() == "requeue 42\n"
    assert "job 42 is queued again" in process.said()
    assert not list((here / "runs/x").glob("hpc_ckpt*"))
    code, process = forks.run(here, *job, **{**slurm, "SLURM_RESTART_COUNT": "1"})
    assert code == 0, process.said()
    assert (here / WEIGHTS).read_bytes() == whole


@pytest.mark.fault(5)
def test_slurm_is_asked_wherever_the_time_is_up(forks, tmp_path):
    """Also before the first step: nothing is saved yet, and the job begins when it runs again."""
    here = folder(tmp_path / "here", 0.0)
    (here / "stay").touch()
    program = tmp_path / "bin/scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    process = forks.start(here, *FIT, SLURM_JOB_ID="42", PATH=path)
    process.until((here / "prepared").exists)
    os.kill(process.pid, signal.SIGUSR1)
    assert process.wait() == 143
    assert (tmp_path / "told").read_text() == "requeue 42\n"
    assert "job 42 is queued again" in process.said()
    assert "it is saved" not in process.said()


@pytest.mark.fault(5)
def test_a_training_without_checkpoints_does_not_say_that_it_is_saved(forks, tmp_path):
    here = folder(tmp_path / "here", 0.05)
    text = (here / "x.yaml").read_text().split("trainer:")[0]
    (here / "x.yaml").write_text(f"{text}trainer: {{enable_checkpointing: false}}\n")
    process = forks.start(here, *FIT)
    process.until(lambda: steps(here) > 2)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait() == 143
    assert "it is saved" not in process.said()
    assert "nothing is saved: this training keeps no checkpoints" in process.said()


@pytest.mark.fault(5)
def test_an_array_job_is_named_by_its_task(forks, tmp_path):
    here = folder(tmp_path / "here", 0.05)
    program = tmp_path / "bin/scontrol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/told\necho no such job >&2\nexit 1\n')
    program.chmod(0o755)
    array = {"SLURM_JOB_ID": "43", "SLURM_ARRAY_JOB_ID": "42", "SLURM_ARRAY_TASK_ID": "7"}
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    process = forks.start(here, *FIT, **array, PATH=path)
    process.until(lambda: steps(here) > 1)
    os.kill(process.pid, signal.SIGUSR1)
    assert process.wait() == 143
    assert (tmp_path / "told").read_text() == "requeue 42_7\n"
    assert "job 42_7 was not queued again: no such job" in process.said()


@pytest.mark.fault(5)
@pytest.mark.slow
def test_all_processes_of_a_training_stop_at_one_step(tmp_path, shell):
    """One of two hears the signal; both save, leave, and go on together."""
    here = folder(tmp_path / "here", 0.1)
    ddp = ["--trainer.strategy", "ddp", "--trainer.devices", "2", "--trainer.accelerator", "cpu"]
    command = [sys.executable, "-m", "simlearn", *FIT, *ddp, "--data.batch_size", "6"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here)}
    process = subprocess.Popen(command, cwd=here, env=environment, stderr=subprocess.PIPE)
    end = time.monotonic() + 120
    while steps(here) < 5:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    resumed = shell(*FIT, *ddp, "--data.batch_size", "6", "--resume", cwd=here,
                    OMP_NUM_THREADS="1", PYTHONPATH=str(here))  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    told = json.loads((here / "runs/x/simulator/simulator.json").read_text())
    assert told["provenance"]["optimizer"]["updates"] == 30
