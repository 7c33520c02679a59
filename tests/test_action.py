"""The GitHub Action: its shell steps run here as a runner runs them, with files for its outputs."""

import pathlib
import platform
import re
import shutil
import sys

import pytest
import yaml

import simlearn
from simlearn import cli
from simlearn.data.generate import sample_times
from simlearn.integrators import Euler, Leapfrog
from simlearn_mechanics import MassSpring

ROOT = pathlib.Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
GATE = """
schema: 1
suites:
  smoke: [{class_path: Bounded, init_args: {horizon: 100, factor: 2.0}}]
  full: [{class_path: Bounded, init_args: {horizon: 1000, factor: 2.0}}]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A workspace with a sound simulator, one that blows up, held-out data and a gate."""
    monkeypatch.chdir(tmp_path)
    spring = MassSpring()
    for name, scheme in (("sound", Leapfrog()), ("wild", Euler())):
        simlearn.save(simlearn.Simulator(spring.truth(), scheme, dt=0.1), name)
    simlearn.write("test.h5", spring.draw(range(2), sample_times(101, 0.1), 0), {})
    pathlib.Path("gate.yaml").write_text(GATE)
    return tmp_path


def test_a_passing_gate(here, action_step):
    code, said, outputs, summary = action_step(
        here, "Gate", simulator="sound", data="test.h5", gate="gate.yaml"
    )
    assert code == 0, said
    assert outputs == {"verdict": "passed", "code": "0", "report": "simlearn-report"}
    assert "simlearn gate: passed" in summary
    for name in ("report.html", "report.json", "junit.xml", "summary.md"):
        assert (here / "simlearn-report" / name).is_file()


def test_a_failing_gate_still_writes_the_summary_and_gives_its_code(here, action_step):
    code, said, outputs, summary = action_step(
        here, "Gate", simulator="wild", data="test.h5", gate="gate.yaml", out="out"
    )
    assert code == 1, said
    assert outputs == {"verdict": "failed", "code": "1", "report": "out"}
    assert "| FAIL | Bounded |" in summary
    assert "<failure" in (here / "out/junit.xml").read_text()


def test_the_suite_reaches_the_gate(here, action_step):
    code, said, _, summary = action_step(
        here, "Gate", simulator="sound", data="test.h5", gate="gate.yaml", suite="smoke"
    )
    assert code == 0, said
    assert "suite smoke" in summary


def test_without_a_gate_the_one_of_the_run_is_taken(here, action_step):
    code, said, _, _ = action_step(here, "Gate", simulator="sound", data="test.h5")
    assert code == 2
    assert "needs a gate" in said
    shutil.copy(here / "gate.yaml", here / "sound/gate.yaml")
    code, said, _, _ = action_step(here, "Gate", simulator="sound", data="test.h5")
    assert code == 0, said


def test_a_gate_that_names_everything_needs_nothing_else(here, action_step):
    named = "simulator: sound\ndata: test.h5\nbaseline: kept.json\n"
    (here / "gates").mkdir()
    (here / "gates/gate.yaml").write_text(GATE + named.replace(": ", ": ../"))
    words = ["check", "-c", "gates/gate.yaml", "--suite", "smoke", "--update-baseline"]
    assert cli.run(words) == 0
    code, said, outputs, _ = action_step(here, "Gate", gate="gates/gate.yaml", suite="smoke")
    assert code == 0, said
    assert outputs["verdict"] == "passed"
    assert "nothing is worse than" in said
    code, said, outputs, _ = action_step(
        here, "Gate", simulator="wild", gate="gates/gate.yaml", suite="smoke", baseline="kept.json"
    )
    assert code == 1, said
    assert "worse than the baseline" in said


def test_what_cannot_be_judged_is_no_failed_gate(here, action_step):
    (here / "out").mkdir()
    (here / "out/summary.md").write_text("of an earlier run")
    code, _, outputs, summary = action_step(
        here, "Gate", simulator="sound", data="nowhere.h5", gate="gate.yaml", out="out"
    )
    assert code == 3
    assert outputs == {"verdict": "not-judged", "code": "3", "report": ""}
    assert "exit code 3" in summary
    assert "earlier" not in summary


@pytest.mark.parametrize(
    "evil",
    ["$(touch pwned)", "`touch pwned`", "x; touch pwned", '"; touch pwned; "', "-x --debug", "a b"],
)
@pytest.mark.parametrize("name", ["simulator", "data", "gate", "suite", "baseline", "out"])
def test_no_input_becomes_a_command(here, name, evil, monkeypatch, action_step):
    """The real tool's place is taken by one that writes down its words."""
    (here / "stubs").mkdir()
    stub = here / "stubs/simlearn"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\nexit 2\n')
    stub.chmod(0o755)
    names = ("simulator", "data", "gate", "suite", "baseline", "out")
    inputs = {**{key: key[0] for key in names}, name: evil}
    code, _, outputs, _ = action_step(here, "Gate", **inputs)
    assert code == 2
    assert outputs["verdict"] == "not-judged"
    assert not (here / "pwned").exists()
    words = (here / "words").read_text().splitlines()
    shown = inputs["simulator"]
    assert words == [
        "check",
        f"./{shown}" if shown.startswith("-") else shown,
        *(f"--{key}={inputs[key]}" for key in ("out", "data", "gate", "suite", "baseline")),
    ]


def test_what_is_not_given_is_not_said_and_a_runner_without_a_summary_does(here, action_step):
    (here / "stubs").mkdir()
    stub = here / "stubs/simlearn"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\nexit 2\n')
    stub.chmod(0o755)
    code, _, outputs, summary = action_step(here, "Gate", page=False, gate="g")
    assert (code, outputs["verdict"], summary) == (2, "not-judged", "")
    words = (here / "words").read_text().splitlines()
    assert words == ["check", "--out=simlearn-report", "--gate=g"]


def test_the_cache_is_found_by_what_is_installed(here, action_step):
    def place(**inputs):
        code, said, outputs, _ = action_step(here, "Place of the cache", **inputs)
        (here / "github-output").unlink()
        assert code == 0, said
        return outputs

    first, again = place(), place()
    assert first == again
    assert pathlib.Path(first["folder"]).is_absolute()
    assert first["key"].startswith(first["before"])
    assert re.fullmatch(r"\d{4}-\d\d", first["key"].removeprefix(first["before"]))
    assert platform.python_version() in first["key"]
    assert place(install="simlearn other")["before"] != first["before"]
    (here / "stubs").mkdir()
    stub = here / "stubs/python"
    stub.write_text(f'#!/bin/sh\ncase "$1" in -m) exit 1 ;; esac\nexec {sys.executable} "$@"\n')
    stub.chmod(0o755)
    assert place()["folder"] == "", "pip that keeps nothing has no folder, and the step is skipped"


def test_the_cache_is_skipped_where_there_is_nothing_to_keep():
    assert STEPS["Place of the cache"]["if"] == (
        "inputs.cache == 'true' && runner.environment == 'github-hosted'"
    )
    assert STEPS["Cache"]["if"] == "steps.pip.outputs.folder != ''"
    order = list(STEPS)
    assert order == ["Python", "Place of the cache", "Cache", "Install", "Gate"]
    given = STEPS["Cache"]["with"]
    wanted = {"path": "folder", "key": "key", "restore-keys": "before"}
    assert given == {key: f"${{{{ steps.pip.outputs.{name} }}}}" for key, name in wanted.items()}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", [str(ROOT)]),
        ("simlearn[graph]==0.1 my-plugin", ["simlearn[graph]==0.1", "my-plugin"]),
        ("$(touch pwned) *", ["$(touch", "pwned)", "*"]),
    ],
)
def test_the_install_step_hands_words_to_pip(here, given, words, action_step):
    (here / "stubs").mkdir()
    stub = here / "stubs/python"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\n')
    stub.chmod(0o755)
    code, said, _, _ = action_step(here, "Install", install=given)
    assert code == 0, said
    asked = (here / "words").read_text().splitlines()
    assert asked == ["-m", "pip", "install", "--disable-pip-version-check", *words]
    assert not (here / "pwned").exists()


def test_scripts_hold_no_expressions():
    scripts = [one["run"] for one in STEPS.values() if "run" in one]
    assert len(scripts) == 3
    assert not any("${{" in script for script in scripts)
    assert all(one["shell"] == "bash" for one in STEPS.values() if "run" in one)


def test_outputs_come_from_the_gate_step():
    assert ACTION["runs"]["using"] == "composite"
    assert STEPS["Gate"]["id"] == "gate"
    assert {key: spec["value"] for key, spec in ACTION["outputs"].items()} == {
        name: f"${{{{ steps.gate.outputs.{name} }}}}" for name in ("verdict", "code", "report")
    }
    assert not any(spec.get("required") for spec in ACTION["inputs"].values())
