"""Fault rows 7, 8 and 9: configs and archives that name foreign code, and keys without effect.

A module lies beside the config and leaves a mark when it is imported: the mark proves what ran.
"""

import hashlib
import importlib
import inspect
import json
import pathlib
import pkgutil
import shutil

import pytest
import torch
import yaml

from simlearn import Component, catalog, dynamics
from simlearn.cli import Options, allowed
from simlearn.cli.parsing import prepared

FIT = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 4}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4}}
data: {generator: Pendulum, count: 2, steps: 21, dt: 0.1}
trainer: {max_epochs: 1, enable_checkpointing: false}
"""
GATE = """
schema: 1
suites:
  full: [{class_path: Bounded, init_args: {horizon: 10, factor: 1.0e+9}}]
"""
EVIL = """
import pathlib
pathlib.Path({canary!r}).write_text("ran")
from simlearn.dynamics import MLPField
from simlearn_mechanics import Pendulum
from simlearn_checks import Bounded
class Field(MLPField): pass
class Swing(Pendulum): pass
class Check(Bounded): pass
def run(*given, **more): pass
"""
BOMB = "k0: &c0 [x, x]\n" + "".join(f"k{n}: &c{n} [*c{n - 1}, *c{n - 1}]\n" for n in range(1, 40))
RMTREE = "simlearn.archive.shutil.rmtree"


@pytest.fixture
def here(tmp_path):
    """A folder with the module, which is on the path of whatever runs there."""
    (tmp_path / "evil.py").write_text(EVIL.format(canary=str(tmp_path / "canary")))
    return tmp_path


def replaced(place, value, text=FIT):
    """The config with another value at a place."""
    body = yaml.safe_load(text)
    inner = body
    for key in place[:-1]:
        inner = inner.setdefault(key, {}) if isinstance(key, str) else inner[key]
    inner[place[-1]] = value
    return yaml.safe_dump(body)


DYNAMICS = ("model", "simulator", "dynamics")
OPTIMIZER, CALLBACKS = ("model", "optimizer"), ("trainer", "callbacks")
EVERYWHERE = {
    "dynamics": (DYNAMICS, {"class_path": "evil.Field", "init_args": {"dim": 2}}),
    "dynamics alone": (DYNAMICS, "evil.Field"),
    "below it": ((*DYNAMICS, "init_args", "dim"), {"class_path": "evil.Field"}),
    "integrator": (("model", "simulator", "integrator"), "evil.Field"),
    "simulator": (("model", "simulator"), {"class_path": "evil.Field"}),
    "objective": (("model", "objective"), {"class_path": "evil.Field", "init_args": {}}),
    "stabilizers": (("model", "stabilizers"), ["evil.Field"]),
    "start": (("model", "start"), "evil.Field"),
    "optimizer": (OPTIMIZER, "evil.run"),
    "optimizer with arguments": (OPTIMIZER, {"class_path": "evil.Field", "init_args": {"lr": 1}}),
    "scheduler": (("model", "scheduler"), "evil.run"),
    "generator": (("data", "generator"), {"class_path": "evil.Swing"}),
    "callback": (CALLBACKS, [{"class_path": "evil.Field"}]),
    "logger": (("trainer", "logger"), {"class_path": "evil.Field"}),
    "strategy": (("trainer", "strategy"), {"class_path": "evil.Field"}),
    "profiler": (("trainer", "profiler"), {"class_path": "evil.Field"}),
    "plugins": (("trainer", "plugins"), [{"class_path": "evil.Field"}]),
}


@pytest.mark.fault(8)
@pytest.mark.parametrize("where", EVERYWHERE)
def test_a_fit_config_imports_nothing_foreign(forks, here, where):
    place, value = EVERYWHERE[where]
    (here / "x.yaml").write_text(replaced(place, value))
    code, process = forks.run(here, "config", "validate", "x.yaml", "--kind", "fit")
    assert code == 2, process.said()
    assert not (here / "canary").exists()
    assert "x.yaml:" in process.said()
    assert "Traceback" not in process.said()


@pytest.mark.fault(8)
@pytest.mark.parametrize("command", ["fit", "validate", "fit --print_config"])
def test_the_message_names_file_line_and_key(forks, here, command):
    (here / "x.yaml").write_text(FIT.replace("MLPField", "evil.Field"))
    name, *rest = command.split()
    code, process = forks.run(here, name, "-c", "x.yaml", *rest)
    assert code == 2
    told = "x.yaml:4: model.simulator.dynamics: evil.Field was refused and not imported"
    assert told in process.said()
    assert "--allow-import evil" in process.said()
    assert process.said().count("\n") == 1
    assert not (here / "canary").exists()
    assert not (here / "runs").exists()


@pytest.mark.fault(8)
@pytest.mark.parametrize(
    ("place", "value", "near"),
    [
        (DYNAMICS, "os.system", ""),
        (OPTIMIZER, "subprocess.run", ""),
        (OPTIMIZER, RMTREE, ""),
        (OPTIMIZER, "simlearn.archive.save", ""),
        (OPTIMIZER, "torch.hub.load", ""),
        (OPTIMIZER, "torch.optim.Adma", "torch.optim.Adam"),
        (OPTIMIZER, "torch.nn.Linear", ""),
        (("data", "generator"), "simlearn.data.writer.Writer", ""),
        (DYNAMICS, "simlearn.dynamics.MLPFeild", "simlearn.dynamics.MLPField"),
        (CALLBACKS, ["lightning.pytorch.callbacks.EarlyStoping"], "callbacks.EarlyStopping"),
        (
            CALLBACKS,
            [
                {
                    "class_path": "lightning.pytorch.callbacks.LambdaCallback",
                    "init_args": {"on_fit_start": "simlearn.archive.save"},
                }
            ],
            "",
        ),
    ],
)
def test_what_is_installed_may_not_be_named_either(here, command, capsys, place, value, near):
    """A function of an allowed package is as foreign as one of another."""
    (here / "x.yaml").write_text(replaced(place, value))
    assert command("config", "validate", "x.yaml", "--kind", "fit") == 2
    said = capsys.readouterr().err
    assert "refused" in said, said
    assert (f"Did you mean {near}" in said.replace("lightning.pytorch.", "")) == bool(near)
    assert "x.yaml:" in said


@pytest.mark.fault(8)
@pytest.mark.parametrize("name", ["evil.Check", "evil.run", "os.system", RMTREE])
def test_a_gate_imports_nothing_foreign(forks, here, name):
    (here / "g.yaml").write_text(GATE.replace("Bounded", name))
    code, process = forks.run(here, "config", "validate", "g.yaml")
    assert code == 2
    assert f"g.yaml:4: check: {name} was refused" in process.said()
    assert not (here / "canary").exists()


@pytest.mark.fault(8)
@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        "a: " + "[" * 1_000_000,
        "a: " + "{b: " * 300_000,
        "a: " + "[" * 90 + "]" * 90 + "\nb: {",
        "\n".join(" " * n + f"k{n}:" for n in range(2000)),
        "a: &a [*a]\n",
        "a: !!python/object/apply:os.system ['touch canary']\n",
        "a: !!python/name:evil.run\n",
        "a: " + "9" * 6000 + "\n",
        "a: \x00\n",
        "? [b]\n: c\n",
    ],
    ids=[
        "aliases",
        "lists",
        "mappings",
        "open",
        "blocks",
        "itself",
        "call",
        "name",
        "digits",
        "nul",
        "list as key",
    ],
)
@pytest.mark.parametrize("head", ["schema: 1\nsuites:\n  full: [Bounded]\n", "trainer: {}\n"])
def test_yaml_that_is_a_trap_is_refused(here, command, capsys, head, text):
    (here / "x.yaml").write_text(head + text)
    assert command("config", "validate", "x.yaml") == 2
    said = capsys.readouterr().err
    assert "x.yaml" in said
    assert len(said) < 2000
    assert not (here / "canary").exists()


@pytest.fixture(scope="module")
def trained(forks, tmp_path_factory):
    """A run, its gate, and data to judge it by."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "x.yaml").write_text(FIT)
    (folder / "g.yaml").write_text(GATE)
    draw = ["--count", "1", "--steps", "21", "--dt", "0.1", "--out", "d.h5"]
    for words in (["fit", "-c", "x.yaml"], ["generate", "--generator", "Pendulum", *draw]):
        code, process = forks.run(folder, *words)
        assert code == 0, process.said()
    return folder


def signed(path, change):
    """Change an archive, digests and all, as its author could."""
    body = json.loads(path.read_text())
    change(body)
    body.pop("sha256", None)
    body["sha256"] = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(body))


CHECK = ("check", "runs/x", "--data", "d.h5", "-c", "g.yaml", "--out", "r")


@pytest.mark.fault(7)
@pytest.mark.parametrize(
    "name", ["evil.Field", "os.system", RMTREE, "simlearn.data.writer.Writer", "builtins.exec"]
)
def test_an_archive_imports_nothing_foreign(forks, trained, here, name):
    shutil.copytree(trained, here, dirs_exist_ok=True, symlinks=True)
    for part in ("dynamics", "integrator"):

        def change(body, part=part):
            body["simulator"][part] = {"class_path": name, "init_args": {"dim": 2}}

        signed(here / "runs/x/simulator/simulator.json", change)
    code, process = forks.run(here, *CHECK)
    assert code == 7, process.said()
    assert f"{name} was refused" in process.said()
    assert not (here / "canary").exists()


class Canary:
    """Leaves the mark when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.fault(7)
@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "config validate"])
def test_a_config_loads_no_checkpoint(forks, trained, here, command):
    """Not from anywhere, nor may it say how carefully one is read; an empty key is no harm."""
    shutil.copytree(trained, here, dirs_exist_ok=True, symlinks=True)
    torch.save({"state_dict": {}, "x": Canary(here / "canary")}, here / "evil.ckpt")
    load = f"ckpt_path: file://{here}/evil.ckpt\nweights_only: false\n"
    for number, text in enumerate((load, "ckpt_path: evil.ckpt\n", "weights_only: false\n")):
        path = here / f"{number}.yaml"
        path.write_text(text + FIT)
        words = [*command.split(), *(["-c"] if " " not in command else []), path]
        run = () if command in ("fit", "config validate") else ("--run", "x")
        code, process = forks.run(here, *words, *run)
        assert code == 2, process.said()
        assert not (here / "canary").exists()
        assert f"{path}:1: {text.split(':')[0]}: nothing is loaded that way" in process.said()
        assert "--resume PATH" in process.said()
    (here / "x.yaml").write_text(FIT + "ckpt_path: null\nweights_only: null\n")
    assert forks.run(here, "config", "validate", "x.yaml")[0] == 0


@pytest.mark.fault(7)
@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_all_commands_read_checkpoints_alike(forks, trained, here, command):
    """Also the one that Lightning looks for by itself in a job of SLURM."""
    shutil.copytree(trained, here, dirs_exist_ok=True, symlinks=True)
    torch.save({"state_dict": {}, "x": Canary(here / "canary")}, here / "hpc_ckpt_1.ckpt")
    (here / "x.yaml").write_text(replaced(("trainer", "default_root_dir"), str(here)))
    slurm = dict.fromkeys(("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID"), "0")
    slurm |= {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "42", "SLURM_JOB_NAME": "training"}
    careless = {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
    run = ("--trainer.devices", "1", *(() if command == "fit" else ("--run", "x")))
    code, process = forks.run(here, command, "-c", "x.yaml", *run, **slurm, **careless)
    assert not (here / "canary").exists()
    assert code == 7, process.said()
    assert "it was not loaded" in process.said()


@pytest.mark.fault(7)
def test_the_provenance_of_data_imports_nothing_foreign(forks, trained, here):
    import simlearn

    shutil.copytree(trained, here, dirs_exist_ok=True, symlinks=True)
    known = simlearn.read(here / "d.h5")
    (here / "d.h5").unlink()
    foreign = {"class_path": "evil.Swing", "init_args": {}}
    simlearn.write(here / "d.h5", known.trajectories, {**known.provenance, "generator": foreign})
    code, process = forks.run(here, *CHECK)
    assert code == 4, process.said()
    assert "evil.Swing was refused and not imported" in process.said()
    assert not (here / "canary").exists()


@pytest.mark.fault(8)
def test_what_is_allowed_is_let_in_and_recorded(forks, trained, here):
    """Fit, generate and check with a local module; each says in what it writes that it was."""
    (here / "x.yaml").write_text(FIT.replace("MLPField", "evil.Field"))
    (here / "g.yaml").write_text(GATE.replace("Bounded", "evil.Check"))
    draw = ["--steps", "21", "--dt", "0.1", "--out", "d.h5"]
    words = [
        ("fit", "-c", "x.yaml", "--allow-import", "evil"),
        ("generate", "--generator", "evil.Swing", *draw, "--allow-import=evil"),
        (*CHECK, "--allow-import", "evil"),
    ]
    for argv in words:
        code, process = forks.run(here, *argv)
        assert code == 0, process.said()
    assert (here / "canary").exists()
    archived = json.loads((here / "runs/x/simulator/simulator.json").read_text())
    assert archived["provenance"]["allow_import"] == ["evil"]
    assert archived["simulator"]["dynamics"]["class_path"] == "evil.Field"
    report = json.loads((here / "r/report.json").read_text())
    assert report["provenance"]["allow_import"] == ["evil"]
    assert report["provenance"]["held_out"]["allow_import"] == ["evil"]
    (here / "canary").unlink()
    code, process = forks.run(here, "check", "runs/x", "--data", "d.h5", "-c", trained / "g.yaml")
    assert code == 7, "and without it the archive is foreign again"
    assert not (here / "canary").exists()
    code, process = forks.run(here, *CHECK, SIMLEARN_ALLOW_IMPORT="evil")
    assert code == 0, process.said()


@pytest.mark.fault(8)
@pytest.mark.parametrize("name", ["../evil", "evil;os", "jsonargparse", "*", " "])
def test_only_packages_can_be_allowed(command, capsys, name):
    assert command("plugins", "--allow-import", name) in (0, 2)
    assert command("config", "validate", "x.yaml", "--allow-import", name) == 2
    assert "wants the name of a package" in capsys.readouterr().err


@pytest.mark.fault(8)
def test_all_that_may_be_named_is_there_and_is_a_class():
    """The list is written by hand where an import would take seconds."""
    import importlib

    for room, names in allowed.LIGHTNING.items():
        module = importlib.import_module(f"lightning.pytorch.{room}")
        for name in names:
            assert getattr(module, name).__module__ == module.__name__
    for path in allowed.OWN:
        module, _, name = path.rpartition(".")
        assert getattr(importlib.import_module(module), name).__module__ == module


@pytest.mark.fault(8)
def test_no_module_of_ours_is_open_as_a_whole():
    from simlearn.component import class_path
    from simlearn.data.writer import Writer

    with prepared(Options()) as known:
        found = allowed.allowed(known)
    packages = [one for one in found if "." not in one]
    assert packages
    assert all(one.startswith("simlearn_") for one in packages)
    assert class_path(Writer) not in found


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FIT.replace("trainer:", "modle: {}\ntrainer:"), "no key 'modle'; did you mean model?"),
        (FIT.replace("count: 2", "count: 2, coutn: 3"), "no option coutn; did you mean count?"),
        (FIT.replace("width: 4", "width: 4, depht: 3"), "no argument depht; did you mean depth?"),
        (FIT.replace("max_epochs: 1", "max_epochs: 1, max_epoch: 9"), "did you mean max_epochs?"),
        (FIT + "data: {count: 9}\n", "the key 'data' stands twice"),
        (GATE + "tolerence: {}\n", "keys nobody reads: tolerence; did you mean tolerance?"),
        (GATE.replace("horizon: 10", "horizon: 10, facter: 1"), "did you mean factor?"),
    ],
)
def test_a_key_that_would_have_no_effect_is_told(here, command, capsys, text, told):
    (here / "x.yaml").write_text(text)
    assert command("config", "validate", "x.yaml") == 2
    assert told in capsys.readouterr().err


@pytest.mark.fault(8)
@pytest.mark.parametrize("name", ["../x", "/tmp/x", "a/b", "..", ".", "", "latest", "a\0b"])
def test_the_name_of_a_run_leads_nowhere_else(here, command, name):
    (here / "x.yaml").write_text(FIT)
    before = sorted(here.parent.iterdir())
    assert command("fit", "-c", "x.yaml", "--run", name) == 2
    assert sorted(here.parent.iterdir()) == before
    assert sorted(p.name for p in here.iterdir()) == ["evil.py", "x.yaml"]


def test_every_part_of_the_core_can_be_named():
    """Parts of parts, too, such as the pair term of a field on graphs."""
    named = set(allowed.classes(catalog.load()))
    for found in pkgutil.iter_modules(dynamics.__path__, "simlearn.dynamics."):
        room = importlib.import_module(found.name)
        for name, cls in vars(room).items():
            own = isinstance(cls, type) and cls.__module__ == found.name
            if own and issubclass(cls, Component) and not inspect.isabstract(cls):
                assert f"{found.name}.{name}" in named
