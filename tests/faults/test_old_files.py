"""Fault row 26: files of every release are read; those of a later one are refused."""

import json
import pathlib
import shutil

import h5py
import pytest
import torch

import simlearn
from simlearn import archive
from simlearn.component import ArchiveError, DataError
from simlearn.data import store
from simlearn.training.durable import beside
from tests.golden.make import numbers

RELEASES = sorted(p for p in (pathlib.Path(__file__).parents[1] / "golden").iterdir() if p.is_dir())
RELEASES = [path for path in RELEASES if (path / "said.json").is_file()]
FIT = ("fit", "-c", "golden.yaml")


@pytest.fixture(params=RELEASES, ids=lambda path: path.name)
def golden(request, tmp_path):
    """A copy of what a release has written."""
    return pathlib.Path(shutil.copytree(request.param, tmp_path / "golden"))


def rewritten(path, change):
    checkpoint = torch.load(path, weights_only=True)
    change(checkpoint)
    torch.save(checkpoint, path)
    beside(path).unlink()


def placed(golden):
    """The checkpoint as the last one of a run."""
    kept = golden / "runs/golden/checkpoints"
    kept.mkdir(parents=True)
    for path in golden.glob("last.ckpt*"):
        shutil.move(path, kept)
    return kept / "last.ckpt"


@pytest.mark.fault(26)
def test_there_is_a_release():
    assert RELEASES


@pytest.mark.fault(26)
def test_data_and_archives_say_the_same_numbers(golden):
    told, now = json.loads((golden / "said.json").read_text()), numbers(golden)
    assert now["digest"] == told["digest"]
    assert now["states"] == told["states"]
    assert now["rollout"] == pytest.approx(told["rollout"], rel=1e-10, abs=1e-12)


@pytest.mark.fault(26)
def test_a_training_is_resumed_and_what_has_changed_is_told(golden, forks):
    """The code is another one than that of the release, or will be; the weights go on."""
    weights = torch.load(placed(golden), weights_only=True)["state_dict"]
    more = ("--resume", "--allow-drift", "--trainer.max_epochs")
    code, process = forks.run(golden, *FIT, *more, "3")
    assert code == 0, process.said()
    assert "the training had ended already" in process.said()
    again = torch.load(golden / "runs/golden/checkpoints/last.ckpt", weights_only=True)
    assert all(torch.equal(value, again["state_dict"][name]) for name, value in weights.items())
    code, process = forks.run(golden, *FIT, *more, "5")
    assert code == 0, process.said()
    assert "epoch 5/5" in process.said()


@pytest.mark.fault(26)
def test_a_later_checkpoint_is_refused_with_the_version_that_reads_it(golden, forks):
    def later(checkpoint):
        checkpoint["simlearn"]["schema"] = 2
        checkpoint["simlearn"]["facts"]["versions"]["simlearn"] = "9.9.0"

    rewritten(placed(golden), later)
    code, process = forks.run(golden, *FIT, "--resume", "--allow-drift")
    assert code == 7
    assert "has schema 2 and was written by simlearn 9.9.0" in process.said()
    assert "Resume with simlearn 9.9.0" in process.said()


@pytest.mark.fault(26)
def test_later_data_and_archives_are_refused_with_the_version_that_reads_them(golden):
    with h5py.File(golden / "data.h5", "r+") as file:
        file.attrs.update({"schema": 2, "written_by": "simlearn 9.9.0"})
    told = r"has schema 2 and was written by (simlearn 9\.9\.0);.* reads schema 1\. Read it with \1"
    with pytest.raises(DataError, match=told):
        simlearn.read(golden / "data.h5")
    path = golden / "simulator/simulator.json"
    later = {**json.loads(path.read_text()), "schema": 2, "written_by": "simlearn 9.9.0"}
    path.write_text(json.dumps(later))
    with pytest.raises(ArchiveError, match=told):
        simlearn.load(golden / "simulator")


@pytest.mark.fault(26)
@pytest.mark.parametrize("schema", [0, -1, True, 1.5, "1", "2"])
def test_a_schema_that_nothing_leads_from_is_refused(golden, schema):
    with h5py.File(golden / "data.h5", "r+") as file:
        file.attrs["schema"] = schema
    with pytest.raises(DataError, match=f"has schema {schema}"):
        simlearn.read(golden / "data.h5")
    path = golden / "simulator/simulator.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema": schema}))
    with pytest.raises(ArchiveError, match=f"has schema {schema}"):
        simlearn.load(golden / "simulator")


@pytest.mark.fault(26)
def test_files_of_earlier_schemas_are_migrated_when_they_are_read(golden, monkeypatch):
    """Two steps from the schema of these files to one in which names and numbers have moved."""
    data, simulator = simlearn.read(golden / "data.h5"), simlearn.load(golden / "simulator")
    before = (golden / "data.h5").read_bytes()

    def doubled(file):
        file["trajectories/x/values"][...] *= 2

    def noted(file):
        file.attrs["provenance"] = json.dumps({"was": 2})

    def finer(body):
        body["simulator"]["dt"] /= 2

    monkeypatch.setattr(store, "SCHEMA", 3)
    monkeypatch.setattr(store, "MIGRATIONS", {1: doubled, 2: noted})
    monkeypatch.setattr(archive, "SCHEMA", 2)
    monkeypatch.setattr(archive, "MIGRATIONS", {1: finer})
    moved = simlearn.read(golden / "data.h5")
    assert all(torch.equal(a.x, 2 * b.x) for a, b in zip(moved, data, strict=True))
    assert moved.provenance == {"was": 2}
    assert moved.digest == data.digest, "of what was written"
    assert (golden / "data.h5").read_bytes() == before
    assert simlearn.load(golden / "simulator").dt == simulator.dt / 2
    monkeypatch.setattr(store, "MIGRATIONS", {2: noted})
    with pytest.raises(DataError, match=r"has schema 1.* reads schema 3"):
        simlearn.read(golden / "data.h5")
