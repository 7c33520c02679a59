"""One holder at a time, named; a lock that nobody holds is taken over."""

import json
import os
import subprocess
import sys
import time

import pytest

from simlearn.component import EnvironmentFault
from simlearn.lock import Lock, holder_of

HOLD = """
import sys, time
from pathlib import Path
from simlearn.lock import Lock
with Lock(Path(sys.argv[1]), "It"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_one_is_refused_and_hears_of_the_first(tmp_path, holder):
    told = rf"The table is in use by process {holder.pid} on {os.uname().nodename} since 2"
    with pytest.raises(EnvironmentFault, match=told), Lock(tmp_path / "lock", "The table"):
        pass
    assert (tmp_path / "lock").exists(), "the one who was refused removes nothing"


def test_a_lock_of_the_dead_is_taken_over(tmp_path, holder):
    holder.kill()
    holder.wait()
    assert holder_of(tmp_path / "lock")["pid"] == holder.pid
    with Lock(tmp_path / "lock", "It"):
        assert holder_of(tmp_path / "lock")["pid"] == os.getpid()
    assert not (tmp_path / "lock").exists()


def test_a_lock_is_gone_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="x"), Lock(tmp_path / "lock", "It"):
        raise ValueError("x")
    with Lock(tmp_path / "lock", "It"):
        pass
    assert not list(tmp_path.iterdir())


def test_many_processes_hold_it_one_after_another(tmp_path):
    """Four take it again and again; a counter that is read, kept and written loses nothing."""
    body = (
        "import sys, time\nfrom pathlib import Path\nfrom simlearn.lock import Lock\n"
        "from simlearn.component import EnvironmentFault\ndone = 0\nfile = Path('count')\n"
        "while done < 25:\n"
        "    try:\n"
        "        with Lock(Path('lock'), 'It'):\n"
        "            number = int(file.read_text())\n"
        "            time.sleep(0.0005)\n"
        "            file.write_text(str(number + 1))\n"
        "            done += 1\n"
        "    except EnvironmentFault:\n"
        "        time.sleep(0.0005)\n"
    )
    (tmp_path / "count").write_text("0")
    several = [subprocess.Popen([sys.executable, "-c", body], cwd=tmp_path) for _ in range(4)]
    assert [process.wait(timeout=120) for process in several] == [0] * 4
    assert (tmp_path / "count").read_text() == "100"


def test_where_the_file_system_knows_no_locks_the_process_decides(tmp_path, holder, monkeypatch):
    import simlearn.lock as room

    monkeypatch.setattr(room, "fcntl", None)
    with pytest.raises(EnvironmentFault, match=str(holder.pid)), Lock(tmp_path / "lock", "It"):
        pass
    holder.kill()
    holder.wait()
    with Lock(tmp_path / "lock", "It"):
        pass
    other = {"pid": os.getpid(), "host": os.uname().nodename, "began": time.time() - 1e6}
    (tmp_path / "lock").write_text(json.dumps(other))
    with Lock(tmp_path / "lock", "It"):
        pass  # another process has that number now
    (tmp_path / "lock").write_text(json.dumps({**other, "host": "elsewhere"}))
    with pytest.raises(EnvironmentFault, match="elsewhere"), Lock(tmp_path / "lock", "It"):
        pass


def test_a_folder_that_is_not_there_is_a_fault_of_the_environment(tmp_path):
    with (
        pytest.raises(EnvironmentFault, match="Cannot write the lock"),
        Lock(tmp_path / "no/lock", "It"),
    ):
        pass


def test_a_lock_that_cannot_be_signed_is_one_error_and_leaves_nothing(tmp_path, monkeypatch):
    """A disk that is full: the file can be made, and nothing written into it."""

    def full(file, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(EnvironmentFault, match=r"Cannot write the lock .*No space left"):
        Lock(tmp_path / "lock", "It").__enter__()
    assert not (tmp_path / "lock").exists()
    monkeypatch.undo()
    with Lock(tmp_path / "lock", "It"):
        assert holder_of(tmp_path / "lock")["pid"] == os.getpid()
