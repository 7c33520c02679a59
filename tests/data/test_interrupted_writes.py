"""A file is there when it is complete, or not at all."""

import subprocess
import sys

import pytest

from simlearn.component import DataError, EnvironmentFault
from simlearn.data.store import read, write
from simlearn.data.writer import Writer
from simlearn.state import Trajectory


def files(folder):
    return sorted(path.name for path in folder.iterdir())


class Interrupted(Exception):
    pass


def breaking(make, error):
    yield make(3)
    raise error


@pytest.mark.parametrize("error", [Interrupted("no more"), KeyboardInterrupt()], ids=repr)
def test_an_error_in_the_middle_leaves_nothing(make, tmp_path, error):
    with pytest.raises(type(error)):
        write(tmp_path / "data.h5", breaking(make, error), {})
    assert files(tmp_path) == []


def test_provenance_that_is_no_json_leaves_nothing(make, tmp_path):
    with pytest.raises(TypeError):
        write(tmp_path / "data.h5", [make(3)], {"generator": object()})
    assert files(tmp_path) == []


def narrow(make):
    track = make(3)
    return Trajectory(track.t, track.x[..., :1], track.topology)


@pytest.mark.parametrize(
    "other",
    [lambda make: make(3, per_system=True), narrow],
    ids=["times of another rank", "states of another width"],
)
def test_a_trajectory_that_does_not_fit_leaves_nothing(make, tmp_path, other):
    with pytest.raises(DataError, match=r"a file holds arrays of one (rank|width)"):
        write(tmp_path / "data.h5", [make(3), other(make)], {})
    assert files(tmp_path) == []


def test_nothing_bears_the_name_before_the_end(make, tmp_path):
    with Writer(tmp_path / "data.h5") as writer:
        writer.append(make(3))
        assert files(tmp_path) == [".data.h5.lock", ".data.h5.partial"]
        writer.finish({})
        assert files(tmp_path) == [".data.h5.lock", "data.h5"]
    assert files(tmp_path) == ["data.h5"]
    assert len(read(tmp_path / "data.h5").trajectories) == 1


def test_an_existing_file_is_refused_and_left_alone(make, tmp_path):
    (tmp_path / "data.h5").write_text("precious")
    with pytest.raises(DataError, match=r"data\.h5 exists already"):
        write(tmp_path / "data.h5", [make(3)], {})
    assert (tmp_path / "data.h5").read_text() == "precious"
    assert files(tmp_path) == ["data.h5"]


def overwrite(path, trajectories, provenance):
    with Writer(path, overwrite=True) as writer:
        for track in trajectories:
            writer.append(track)
        writer.finish(provenance)


def test_overwriting_replaces_only_with_a_complete_file(make, tmp_path):
    write(tmp_path / "data.h5", [make(3)], {"take": 1})
    with pytest.raises(Interrupted):
        overwrite(tmp_path / "data.h5", breaking(make, Interrupted()), {"take": 2})
    assert read(tmp_path / "data.h5").provenance == {"take": 1}
    overwrite(tmp_path / "data.h5", [make(2)], {"take": 2})
    assert read(tmp_path / "data.h5").provenance == {"take": 2}
    assert files(tmp_path) == ["data.h5"]


def test_a_folder_that_cannot_be_made_is_the_machines_fault(make, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="Cannot write into"):
        write(tmp_path / "file" / "data.h5", [make(3)], {})


def test_missing_folders_are_made(make, tmp_path):
    write(tmp_path / "a" / "b" / "data.h5", [make(3)], {})
    assert len(read(tmp_path / "a" / "b" / "data.h5").trajectories) == 1


FULL = """
import pathlib, resource, sys
import torch
from simlearn.component import EnvironmentFault
from simlearn.data.store import read, write
from simlearn.state import Topology, Trajectory

folder = pathlib.Path(sys.argv[1])
data = [Trajectory(torch.arange(900.0), torch.randn(900, 3, 2), Topology.complete(3))] * 9
write(folder / "data.h5", data, {"a": "b" * 9000})
size = (folder / "data.h5").stat().st_size
(folder / "data.h5").unlink()
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
refused = 0
for limit in (*range(1000, size, size // 40), size - 1):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        write(folder / "data.h5", data, {"a": "b" * 9000})
    except EnvironmentFault as error:
        assert "data.h5: File too large. Free space there" in str(error), error
        refused += 1
    assert not list(folder.iterdir()), limit
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
write(folder / "data.h5", data, {})
assert len(read(folder / "data.h5")) == 9
print(refused)
"""


def test_a_full_disk_leaves_nothing_and_the_process_ends_well(tmp_path):
    """Real writes that fail, each at another byte of the file; HDF5 crashed at the end of these."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 40


KILLED = """
import os, sys
import torch
import simlearn.data.writer as room
from simlearn.state import Topology, Trajectory

track = Trajectory(torch.arange(9.0), torch.zeros(9, 3, 2), Topology.complete(3))
with room.Writer(sys.argv[1]) as writer:
    writer.append(track)
    if sys.argv[2] == "middle":
        os._exit(9)
    room._settle = lambda *_: os._exit(9)
    writer.finish({})
"""


@pytest.mark.fault(10)
@pytest.mark.parametrize("when", ["middle", "before the name"])
def test_a_killed_process_leaves_nothing_under_the_name(make, tmp_path, when):
    path = tmp_path / "data.h5"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path), when], check=False)
    assert done.returncode == 9
    assert not path.exists()
    with pytest.raises(DataError, match="There is no dataset"):
        read(path)
    write(path, [make(3)], {})
    assert len(read(path).trajectories) == 1
