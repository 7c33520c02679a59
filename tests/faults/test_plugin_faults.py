"""Faults of plugins: each is told, none keeps another from loading, none is fatal unless needed."""

import gc
import importlib
import json
import pathlib
import sys
import time

import pytest
import torch

import simlearn
from simlearn import catalog, cli
from simlearn.component import ConfigError, PluginError
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn_mechanics import MassSpring

SOUND = '''
import simlearn
class {name}(simlearn.System):
    """Nothing moves.

    Args:
        rate: A rate. Good values: 1.
    """
    def __init__(self, rate: float = 1.0):
        self.rate = rate
    def truth(self):
        raise NotImplementedError
    def start(self, rng):
        raise NotImplementedError
@simlearn.hookimpl
def simlearn_components():
    return [{name}]
'''
HOOK = "import simlearn\n\n@simlearn.hookimpl\ndef {signature}:\n    {body}\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution of one module on the import path: dist-info, entry point and all."""
    place = tmp_path / "site"
    place.mkdir()
    monkeypatch.syspath_prepend(str(place))
    before = set(sys.modules)

    def one(name, source, distribution=None, version="1.2"):
        distribution = distribution or f"dist-{name}"
        module = distribution.replace("-", "_")
        (place / f"{module}.py").write_text(source)
        info = place / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        (info / "entry_points.txt").write_text(f"[simlearn]\n{name} = {module}\n")
        importlib.invalidate_caches()
        return module

    yield one
    for module in set(sys.modules) - before:
        if module.startswith("dist_"):
            del sys.modules[module]
    gc.collect()  # a class lives in a cycle, and another test would still find it by its short name


def plugin_of(known, name, distribution=None):
    found = [p for p in known.plugins if p.name == name]
    return next(p for p in found if distribution in (None, p.distribution))


FAULTS = {
    "missing dependency": (
        "import a_package_that_is_not_there",
        "ModuleNotFoundError: No module named 'a_package_that_is_not_there'",
    ),
    "syntax": ("def broken(:", "SyntaxError"),
    "exit": ("raise SystemExit(3)", "SystemExit: 3"),
    "exception": ("1 / 0", "ZeroDivisionError"),
    "our exception": ("import simlearn; raise simlearn.ConfigError('x')", "ConfigError: x"),
    "its own timeout": ("raise TimeoutError('x')", "TimeoutError: x"),
    "no hook": ("x = 1", "implements no hook"),
    "unmarked hook": (
        "def simlearn_components():\n    return []",
        "simlearn_components is not marked: write @simlearn.hookimpl above it",
    ),
    "misspelt hook": (
        HOOK.format(signature="simlearn_componets()", body="return []"),
        "simlearn has no hook simlearn_componets; did you mean simlearn_components?",
    ),
    "newer hook": (
        HOOK.format(signature="simlearn_gate_finished(report, verdict)", body="pass"),
        "verdict",
    ),
    "returns a string": (
        HOOK.format(signature="simlearn_components()", body="return 'Spring'"),
        "must return a list of classes, got str",
    ),
    "returns nothing": (
        HOOK.format(signature="simlearn_components()", body="yield 1"),
        "must return a list of classes, got generator",
    ),
    "raises": (
        HOOK.format(signature="simlearn_components()", body="return [][1]"),
        "simlearn_components() raised IndexError: list index out of range",
    ),
    "offers an instance": (
        HOOK.format(signature="simlearn_components()", body="return [3]"),
        "3 is of no kind; offer subclasses of Dynamics, Integrator",
    ),
    "offers a class twice": (
        SOUND.format(name="Twin").replace("[Twin]", "[Twin, Twin]"),
        "names Twin twice",
    ),
    "offers an abstract class": (
        HOOK.format(signature="simlearn_components()", body="return [simlearn.System]"),
        "System is abstract and cannot be offered; it lacks start, truth",
    ),
}


ROWS = {name: 16 for name in list(FAULTS)[:6]}
ROWS |= {"unmarked hook": 19, "misspelt hook": 19, "newer hook": 19, "no hook": 19}


@pytest.mark.parametrize(
    "fault", [pytest.param(name, marks=pytest.mark.fault(ROWS.get(name, 17))) for name in FAULTS]
)
def test_a_broken_plugin_is_told_and_the_others_load(install, fault):
    source, reason = FAULTS[fault]
    install("a-broken", source)
    install("z-sound", SOUND.format(name="StandStill"))
    known = catalog.load()
    broken = plugin_of(known, "a-broken")
    assert broken.status == "failed"
    assert reason in broken.reason
    assert "\n" not in broken.reason
    assert broken.label == "a-broken (dist-a-broken 1.2)"
    assert "Traceback" in broken.trace
    assert plugin_of(known, "z-sound").status == "ok"
    assert known.find("StandStill").__name__ == "StandStill"
    assert known.find("Leapfrog")
    with pytest.raises(PluginError, match="a-broken"):
        catalog.load(strict=True)


SLEEPS = "import time; time.sleep(30)"
SPINS = "import time\nend = time.time() + 5\nwhile time.time() < end:\n    pass"


@pytest.mark.fault(16)
@pytest.mark.parametrize("body", [SLEEPS, SPINS], ids=["sleeps", "spins"])
def test_a_hanging_import_is_left_behind(install, monkeypatch, body):
    install("a-hanging", body)
    install("z-sound", SOUND.format(name="StandStill"))
    monkeypatch.setenv("SIMLEARN_PLUGIN_TIMEOUT", "0.5")
    began = time.monotonic()
    known = catalog.load()
    assert time.monotonic() - began < 4
    hanging = plugin_of(known, "a-hanging")
    assert hanging.status == "failed"
    assert "did not finish within 0.5 s" in hanging.reason
    assert "SIMLEARN_PLUGIN_TIMEOUT" in hanging.reason
    assert plugin_of(known, "z-sound").status == "ok"


@pytest.mark.fault(17)
def test_a_hanging_hook_is_left_behind(install, monkeypatch):
    install("hanging", HOOK.format(signature="simlearn_components()", body=SLEEPS))
    monkeypatch.setenv("SIMLEARN_PLUGIN_TIMEOUT", "0.5")
    assert "did not finish" in plugin_of(catalog.load(), "hanging").reason


@pytest.mark.fault(16)
def test_a_process_ends_although_a_plugin_hangs(install, shell, tmp_path):
    install("hanging", "import time; time.sleep(600)")
    done = shell(
        "plugins", "--load", PYTHONPATH=str(tmp_path / "site"), SIMLEARN_PLUGIN_TIMEOUT="0.5"
    )
    assert done.returncode == 0, done.stderr
    assert "hanging  (dist-hanging 1.2)  failed: PluginError: its import did not" in done.stdout
    assert "Leapfrog" in done.stdout


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan"])
def test_a_timeout_that_is_no_time_is_a_wrong_setting(monkeypatch, value):
    monkeypatch.setenv("SIMLEARN_PLUGIN_TIMEOUT", value)
    with pytest.raises(ConfigError, match=f"positive number of seconds, got '{value}'"):
        catalog.load()


def test_a_plugin_that_asks_for_the_catalog_while_it_is_imported_does_not_wait(install):
    source = "import simlearn.catalog\nknown = simlearn.catalog.load()\n" + SOUND
    module = importlib.import_module(install("eager", source.format(name="StandStill")))
    assert plugin_of(module.known, "eager").status == "failed"  # half of it is there
    assert plugin_of(catalog.load(), "eager").status == "ok"


@pytest.mark.fault(18)
def test_two_distributions_with_one_plugin_name_both_fail_by_name(install):
    install("same", SOUND.format(name="StandStill"), "dist-one")
    install("same", SOUND.format(name="SitStill"), "dist-two")
    known = catalog.load()
    for own, other in (("dist-one", "dist-two"), ("dist-two", "dist-one")):
        plugin = plugin_of(known, "same", own)
        assert plugin.status == "failed"
        assert f"{other} has a plugin of the same name" in plugin.reason


@pytest.mark.fault(18)
def test_a_distribution_with_the_name_chooses_one_of_two(install, capsys):
    first = install("same", SOUND.format(name="StandStill"), "dist-one")
    second = install("same", SOUND.format(name="SitStill"), "dist-two")
    told = plugin_of(catalog.load(), "same", "dist-one").reason
    assert "--block dist-one:same or --block dist-two:same" in told
    known = catalog.load(["dist-one:same"])
    assert plugin_of(known, "same", "dist-one").status == "blocked"
    assert plugin_of(known, "same", "dist-two").status == "ok"
    assert known.find("SitStill").__module__ == second
    assert first not in sys.modules
    assert cli.run(["plugins", "--block", "dist-one:same", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    blocked = {row["distribution"]: row["blocked"] for row in rows if row["name"] == "same"}
    assert blocked == {"dist-one": True, "dist-two": False}
    assert cli.run(["plugins", "dist-two:same", "--block", "dist-one:same"]) == 0
    assert "SitStill" in capsys.readouterr().out
    both = catalog.load(["same"])
    assert {plugin_of(both, "same", f"dist-{n}").status for n in ("one", "two")} == {"blocked"}


@pytest.mark.fault(18)
def test_two_plugins_with_one_component_name_are_both_named(install):
    install("one", SOUND.format(name="StandStill"))
    install("two", SOUND.format(name="StandStill"))
    known = catalog.load()
    assert plugin_of(known, "one").status == "ok"
    told = plugin_of(known, "two")
    assert "StandStill is also offered by one (dist-one 1.2)" in told.reason
    assert told.distribution == "dist-two"
    assert plugin_of(catalog.load(["one"]), "two").status == "ok"


@pytest.mark.fault(18)
def test_a_stranger_cannot_take_a_name_of_the_core(install):
    install("a-thief", SOUND.format(name="MassSpring"))
    known = catalog.load()
    assert "also offered by mechanics (simlearn" in plugin_of(known, "a-thief").reason
    assert known.find("MassSpring").__module__.startswith("simlearn_mechanics")


def test_a_blocked_plugin_is_not_even_imported(install):
    module = install("blocked", "raise SystemExit(3)")
    assert plugin_of(catalog.load(["blocked"]), "blocked").status == "blocked"
    assert module not in sys.modules


@pytest.mark.fault(16)
def test_the_listing_shows_why_and_is_no_failure(install, capsys):
    install("broken", "import a_package_that_is_not_there")
    assert cli.run(["plugins", "--load", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["broken"]["status"] == "failed"
    assert "a_package_that_is_not_there" in rows["broken"]["reason"]
    assert rows["broken"]["components"] == {}
    assert rows["mechanics"]["status"] == "ok"
    assert cli.run(["plugins", "--load", "--strict-plugins"]) == 4
    assert "broken (dist-broken 1.2)" in capsys.readouterr().err


@pytest.mark.fault(16)
def test_a_failed_plugin_is_an_error_only_where_it_is_asked_for(install, capsys):
    install("broken", "import a_package_that_is_not_there")
    assert cli.run(["plugins", "broken"]) == 4
    told = capsys.readouterr().err
    assert "plugin broken (dist-broken 1.2) did not load: ModuleNotFoundError" in told
    assert "Traceback" not in told
    assert cli.run(["--debug", "plugins", "broken"]) == 4
    assert "import a_package_that_is_not_there" in capsys.readouterr().err
    assert cli.run(["plugins", "Leapfrog"]) == 0
    assert cli.run(["plugins", "Leapfrogg"]) == 2


@pytest.mark.fault(16)
def test_a_config_that_needs_a_failed_plugin_ends_with_4(install, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = install("broken", "import a_package_that_is_not_there")
    draw = ["--steps", "5", "--dt", "0.1", "--out", "x.h5"]
    assert cli.run(["generate", "--generator", f"{module}.StandStill", *draw]) == 4
    assert "plugin broken (dist-broken 1.2)" in capsys.readouterr().err
    assert cli.run(["generate", "--generator", "MassSpring", *draw]) == 0
    assert "broken" in capsys.readouterr().err
    assert (tmp_path / "x.h5").exists()


ANSWERS = '''
import torch
import simlearn
from simlearn.training.objectives import MultiStep
def answered(how, sound):
    if how == "raises":
        raise ZeroDivisionError("of its own")
    if how == "exits":
        raise SystemExit(0)
    if how == "library raises":
        return torch.zeros(2) @ torch.zeros(3)
    wrong = {"type": "spring", "shape": torch.zeros(3, 1), "dtype": torch.zeros(2).float()}
    return {**wrong, "nan": sound * torch.nan}.get(how, sound)
class Field(simlearn.VectorField):
    """Moves on.

    Args:
        how: Its fault.
    """
    dim = 2
    def __init__(self, how: str = ""):
        super().__init__()
        self.how = how
        self.rate = torch.nn.Parameter(torch.ones(1))
    def forward(self, t, x, topology):
        return answered(self.how, self.rate * x)
class Loss(MultiStep):
    """Of one step.

    Args:
        how: Its fault.
    """
    def __init__(self, how: str = ""):
        super().__init__(horizon=2)
        self.how = how
    def loss(self, simulator, window):
        return answered(self.how, super().loss(simulator, window))
class Shown(simlearn.Stabilizer):
    """Shows something else.

    Args:
        how: Its fault.
    """
    bias = "none"
    def __init__(self, how: str = ""):
        self.how = how
    def perturb(self, window, simulator, rng):
        return answered(self.how, 1.0) if self.how in ("type", "raises", "exits") else window
class Drawn(simlearn.DatasetGenerator):
    """Stands still.

    Args:
        how: Its fault.
    """
    def __init__(self, how: str = ""):
        self.how = how
    def draw(self, indices, times, seed):
        for i in indices:
            x = torch.ones(len(times) + (self.how == "shape"), 1, 2).double()
            x = x.float() if self.how == "dtype" else x
            x = answered(self.how, x) if self.how in ("raises", "exits", "nan") else x
            t = torch.arange(len(x)).double() if self.how == "shape" else times
            told = simlearn.Trajectory(t, x, simlearn.Topology.isolated(1))
            yield told if self.how != "type" else 3
class Judged(simlearn.Check):
    """Finds nothing.

    Args:
        how: Its fault.
    """
    def __init__(self, how: str = ""):
        self.how = how
    def run(self, simulator, evidence):
        return None if self.how == "nothing" else answered(self.how, 1.0)
@simlearn.hookimpl
def simlearn_components():
    return [Field, Loss, Shown, Drawn, Judged]
'''
WHO = "plugin own (dist-own 1.2): dist_own."
CONFIG = """
model:
  simulator: {{dynamics: {field}, integrator: RK4, dt: 0.1}}
  objective: {loss}
  stabilizers: [{shown}]
data: {{generator: MassSpring, count: 2, steps: 21, dt: 0.1}}
trainer: {{max_epochs: 1}}
"""


@pytest.fixture
def own(install, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install("own", ANSWERS)


@pytest.mark.fault(17)
@pytest.mark.parametrize(
    ("component", "how", "told"),
    [
        ("field", "raises", "answered raised ZeroDivisionError: of its own"),
        ("field", "exits", "answered raised SystemExit: 0"),
        ("field", "library raises", "answered raised RuntimeError: "),
        ("field", "type", "Field.forward: wanted a tensor [1, 2] of torch.float64, as the state"),
        ("field", "shape", "Field.forward: wanted a tensor [1, 2]"),
        ("field", "dtype", "got a tensor [2] of torch.float32."),
        ("loss", "raises", "answered raised ZeroDivisionError: of its own"),
        ("loss", "exits", "answered raised SystemExit: 0"),
        ("loss", "type", "Loss.loss: wanted a scalar tensor, got a str."),
        ("loss", "shape", "Loss.loss: wanted a scalar tensor, got a tensor [3, 1] of torch.fl"),
        ("shown", "raises", "answered raised ZeroDivisionError: of its own"),
        ("shown", "exits", "answered raised SystemExit: 0"),
        ("shown", "type", "Shown.perturb: wanted a Trajectory, got a str."),
    ],
)
def test_a_component_that_answers_nonsense_in_a_training_is_named(
    own, capsys, component, how, told
):
    # whole paths: a process that ran other tests has more than one Field
    kinds = {"field": "dist_own.Field", "loss": "dist_own.Loss", "shown": "dist_own.Shown"}
    parts = {
        key: f"{{class_path: {kind}, init_args: {{how: {how if key == component else 'none'}}}}}"
        for key, kind in kinds.items()
    }
    pathlib.Path("x.yaml").write_text(CONFIG.format(**parts))
    assert cli.run(["fit", "-c", "x.yaml"]) == 4
    error = capsys.readouterr().err
    assert WHO in error
    assert told in error
    assert "Traceback" not in error
    assert not pathlib.Path("runs").exists(), "what never began leaves nothing"


@pytest.mark.fault(17)
def test_dynamics_that_answer_nan_are_a_numerical_failure(own, capsys):
    nan = "{class_path: dist_own.Field, init_args: {how: nan}}"
    config = CONFIG.format(field=nan, loss="MultiStep", shown="dist_own.Shown")
    pathlib.Path("x.yaml").write_text(config)
    assert cli.run(["fit", "-c", "x.yaml"]) == 5
    assert "nan" in capsys.readouterr().err


@pytest.mark.fault(17)
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("raises", "Drawn.draw, trajectory 0: it raised ZeroDivisionError: of its own"),
        ("exits", "Drawn.draw, trajectory 0: it raised SystemExit: 0"),
        ("type", "Drawn.draw, trajectory 0: wanted a Trajectory, got a int."),
        ("shape", "wanted 5 states, one for each time, got 6."),
        ("dtype", "wanted states and times in torch.float64, got torch.float32"),
        ("nan", "wanted finite states, got nan at step 0, row 0, column 0."),
    ],
)
def test_a_generator_that_draws_nonsense_is_named(own, capsys, how, told):
    draw = ["--count", "3", "--steps", "5", "--dt", "0.1", "--out", "x.h5"]
    assert (
        cli.run(["generate", "--generator", "dist_own.Drawn", "--generator.how", how, *draw]) == 4
    )
    error = capsys.readouterr().err
    assert WHO + "Drawn.draw, trajectory 0" in error
    assert told in error
    assert not list(pathlib.Path().glob("*.h5*"))


@pytest.mark.fault(17)
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("nothing", "Judged.run: wanted a Finding, got a NoneType."),
        ("type", "Judged.run: wanted a Finding, got a str."),
        ("raises", "answered raised ZeroDivisionError: of its own"),
        ("exits", "answered raised SystemExit: 0"),
    ],
)
def test_a_check_that_finds_nothing_is_named(own, capsys, how, told):
    """Whatever it does, what was not judged has not passed."""
    simlearn.save(simlearn.Simulator(MLPField(dim=2, width=4), RK4(), 0.1), "model")
    simlearn.write("d.h5", MassSpring().draw(range(1), torch.arange(21).double() / 10, 0), {})
    check = f"{{class_path: dist_own.Judged, init_args: {{how: {how}}}}}"
    pathlib.Path("g.yaml").write_text(f"schema: 1\nsuites: {{full: [{check}]}}\n")
    assert cli.run(["check", "model", "--data", "d.h5", "-c", "g.yaml"]) == 4
    error = capsys.readouterr().err
    assert WHO + told in error
    assert not list(pathlib.Path("model/report").iterdir())
