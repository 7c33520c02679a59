"""Fault rows 13, 15, 22, 23 and 24: a dataset that is drawn by several, killed, or too large."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

import simlearn
import simlearn.dynamics
import simlearn.integrators
from simlearn.cli import run
from simlearn.data.store import read

# one step of the third shard waits for a file that somebody removes
SLOW = '''
import os, pathlib, time
import torch
import simlearn
from simlearn_mechanics import MassSpring


class Slow(simlearn.System):
    """A mass on a spring; drawing trajectory `stop` ends as `how` says, once a file is there.

    Args:
        stop: Number of the trajectory.
        how: hang, die or raise.
    """

    def __init__(self, stop: int = 150, how: str = "hang"):
        self.stop, self.how, self.number = stop, how, 0

    def truth(self):
        return MassSpring().truth()

    def start(self, rng):
        x = torch.randn((1, 2), generator=rng)
        if rng.initial_seed() == simlearn.randomness.generator(0, self.stop).initial_seed():
            self.acted()
        return x, simlearn.Topology.isolated(1)

    def acted(self):
        here = pathlib.Path(os.environ["PLACE"])
        if not (here / "stop").exists():
            return
        (here / "there").touch()
        if self.how == "die":
            os.kill(os.getpid(), 9)
        if self.how == "raise":
            raise ValueError("no such spring")
        time.sleep(60)
'''
DRAW = ("generate", "--allow-import", "slow", "--generator", "slow.Slow", "--count", "200",
        "--steps", "5", "--dt", "0.1", "--out", "d.h5")  # fmt: skip


@pytest.fixture
def here(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


def begun(forks, here, *more):
    (here / "stop").touch()
    process = forks.start(here, *DRAW, *more, PLACE=str(here), PYTHONPATH=str(here))
    process.until((here / "there").exists)
    (here / "stop").unlink()
    return process


def drawn(forks, here, *more):
    return forks.run(here, *DRAW, *more, PLACE=str(here), PYTHONPATH=str(here))


def left(here):
    return [path.name for path in here.glob(".d.h5*")]


@pytest.mark.fault(13)
def test_a_second_writer_is_refused_and_hears_of_the_first(forks, here):
    first = begun(forks, here)
    began = time.monotonic()
    code, second = drawn(forks, here)
    assert code == 6
    assert time.monotonic() - began < 20, "at once, not when it had drawn everything"
    assert f"The file d.h5 is in use by process {first.pid} on {os.uname().nodename}" in (
        second.said()
    )
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert {".d.h5.lock", ".d.h5.partial"} <= set(left(here)), "the dead remove nothing"
    assert drawn(forks, here)[0] == 0
    assert not left(here)


@pytest.mark.fault(13)
def test_every_command_that_writes_data_takes_the_lock(forks, here, tmp_path):
    first = begun(forks, here)
    (here / "a.csv").write_text("t,q\n0,1\n1,2\n2,4\n")
    code, second = forks.run(here, "data", "import", "a.csv", "--out", "d.h5")
    assert code == 6, second.said()
    assert f"process {first.pid}" in second.said()
    os.kill(first.pid, signal.SIGKILL)
    first.wait()


@pytest.mark.fault(15)
@pytest.mark.parametrize(("before", "after"), [(1, 1), (1, 2), (2, 1)])
def test_a_killed_generation_goes_on_and_no_byte_differs(forks, here, sha256, before, after):
    """Killed while the third of four shards is drawn, by other numbers of processes than later."""
    process = begun(forks, here, "--workers", before)
    process.until((here / ".d.h5.pieces").is_dir)
    process.until(lambda: len(list((here / ".d.h5.pieces").rglob("*-*.h5"))) == 2)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -9
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "the processes that drew for it end, too"
    assert not (here / "d.h5").exists()
    code, again = drawn(forks, here, "--workers", after)
    assert code == 0, again.said()
    assert "going on from 2 pieces of d.h5" in again.said()
    resumed = sha256(here / "d.h5")
    assert not left(here)
    (here / "d.h5").unlink()
    assert drawn(forks, here)[0] == 0
    assert sha256(here / "d.h5") == resumed


@pytest.mark.fault(15)
def test_pieces_of_another_request_or_damaged_ones_are_not_taken(forks, here, sha256):
    process = begun(forks, here)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (piece, other) = sorted((here / ".d.h5.pieces").rglob("*-*.h5"))
    content = bytearray(piece.read_bytes())
    content[len(content) // 2] ^= 1
    piece.write_bytes(content)
    other.write_bytes(b"")
    assert drawn(forks, here)[0] == 0
    one = sha256(here / "d.h5")
    (here / "d.h5").unlink()
    process = begun(forks, here, "--dt", "0.2")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    code, again = drawn(forks, here)
    assert code == 0
    assert "going on" not in again.said()
    assert sha256(here / "d.h5") == one


@pytest.mark.fault(15)
def test_pieces_that_other_code_has_drawn_are_not_taken(forks, here):
    """The generator was changed while the generation lay killed: no dataset of both."""
    process = begun(forks, here)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert list((here / ".d.h5.pieces").rglob("*-*.h5"))
    twice = SLOW.replace("x = torch.randn(", "x = 2 * torch.randn(")
    (here / "slow.py").write_text(twice)
    code, again = drawn(forks, here)
    assert code == 0
    assert "going on" not in again.said()
    mixed = read(here / "d.h5")
    (here / "d.h5").unlink()
    assert drawn(forks, here)[0] == 0
    assert read(here / "d.h5").digest == mixed.digest


@pytest.mark.fault(15)
def test_a_generation_that_the_disk_ended_goes_on_and_no_byte_differs(here, sha256):
    """With room for the pieces and not for the whole, in a process of its own."""
    draw = ["generate", "--generator", "MassSpring", "--count", "140", "--steps", "300", "--dt",
            "0.1", "--out", "d.h5"]  # fmt: skip

    def shell(limit):
        command = ["sh", "-c", f'ulimit -f {limit}; exec "$@"', "sh"]
        done = subprocess.run(
            [*command, sys.executable, "-m", "simlearn", *draw],
            cwd=here, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    assert shell("unlimited")[0] == 0
    whole = sha256(here / "d.h5")
    blocks = (here / "d.h5").stat().st_size // 1024  # of 512 bytes: half of the file
    (here / "d.h5").unlink()
    code, said = shell(blocks)
    assert code == 6, said
    assert (
        said
        == "simlearn: Cannot write d.h5: File too large. Free space there, or write elsewhere.\n"
    )
    assert left(here) == [".d.h5.pieces"]
    code, said = shell("unlimited")
    assert code == 0
    assert "going on from" in said
    assert sha256(here / "d.h5") == whole


@pytest.mark.fault(22)
def test_a_worker_that_is_killed_is_told_and_the_rest_is_kept(forks, here):
    (here / "stop").touch()
    code, process = drawn(forks, here, "--workers", "2", "--generator.how", "die")
    assert code == 6
    assert "One of 2 processes that draw was killed, most likely because the memory was full" in (
        process.said()
    )
    assert "fewer --workers" in process.said()
    assert not (here / "d.h5").exists()
    (here / "stop").unlink()
    assert drawn(forks, here, "--generator.how", "die")[0] == 0
    assert len(read(here / "d.h5")) == 200


@pytest.mark.fault(23)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_raises_is_told_with_its_trajectory(forks, here, workers):
    (here / "stop").touch()
    code, process = drawn(forks, here, "--workers", workers, "--generator.how", "raise")
    assert code == 4
    # the shard of the trajectory begins with number 128
    assert "package slow: slow.Slow.draw, trajectory 128: it raised ValueError: no such spring" in (
        process.said()
    )
    assert "Traceback" not in process.said()
    assert not (here / "d.h5").exists()
    assert not left(here)


@pytest.mark.fault(24)
@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--steps", "10000000000"), "may be used now. Take fewer --steps"),
        (("--steps", "1000", "--count", "10000000000"), "left. Take fewer --count or --steps"),
        (("--steps", "100000", "--count", "6400", "--workers", "4000"), "--workers"),
    ],
)
def test_a_dataset_too_large_is_refused_with_the_estimate(command, capsys, tmp_path, given, told):
    draw = ("generate", "--generator", "MassSpring", "--dt", "0.1", "--out", "d.h5", *given)
    began = time.monotonic()
    assert command(*draw) == 6
    error = capsys.readouterr().err
    assert told in error
    assert "would take about" in error
    assert time.monotonic() - began < 20
    assert not list(tmp_path.iterdir())


@pytest.mark.fault(24)
@pytest.mark.parametrize("limited", [False, True])
def test_a_training_whose_data_are_too_large_is_refused_with_the_estimate(
    command, capsys, tmp_path, monkeypatch, limited
):
    """Nothing is drawn, also where only this process may not hold it."""
    monkeypatch.setattr(simlearn.System, "draw", lambda *_: pytest.fail("it is drawn"))
    steps = "2000000000"
    if limited:
        process = psutil.Process
        monkeypatch.setattr(process, "rlimit", lambda *_: (process().memory_info().vms + 10**6, -1))
        steps = "2000"
    (tmp_path / "c.yaml").write_text(
        "model: {simulator: {dynamics: {class_path: MLPField, init_args: {dim: 2}}, "
        "integrator: RK4, dt: 0.1}}\ndata: {generator: MassSpring}\ntrainer: {max_epochs: 1}\n"
    )
    assert command("fit", "-c", "c.yaml", "--data.steps", steps) == 6
    error = capsys.readouterr().err
    assert f"trajectories of {steps} steps, drawn into memory by MassSpring, would take" in error
    assert "may be used now. Take a smaller count or fewer steps" in error


@pytest.mark.fault(24)
@pytest.mark.parametrize("count", [10**9, 10**400])
def test_what_an_archive_says_of_its_data_is_not_drawn_where_it_is_too_large(monkeypatch, count):
    from simlearn import catalog
    from simlearn.cli.training_data import training_data

    monkeypatch.setattr(simlearn.System, "draw", lambda *_: pytest.fail("it is drawn"))
    one = simlearn.Simulator(simlearn.dynamics.MLPField(dim=2), simlearn.integrators.RK4(), 0.1)
    data = {"generator": {"class_path": "MassSpring", "init_args": {}},
            "count": count, "steps": 10**6, "dt": 0.1, "seed": 0}  # fmt: skip
    one.provenance = {"data": data, "training": {"sha256": "0", "trajectories": 1}}
    said = []
    assert training_data(None, one, catalog.load(), True, said.append) == ()
    assert "would take about" in said[-1]


@pytest.mark.parametrize("count", ["0", "-1"])
def test_no_trajectory_is_no_dataset(command, count):
    assert run(["generate", "--generator", "MassSpring", "--steps", "5", "--dt", "0.1",
                "--out", "d.h5", "--count", count]) == 2  # fmt: skip
