"""An archive holds a simulator and nothing that runs."""

import json
import os
import pathlib

import pytest
import torch

import simlearn
from simlearn import Simulator, catalog
from simlearn.component import ArchiveError, ConfigError
from simlearn.dynamics import Energy, Flattened, HenonMap, MLPField, PairForce, SeparableEnergy
from simlearn.integrators import RK4, ImplicitMidpoint, Leapfrog


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "make",
    [
        lambda: Simulator(SeparableEnergy(dim=4, width=8), Leapfrog(), 0.1),
        lambda: Simulator(Energy(dim=4, width=8), ImplicitMidpoint(max_iter=30), 0.2),
        lambda: Simulator(Flattened(MLPField(dim=6, width=8), rows=3), RK4(), 0.1),
        lambda: Simulator(HenonMap(0.3)),
        lambda: Simulator(PairForce(("a", "b"), terms=5), Leapfrog(), 1.0),
    ],
)
def test_round_trip_to_the_bit(tmp_path, make, dtype, seeded):
    simulator = make().to(dtype)
    simulator.provenance = {"estimates": {"b": {"value": 1.0, "error": 0.1}}, "note": "ü"}
    state = torch.random.get_rng_state()
    loaded = simlearn.load(simlearn.save(simulator, tmp_path / "sim"))
    assert torch.equal(state, torch.random.get_rng_state())
    assert loaded.describe() == simulator.describe()
    assert loaded.provenance == simulator.provenance
    for name, value in simulator.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
        assert loaded.state_dict()[name].dtype == value.dtype
    assert not any(p.requires_grad for p in loaded.parameters())


def edited(tmp_path, change):
    simlearn.save(Simulator(HenonMap()), tmp_path / "sim")
    path = tmp_path / "sim/simulator.json"
    body = json.loads(path.read_text())
    change(body)
    from simlearn.archive import _digest

    body["sha256"] = _digest(body)
    path.write_text(json.dumps(body))
    return tmp_path / "sim"


@pytest.mark.parametrize("path", ["os.system", "subprocess.Popen", "evil.Map", "torch.nn.Linear"])
def test_it_names_only_components(tmp_path, path):
    def change(body):
        body["simulator"]["dynamics"]["class_path"] = path

    with pytest.raises(ArchiveError, match="does not fit what is installed"):
        simlearn.load(edited(tmp_path, change))


def surplus(body):
    body["simulator"]["dynamics"]["init_args"]["z"] = 1


def test_wrong_arguments_and_schemas_are_refused(tmp_path):
    with pytest.raises(ArchiveError, match="takes"):
        simlearn.load(
            edited(tmp_path / "a", lambda b: b["simulator"]["dynamics"]["init_args"].update(z=1))
        )
    with pytest.raises(ArchiveError, match="schema 99"):
        simlearn.load(edited(tmp_path / "b", lambda b: b.update(schema=99)))
    with pytest.raises(ArchiveError, match="no simulator at"):
        simlearn.load(tmp_path / "nowhere")
    simlearn.save(Simulator(HenonMap()), tmp_path / "c")
    with pytest.raises(ArchiveError, match="exists already"):
        simlearn.save(Simulator(HenonMap()), tmp_path / "c")
    (tmp_path / "c/simulator.json").write_text("{")
    with pytest.raises(ArchiveError, match="cannot be read"):
        simlearn.load(tmp_path / "c")


def test_catalog_finds_by_name_and_path():
    known = catalog.load()
    assert known.find("Leapfrog") is Leapfrog
    assert known.find("simlearn.dynamics.energy.Energy") is Energy
    with pytest.raises(ConfigError, match="did you mean Leapfrog"):
        known.find("Leapfrg")
    with pytest.raises(ConfigError):
        known.find("os.system")
    assert {c.__name__ for c in known.components(simlearn.Integrator)} >= {"RK4", "Yoshida4"}


def test_files_and_folders_are_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """A loss of power leaves a whole archive or none: the order of what is flushed and renamed."""
    done, flush, rename = [], os.fsync, pathlib.Path.replace

    def fsync(number):
        done.append(pathlib.Path(os.readlink(f"/proc/self/fd/{number}")).name)
        flush(number)

    def replace(path, target):
        done.append(f"-> {pathlib.Path(target).name}")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(pathlib.Path, "replace", replace)
    simlearn.save(Simulator(MLPField(dim=2, width=4), RK4(), 0.1), tmp_path / "sim")
    last = done.index("-> sim")
    files = [k for k, name in enumerate(done) if "weights" in name or "simulator.json" in name]
    assert len(files) == 4, done
    assert max(files) < last
    assert done[last - 1] == f".sim.{os.getpid()}.partial", "the names in it, too"
    assert done[last + 1] == tmp_path.name
