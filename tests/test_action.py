"""The GitHub Action: its shell steps run here as a runner runs them, with files for its outputs."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import yaml

import simlearn
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


def step(here, name, **inputs):
    """Run a step; gives its exit code, its words, its outputs and the summary."""
    given = {key: str(spec.get("default", "")) for key, spec in ACTION["inputs"].items()}
    given |= {key.replace("_", "-"): value for key, value in inputs.items()}
    out, summary = here / "github-output", here / "github-summary"
    out.touch()
    summary.touch()

    def value(expression):
        found = re.fullmatch(r"\$\{\{ (inputs|github)\.([\w-]+) \}\}", expression)
        return given[found[2]] if found[1] == "inputs" else {"action_path": str(ROOT)}[found[2]]

    env = {key: value(text) for key, text in STEPS[name].get("env", {}).items()}
    bin_folder = str(pathlib.Path(sys.executable).parent)
    (here / "step.sh").write_text(STEPS[name]["run"])
    done = subprocess.run(
        [shutil.which("bash"), "--noprofile", "--norc", "-eo", "pipefail", "step.sh"],
        cwd=here,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{here}/stubs:{bin_folder}:{os.environ['PATH']}",
            "GITHUB_OUTPUT": str(out),
            "GITHUB_STEP_SUMMARY": str(summary),
            **env,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    outputs = dict(line.split("=", 1) for line in out.read_text().splitlines())
    return done.returncode, done.stdout + done.stderr, outputs, summary.read_text()


def test_a_passing_gate(here):
    code, said, outputs, summary = step(
        here, "Gate", simulator="sound", data="test.h5", gate="gate.yaml"
    )
    assert code == 0, said
    assert outputs == {"verdict": "passed", "report": "simlearn-report"}
    assert "simlearn gate: passed" in summary
    for name in ("report.html", "report.json", "junit.xml", "summary.md"):
        assert (here / "simlearn-report" / name).is_file()


def test_a_failing_gate_still_writes_the_summary_and_gives_its_code(here):
    code, said, outputs, summary = step(
        here, "Gate", simulator="wild", data="test.h5", gate="gate.yaml", out="out"
    )
    assert code == 1, said
    assert outputs == {"verdict": "failed", "report": "out"}
    assert "| FAIL | Bounded |" in summary
    assert "<failure" in (here / "out/junit.xml").read_text()


def test_the_suite_reaches_the_gate(here):
    code, said, _, summary = step(
        here, "Gate", simulator="sound", data="test.h5", gate="gate.yaml", suite="smoke"
    )
    assert code == 0, said
    assert "suite smoke" in summary


def test_without_a_gate_the_one_of_the_run_is_taken(here):
    code, said, _, _ = step(here, "Gate", simulator="sound", data="test.h5")
    assert code == 2
    assert "needs a gate" in said
    shutil.copy(here / "gate.yaml", here / "sound/gate.yaml")
    code, said, _, _ = step(here, "Gate", simulator="sound", data="test.h5")
    assert code == 0, said


def test_what_cannot_be_judged_is_no_failed_gate(here):
    (here / "out").mkdir()
    (here / "out/summary.md").write_text("of an earlier run")
    code, _, outputs, summary = step(
        here, "Gate", simulator="sound", data="nowhere.h5", gate="gate.yaml", out="out"
    )
    assert code == 3
    assert outputs == {"verdict": "not-judged", "report": ""}
    assert "exit code 3" in summary
    assert "earlier" not in summary


@pytest.mark.parametrize(
    "evil",
    ["$(touch pwned)", "`touch pwned`", "x; touch pwned", '"; touch pwned; "', "-x --debug", "a b"],
)
@pytest.mark.parametrize("name", ["simulator", "data", "gate", "suite", "out"])
def test_no_input_becomes_a_command(here, name, evil, monkeypatch):
    """The real tool's place is taken by one that writes down its words."""
    (here / "stubs").mkdir()
    stub = here / "stubs/simlearn"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\nexit 2\n')
    stub.chmod(0o755)
    inputs = {"simulator": "s", "data": "d", "gate": "g", "suite": "f", "out": "o", name: evil}
    code, _, outputs, _ = step(here, "Gate", **inputs)
    assert code == 2
    assert outputs["verdict"] == "not-judged"
    assert not (here / "pwned").exists()
    words = (here / "words").read_text().splitlines()
    shown = inputs["simulator"]
    assert words == [
        "check",
        f"./{shown}" if shown.startswith("-") else shown,
        *(f"--{key}={inputs[key]}" for key in ("data", "out", "gate", "suite")),
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", [str(ROOT)]),
        ("simlearn[graph]==0.1 my-plugin", ["simlearn[graph]==0.1", "my-plugin"]),
        ("$(touch pwned) *", ["$(touch", "pwned)", "*"]),
    ],
)
def test_the_install_step_hands_words_to_pip(here, given, words):
    (here / "stubs").mkdir()
    stub = here / "stubs/python"
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > words\n')
    stub.chmod(0o755)
    code, said, _, _ = step(here, "Install", install=given)
    assert code == 0, said
    asked = (here / "words").read_text().splitlines()
    assert asked == ["-m", "pip", "install", "--disable-pip-version-check", *words]
    assert not (here / "pwned").exists()


def test_scripts_hold_no_expressions():
    scripts = [one["run"] for one in STEPS.values() if "run" in one]
    assert len(scripts) == 2
    assert not any("${{" in script for script in scripts)
    assert all(one["shell"] == "bash" for one in STEPS.values() if "run" in one)


def test_outputs_come_from_the_gate_step():
    assert ACTION["runs"]["using"] == "composite"
    assert STEPS["Gate"]["id"] == "gate"
    assert {key: spec["value"] for key, spec in ACTION["outputs"].items()} == {
        name: f"${{{{ steps.gate.outputs.{name} }}}}" for name in ("verdict", "report")
    }
    assert [key for key, spec in ACTION["inputs"].items() if spec.get("required")] == [
        "simulator",
        "data",
    ]
