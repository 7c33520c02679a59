"""How commands end: nobody reads them, a component ends them, a disk is full, a key is dead."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from simlearn import cli

CONFIG = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 64}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4}}
data: {generator: Pendulum, count: 4, steps: 21, dt: 0.1, batch_size: 8}
trainer: {max_epochs: 3, callbacks: [{class_path: Checkpoints, init_args: {every_steps: 1}}]}
"""
MINE = """
import argparse
import sys
from simlearn.training.objectives import MultiStep
class Loss(MultiStep):
    \"\"\"Of one step.

    Args:
        how: Its fault.
    \"\"\"
    def __init__(self, how: str = ""):
        super().__init__(horizon=4)
        self.how, self.times = how, 0
    def loss(self, simulator, window):
        self.times += 1
        if self.times > 2:
            if self.how == "exits":
                sys.exit(0)
            if self.how == "parses":
                argparse.ArgumentParser().parse_args(["--help"])
            raise ValueError("of its own")
        return super().loss(simulator, window)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yaml").write_text(CONFIG)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


@pytest.fixture
def unread():
    """A pipe at whose other end nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


def simlearn(*argv, **streams):
    """A process of its own, that writes late."""
    buffered = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-m", "simlearn", *argv]
    return subprocess.run(command, env=buffered, check=False, **streams)


@pytest.mark.fault(28)
@pytest.mark.parametrize(("argv", "code"), [(["--version"], 0), (["plugims"], 2)])
def test_a_command_that_has_done_its_work_keeps_its_code(unread, argv, code):
    assert simlearn(*argv, stdout=unread, stderr=unread).returncode == code


@pytest.mark.fault(28)
@pytest.mark.skipif(not pathlib.Path("/dev/full").exists(), reason="there is no full device")
def test_what_cannot_be_written_was_not_said():
    with open("/dev/full", "w") as full:
        done = simlearn("plugins", stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 6
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.fault(28)
def test_a_training_that_cannot_speak_is_not_done(here, unread, monkeypatch):
    """As in `simlearn fit ... 2>&1 | head -n 1`."""
    with open(os.dup(unread), "w", buffering=1) as broken:
        monkeypatch.setattr(sys, "stderr", broken)
        assert cli.run(["fit", "-c", "x.yaml"]) == 6
        monkeypatch.undo()
        os.dup2(os.open(os.devnull, os.O_WRONLY), broken.fileno())
    assert not (here / "runs/x/simulator").exists()


@pytest.mark.fault(17)
@pytest.mark.parametrize(
    ("how", "told"),
    [("exits", "SystemExit: 0"), ("parses", "SystemExit: 0"), ("raises", "ValueError: of its own")],
)
def test_a_package_that_was_let_in_is_named_too(forks, here, how, told):
    """A process that one of its classes ends has not done what was asked."""
    loss = f"{{class_path: mine.Loss, init_args: {{how: {how}}}}}"
    objective = "{class_path: MultiStep, init_args: {horizon: 4}}"
    (here / "x.yaml").write_text(CONFIG.replace(objective, loss))
    code, process = forks.run(here, "fit", "-c", "x.yaml", "--allow-import", "mine")
    assert code == 4, process.said()
    assert f"package mine: mine.Loss.loss raised {told}" in process.said()
    assert not (here / "runs/x/simulator").exists()


@pytest.mark.fault(9)
def test_a_callback_that_waits_for_nothing_is_told(here, capsys):
    early = "{class_path: EarlyStopping, init_args: {monitor: val_loss}}"
    (here / "x.yaml").write_text(CONFIG.replace("callbacks: [", f"callbacks: [{early}, "))
    assert cli.run(["fit", "-c", "x.yaml"]) == 2
    error = capsys.readouterr().err
    assert "metric `val_loss` which is not available" in error
    assert "`mean_loss`" in error
    assert "goes on" not in error, "it would fail again"


SOLVED = """
model:
  simulator:
    dynamics: {class_path: SeparableEnergy, init_args: {dim: 2, width: 8}}
    integrator: Leapfrog
    dt: 0.1
  start: Ladder
data: {generator: MassSpring, count: 4, steps: 21, dt: 0.1}
trainer: {max_epochs: 0}
"""


@pytest.mark.fault(3)
@pytest.mark.parametrize("spill", [True, False])
def test_an_archive_that_cannot_be_written_goes_elsewhere(here, monkeypatch, capsys, spill):
    """A closed form takes hours, too: its run is not removed, and it is spilled if asked."""
    (here / "x.yaml").write_text(SOLVED)
    (here / "elsewhere").mkdir()
    mkdir = pathlib.Path.mkdir

    def full(path, *given, **more):
        if path.name.startswith(".simulator."):
            raise OSError(28, "No space left on device")
        mkdir(path, *given, **more)

    monkeypatch.setattr(pathlib.Path, "mkdir", full)
    words = ["--spill", "elsewhere"] if spill else []
    assert cli.run(["fit", "-c", "x.yaml", *words]) == 6
    error = capsys.readouterr().err
    assert "No space left" in error
    assert (here / "runs/x/config.yaml").exists()
    other = here / "elsewhere/x-simulator"
    assert other.exists() == spill
    assert (f"It was saved as {other}" if spill else "--spill DIR") in error
    if spill:
        assert "ladder" in (other / "simulator.json").read_text().lower()


@pytest.fixture(scope="module")
def two(forks, tmp_path_factory):
    """Two trainings of one config, with another seed."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "x.yaml").write_text(CONFIG)
    for seed in "01":
        code, process = forks.run(folder, "fit", "-c", "x.yaml", "--model.seed", seed)
        assert code == 0, process.said()
    shutil.copy(folder / "runs/x-2/checkpoints/last.ckpt", folder / "moved.ckpt")
    return folder


def contents(run):
    return {p: p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


OTHER = ("fit", "-c", "x.yaml", "--model.seed", "1", "--trainer.max_epochs", "4", "--resume")


@pytest.mark.fault(14)
@pytest.mark.parametrize("place", ["runs/x-2", "runs/latest"])
def test_a_checkpoint_goes_on_in_its_own_run(forks, two, here, place):
    """Not in the one that is named like the config, which holds another training."""
    shutil.copytree(two, here, dirs_exist_ok=True, symlinks=True)
    before = contents(here / "runs/x")
    code, process = forks.run(here, *OTHER, f"{place}/checkpoints/last.ckpt")
    assert code == 0, process.said()
    assert "run: runs/x-2" in process.said()
    assert contents(here / "runs/x") == before


@pytest.mark.fault(14)
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["runs/x-2/checkpoints/last.ckpt", "--run", "x"], "is of runs/x-2. Leave --run out"),
        (["moved.ckpt"], "say so with --run x; if not, give a new name"),
    ],
)
def test_a_run_is_not_overwritten_by_another_training(forks, two, here, words, told):
    shutil.copytree(two, here, dirs_exist_ok=True, symlinks=True)
    before = contents(here / "runs")
    code, process = forks.run(here, *OTHER, *words)
    assert code == 2, process.said()
    assert f"runs/x holds a training already, and {words[0]}" in process.said()
    assert told in process.said()
    assert contents(here / "runs") == before


@pytest.mark.fault(14)
def test_a_checkpoint_that_was_moved_goes_on_where_it_is_told(forks, two, here):
    shutil.copytree(two, here, dirs_exist_ok=True, symlinks=True)
    before = contents(here / "runs/x")
    for run in ("new", "x-2"):
        code, process = forks.run(here, *OTHER, "moved.ckpt", "--run", run)
        assert code == 0, process.said()
        assert f"run: runs/{run}" in process.said()
    assert contents(here / "runs/x") == before
