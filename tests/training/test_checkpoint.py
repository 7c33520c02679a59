"""Checkpoint files: whole or absent at every moment, refused where they are damaged."""

import shutil
import subprocess
import sys

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.component import ArchiveError, ConfigError, EnvironmentFault
from simlearn.data.generate import sample_times
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn.training.checkpoint import CheckpointFiles, newest, read
from simlearn.training.durable import beside
from simlearn.training.objectives import MultiStep
from simlearn.training.resume import Checkpoints
from simlearn_mechanics import MassSpring


def body(number):
    return {"state_dict": {"w": torch.full((3,), float(number))}, "number": number}


def number_of(path):
    return read(path)["number"]


@pytest.fixture
def folder(tmp_path):
    """A folder with the checkpoints 1 and 2."""
    files = CheckpointFiles()
    for number in (1, 2):
        files.save_checkpoint(body(number), tmp_path / "last.ckpt")
    return tmp_path


def test_last_becomes_previous_and_sums_are_those_of_sha256sum(folder):
    assert (number_of(folder / "last.ckpt"), number_of(folder / "previous.ckpt")) == (2, 1)
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["last.ckpt", "last.ckpt.sha256", "previous.ckpt", "previous.ckpt.sha256"]
    if shutil.which("sha256sum"):
        command = ["sha256sum", "-c", "last.ckpt.sha256", "previous.ckpt.sha256"]
        assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 0


EVERY_MOMENT = """
import hashlib, os, pathlib, shutil, signal, sys
from simlearn.training.durable import beside, tidy, write

damaged, kept, here = sys.argv[1] == "damaged", pathlib.Path("kept"), pathlib.Path("here")
for number in (b"1", b"2"):
    write(kept / "last.ckpt", number, keep=True)
if damaged:
    (kept / "last.ckpt").write_bytes(b"")


def newest():
    for name in ("last.ckpt", "previous.ckpt"):
        path = here / name
        if path.exists() and beside(path).exists():
            if hashlib.sha256(path.read_bytes()).hexdigest() == beside(path).read_text().split()[0]:
                return path.read_text()


def killed(at):
    count = 0

    def watch(*_):
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(watch)
    write(here / "last.ckpt", b"3", keep=not damaged)
    os._exit(0)


at, found = 0, []
while True:
    at += int(sys.argv[2])
    shutil.rmtree(here, ignore_errors=True)
    shutil.copytree(kept, here)
    child = os.fork() or killed(at)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    found.append(newest())
    tidy(here)
    assert not list(here.glob(".*"))
    if code == 0:
        break
print(at, *sorted(set(map(str, found))), found[-1])
"""


@pytest.mark.fault(2)
@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("last", "old"), [("sound", "2"), ("damaged", "1")])
def test_no_moment_of_a_write_is_without_a_sound_checkpoint(tmp_path, last, old, stride):
    """Killed between any two calls: the old one or the new one, never a damaged one unseen."""
    command = [sys.executable, "-c", EVERY_MOMENT, last, str(stride)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    moments, *found, end = done.stdout.split()
    assert int(moments) > 200
    assert found == [old, "3"]
    assert end == "3"


def test_a_damaged_one_never_becomes_the_previous_one(folder):
    (folder / "last.ckpt").write_bytes(b"damaged")
    CheckpointFiles().save_checkpoint(body(3), folder / "last.ckpt")
    assert (number_of(folder / "last.ckpt"), number_of(folder / "previous.ckpt")) == (3, 1)


def test_a_sound_one_of_another_process_becomes_the_previous_one(folder):
    CheckpointFiles().save_checkpoint(body(3), folder / "last.ckpt")
    assert (number_of(folder / "last.ckpt"), number_of(folder / "previous.ckpt")) == (3, 2)
    beside(folder / "last.ckpt").unlink()  # an older simlearn wrote none
    CheckpointFiles().save_checkpoint(body(4), folder / "last.ckpt")
    assert (number_of(folder / "last.ckpt"), number_of(folder / "previous.ckpt")) == (4, 3)
    assert not beside(folder / "previous.ckpt").exists()


def test_the_newest_sound_one_is_taken_and_the_others_are_told(folder):
    files, said = CheckpointFiles(), []
    files.save_checkpoint(body(9), folder / "epoch=9.ckpt")
    assert newest(folder, said.append).name == "last.ckpt"
    assert not said
    beside(folder / "last.ckpt").write_text(f"{'0' * 64}  last.ckpt\n")
    assert newest(folder, said.append).name == "previous.ckpt"
    assert len(said) == 1
    assert "last.ckpt is damaged" in said[0]
    (folder / "previous.ckpt").unlink()
    assert newest(folder, said.append).name == "epoch=9.ckpt"
    assert newest(folder / "nowhere", said.append) is None


def test_other_names_are_overwritten_whole(folder):
    files = CheckpointFiles()
    for number in (1, 2):
        files.save_checkpoint(body(number), folder / "best.ckpt")
        assert number_of(folder / "best.ckpt") == number
    files.remove_checkpoint(folder / "best.ckpt")
    assert not list(folder.glob("best*"))


STRANGE = {
    "numpy scalar": (np.float64(1.0), "callbacks['Mine']['kept']"),
    "function": (len, "callbacks['Mine']['kept']"),
    "object in a list": ([1, object], "callbacks['Mine']['kept'][1]"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_what_cannot_be_read_again_is_refused_before_it_is_written(tmp_path, name):
    value, where = STRANGE[name]
    files = CheckpointFiles()
    with pytest.raises(ArchiveError, match="could not be read again") as error:
        files.save_checkpoint(
            {**body(1), "callbacks": {"Mine": {"kept": value}}}, tmp_path / "last.ckpt"
        )
    assert where in str(error.value)
    assert not list(tmp_path.iterdir())


def test_what_comes_in_later_is_refused_too_and_the_sound_ones_stay(folder):
    files = CheckpointFiles()
    files.save_checkpoint(body(3), folder / "last.ckpt")
    with pytest.raises(ArchiveError, match="could not be read again"):
        files.save_checkpoint({**body(4), "kept": np.float64(1.0)}, folder / "last.ckpt")
    assert (number_of(folder / "last.ckpt"), number_of(folder / "previous.ckpt")) == (3, 2)


def test_where_it_cannot_be_written_it_goes_elsewhere(tmp_path):
    (tmp_path / "checkpoints").write_text("a file, and no folder")
    target = tmp_path / "checkpoints/last.ckpt"
    with pytest.raises(EnvironmentFault, match="name a folder on another disk with --spill DIR"):
        CheckpointFiles().save_checkpoint(body(1), target)
    with pytest.raises(EnvironmentFault, match="It was saved as ") as error:
        CheckpointFiles(tmp_path / "other").save_checkpoint(body(1), target)
    spilled = next((tmp_path / "other").glob("*.ckpt"))
    assert number_of(spilled) == 1
    assert str(spilled) in str(error.value)
    with pytest.raises(EnvironmentFault, match="Nor could"):
        CheckpointFiles(tmp_path / "checkpoints").save_checkpoint(body(1), target)


def test_a_training_from_python_keeps_checkpoints_and_goes_on(tmp_path, seeded):
    """Interrupted by an error of its own, resumed, and equal to the last bit."""

    class Stops(pl.Callback):
        def on_train_epoch_end(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                raise RuntimeError("the machine went away")

    tracks = list(MassSpring().draw(range(4), sample_times(20, 0.1), 0))

    def trained(**given):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            simulator = Simulator(MLPField(dim=2, width=8), RK4(), 0.1)
        how = {"objective": MultiStep(horizon=4), "batch_size": 8, "progress": False}
        return simlearn.fit(simulator, tracks, max_epochs=5, **how, **given)

    whole = trained()
    keep = {"enable_checkpointing": True, "default_root_dir": str(tmp_path)}
    with pytest.raises(RuntimeError, match="went away"):
        trained(callbacks=[Checkpoints(every_steps=1), Stops()], **keep)
    last = tmp_path / "checkpoints/last.ckpt"
    resumed = trained(resume=last, **keep)
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)
    assert read(last)["callbacks"]["Ledger"]["updates"] == 5 * 2


def test_a_second_training_in_one_folder_leaves_the_checkpoints_of_the_first(tmp_path):
    tracks = list(MassSpring().draw(range(2), sample_times(20, 0.1), 0))

    def trained(**more):
        simulator = Simulator(MLPField(dim=2, width=4), RK4(), 0.1)
        keep = {"enable_checkpointing": True, "default_root_dir": str(tmp_path)}
        simlearn.fit(simulator, tracks, max_epochs=1, progress=False, **keep, **more)

    trained()
    before = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    with pytest.raises(ConfigError, match="holds the checkpoints of another training"):
        trained()
    after = {path.name: path.read_bytes() for path in (tmp_path / "checkpoints").iterdir()}
    assert after == before
    trained(resume=tmp_path / "checkpoints/last.ckpt")
