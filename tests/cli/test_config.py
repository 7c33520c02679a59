"""``simlearn config validate``: every fault of every file, with its line; no data, no training."""

import pathlib
import re
import sys

import pytest
import yaml

from simlearn import cli
from simlearn.cli.explaining import unbuildable
from simlearn.component import ConfigError

ROOT = pathlib.Path(__file__).parents[2]
FIT = (ROOT / "configs/fit/mass-spring.yaml").read_text()
GATE = """schema: 1
simulator: nowhere
data: nowhere.h5
suites:
  smoke:
    - {class_path: Bounded, init_args: {horizon: 10}}
  full:
    - {class_path: Bounded, init_args: {horizon: 10}}
    - EnergyDrift
"""


@pytest.fixture
def look(tmp_path, monkeypatch, capsys):
    """Writes files, looks at them: (code, what stands on stdout, the faults)."""
    monkeypatch.chdir(tmp_path)

    def run(*words, **texts):
        paths = []
        for name, text in texts.items():
            path = pathlib.Path(f"{name}.yaml")
            path.write_text(text)
            paths.append(str(path))
        capsys.readouterr()
        code = cli.run(["config", "validate", *paths, *words])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err.splitlines()

    return run


def test_what_ships_is_sound(look):
    names = ("embedded-oscillator-stable", "heat", "pendulum-ladder", "solar-system-newton")
    paths = [ROOT / f"configs/fit/{name}.yaml" for name in names]
    parts = sorted((ROOT / "configs/trainer").glob("*.yaml"))
    gates = sorted((ROOT / "configs/gate").glob("*.yaml"))
    code, said, faults = look(*map(str, [*paths, *parts, *gates]))
    assert (code, faults) == (0, [])
    assert said.count("sound (fit)") == len(paths)
    assert said.count("sound, a part of a fit config") == len(parts)
    assert said.count("sound (gate)") == len(gates)


def test_neither_data_nor_simulator_are_looked_at(look, tmp_path):
    fit = re.sub(r"data:\n.*?(?=\n\w)", "data: {file: nowhere.h5}", FIT, flags=re.S)
    assert "nowhere.h5" in fit
    code, said, _ = look(fit=fit, gate=GATE)
    assert (code, said) == (0, "fit.yaml: sound (fit)\ngate.yaml: sound (gate)\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fit.yaml", "gate.yaml"]


def test_every_fault_of_a_fit_config_with_its_line(look):
    text = """modle: {}
model:
  simulator:
    dynamics: {class_path: SeparableEnrgy, init_args: {dim: 2}}
    integrator: Leapfog
    dt: fast
  stabilizers:
    - NoiseInjektion
    - {class_path: NoiseInjection, init_args: {scal: 1}}
  dtype: float16
data:
  generator: {class_path: Pendulm}
  cuont: 3
trainer:
  max_epoch: 2
  max_steps: few
  callbacks: [lightning.pytorch.callbacks.EarlyStoping]
seed_everything: often
"""
    code, said, faults = look(x=text)
    assert (code, said) == (2, "")
    wanted = [
        "x.yaml: a fit config has no key 'modle'; did you mean model?",
        "x.yaml:4: model.simulator.dynamics: There is no Dynamics named SeparableEnrgy; did you "
        "mean SeparableEnergy",
        "x.yaml:5: model.simulator.integrator: There is no Integrator named Leapfog; did you mean "
        "Leapfrog",
        "x.yaml:6: model.simulator.dt: wanted float, got fast.",
        "x.yaml:8: model.stabilizers: There is no Stabilizer named NoiseInjektion; did you mean "
        "NoiseInjection",
        "x.yaml:9: model.stabilizers: NoiseInjection has no argument scal; did you mean scale?",
        "x.yaml:10: model.dtype: wanted one of float32, float64, got float16.",
        "x.yaml:12: data.generator: There is no DatasetGenerator named Pendulm; did you mean "
        "Pendulum",
        "x.yaml:13: data has no option cuont; did you mean count?",
        "x.yaml:15: trainer has no option max_epoch; did you mean max_epochs?",
        "x.yaml:16: trainer.max_steps: wanted int, got few.",
        "x.yaml:17: trainer.callbacks: lightning.pytorch.callbacks.EarlyStoping was refused: it is "
        "no class that can be named here. Did you mean lightning.pytorch.callbacks.EarlyStopping?",
        "x.yaml:18: seed_everything: wanted bool or int, got often.",
    ]
    assert len(faults) == len(wanted)
    for fault, begin in zip(faults, wanted, strict=True):
        assert fault.startswith(begin), fault


def test_every_fault_of_a_gate_once(look):
    bad = GATE.replace("class_path: Bounded", "class_path: Bouned")
    bad = bad.replace("- EnergyDrift", "- {class_path: EnergyDrift, init_args: {max_ratoi: 1.2}}")
    code, _, faults = look(bad=bad, good=GATE, newer=GATE.replace("schema: 1", "schema: 2"))
    assert code == 2
    assert len(faults) == 3
    assert faults[0].startswith("bad.yaml:6: check: There is no Check named Bouned; did you mean")
    assert faults[1].startswith("bad.yaml:9: check: EnergyDrift has no argument max_ratoi; did you")
    assert "newer.yaml has schema 2" in faults[2]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("SeparableEnergy", "Energy", "Leapfrog needs a SplitField, got Energy"),
        ("dim: 2", "dim: 3", "must be even and positive, got 3"),
        ("width: 32", "width: -1", "width must be at least 1, got -1"),
        ("  generator: MassSpring\n", "", "either a `file` or a `generator`"),
        ("  dtype: float64", "  dtype: float64\n  dtype: float32", "stands twice"),
    ],
)
def test_parts_that_do_not_fit_together(look, old, new, told):
    assert old in FIT
    code, _, faults = look(x=FIT.replace(old, new))
    assert code == 2
    assert len(faults) == 1
    assert told in faults[0]
    assert "x.yaml" in faults[0]


def test_what_a_component_says_of_its_arguments_is_the_fault():
    wrapped = ValueError("wrapped")
    wrapped.__cause__ = told = ConfigError("dim must be even")
    assert unbuildable(wrapped, "x.yaml") is told
    plain = unbuildable(RuntimeError("negative dimension"), "x.yaml")
    assert str(plain) == "x.yaml cannot be built: RuntimeError: negative dimension"


def test_a_part_of_a_config_is_sound_unless_a_whole_one_was_asked_for(look):
    part = "trainer: {max_epochs: 3}\n"
    assert look(x=part)[:2] == (0, "x.yaml: sound, a part of a fit config\n")
    code, _, faults = look("--kind", "fit", x=part)
    assert code == 2
    assert "needs model.simulator" in faults[0]
    code, _, faults = look("--kind", "gate", x=part)
    assert code == 2
    assert "schema" in faults[0]


def test_what_is_no_config(look):
    (pathlib.Path.cwd() / "folder").mkdir()
    code, _, faults = look(
        "folder", "none.yaml", a="- 1\n", b="a: b: c\n", c="", d="generator: Pendulum\n"
    )
    assert code == 2
    assert len(faults) == 6
    for word in ("must be a YAML mapping", "line 1, column", "neither a gate", "is a folder"):
        assert any(word in fault for fault in faults)
    assert "There is no config none.yaml." in faults


def test_nothing_foreign_is_imported(look, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    bad = FIT.replace("class_path: SeparableEnergy", "class_path: evil.Net")
    code, _, faults = look(x=bad, y=GATE.replace("class_path: Bounded", "class_path: evil.Check"))
    assert code == 2
    assert "evil.Net was refused and not imported" in faults[0]
    assert "evil.Check was refused and not imported" in faults[-1]
    assert "evil" not in sys.modules


def test_its_own_use(capsys):
    assert cli.run(["config", "--help"]) == 0
    assert "--kind gate|fit" in capsys.readouterr().out
    assert cli.run(["config", "show"]) == 2
    assert "does validate, not 'show'" in capsys.readouterr().err
    assert cli.run(["config", "validate"]) == 2
    assert cli.run(["config", "validate", "--kind", "data", "x.yaml"]) == 2


HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}


@pytest.mark.parametrize(
    ("path", "hooks"),
    [
        ("pendulum.gate.yaml", ["gate"]),
        ("a/b.gate.yml", ["gate"]),
        ("configs/gate/pendulum.yaml", ["gate"]),
        ("my/configs/gate/deep/x.yml", ["gate"]),
        ("configs/fit/pendulum.yaml", ["fit"]),
        ("x.fit.yaml", ["fit"]),
        ("myconfigs/gate/x.yaml", []),
        ("configs/trainer/cpu.yaml", []),
        ("gate.yaml.bak", []),
    ],
)
def test_which_files_the_hooks_look_at(path, hooks):
    found = [name for name, hook in HOOKS.items() if re.search(hook["files"], path)]
    assert found == [f"simlearn-validate-{kind}" for kind in hooks]


def test_the_hooks_run_what_there_is(look):
    for kind, good, bad in (("gate", GATE, FIT), ("fit", FIT, GATE)):
        words = HOOKS[f"simlearn-validate-{kind}"]["entry"].split()
        assert words[:3] == ["simlearn", "config", "validate"]
        assert look(*words[3:], x=good)[0] == 0
        assert look(*words[3:], x=bad)[0] == 2
