"""Shared by all tests: float64 where numbers count, no plugin warnings, no leftovers."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import torch
import yaml

ROOT = pathlib.Path(__file__).parents[1]


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        skip = pytest.mark.skip(reason="no accelerator here")
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(skip)


@pytest.fixture
def seeded():
    """Weights built under a seed, the global generator given back afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs simlearn in an empty folder of its own, in this process: (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*argv, capsys=None):
        from simlearn.cli import run

        return run([str(a) for a in argv])

    return run


@pytest.fixture
def shell(tmp_path):
    """Runs a command line in a process of its own."""

    def run(*argv, cwd=tmp_path, **environment):
        return subprocess.run(
            [sys.executable, "-m", "simlearn", *map(str, argv)],
            cwd=cwd,
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )

    return run


@pytest.fixture
def action_step():
    """Runs a step of action.yml as a runner does: (code, its words, outputs, the summary)."""
    action = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
    steps = {step["name"]: step for step in action["runs"]["steps"]}
    texts = {key: str(spec.get("default", "")) for key, spec in action["inputs"].items()}

    def run(here, name, page=True, **inputs):
        given = texts | {key.replace("_", "-"): value for key, value in inputs.items()}
        assert set(given) == set(texts), "no such input"
        out, summary = here / "github-output", here / "github-summary"
        out.touch()
        summary.touch()

        def value(expression):
            found = re.fullmatch(r"\$\{\{ (inputs|github)\.([\w-]+) \}\}", expression)
            return given[found[2]] if found[1] == "inputs" else {"action_path": str(ROOT)}[found[2]]

        (here / "step.sh").write_text(steps[name]["run"])
        folders = (here / "stubs", pathlib.Path(sys.executable).parent, os.environ["PATH"])
        done = subprocess.run(
            [shutil.which("bash"), "--noprofile", "--norc", "-eo", "pipefail", "step.sh"],
            cwd=here,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "PATH": os.pathsep.join(map(str, folders)),
                "GITHUB_OUTPUT": str(out),
                "GITHUB_STEP_SUMMARY": str(summary) if page else "",
                **{key: value(text) for key, text in steps[name].get("env", {}).items()},
            },
            capture_output=True,
            text=True,
            check=False,
        )
        outputs = dict(line.split("=", 1) for line in out.read_text().splitlines())
        return done.returncode, done.stdout + done.stderr, outputs, summary.read_text()

    return run
