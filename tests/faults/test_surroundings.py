"""Fault row 28: clock, locale, odd paths, a read-only home, no network."""

import os
import pathlib
import subprocess
import sys

import pytest

CONFIG = """
model:
  simulator:
    dynamics: {class_path: SeparableEnergy, init_args: {dim: 2, width: 8}}
    integrator: Leapfrog
    dt: 0.1
data: {generator: Pendulum, count: 4, steps: 41, dt: 0.1}
trainer: {max_epochs: 2}
"""
GATE = "schema: 1\nsuites: {full: [{class_path: Bounded, init_args: {horizon: 50}}]}\n"
NO_NETWORK = {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy", "all_proxy")}
PENDULUM = ("--generator", "Pendulum", "--dt", "0.1")
ODD = {
    "ascii": {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "no home": {"HOME": "/proc/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", **NO_NETWORK},
    "clock": {"TZ": "Pacific/Kiritimati", "SOURCE_DATE_EPOCH": "0"},
}
# one process for all commands: what it imports takes longer than what they do
ONE_AFTER_ANOTHER = """
import sys
from simlearn.cli import run
words = sys.argv[1:]
while words:
    end = words.index("then")
    if code := run(words[:end]):
        sys.exit(f"{words[:end]}: exit code {code}")
    del words[: end + 1]
"""


@pytest.mark.fault(28)
@pytest.mark.parametrize("environment", ODD.values(), ids=ODD)
def test_the_whole_walk_works(tmp_path, environment):
    """Fit, generate, check, forecast and show, in a folder whose name is hard to spell."""
    folder = tmp_path / "ein Ördner mit 空白"
    folder.mkdir()
    (folder / "füt.yaml").write_text(CONFIG, encoding="utf-8")
    (folder / "gate.yaml").write_text(GATE, encoding="utf-8")
    run = pathlib.Path("runs/pendel 1")
    walk = (
        ("fit", "-c", "füt.yaml", "--run", run.name),
        ("generate", *PENDULUM, "--steps", "101", "--out", "tést.h5"),
        ("check", run, "--data", "tést.h5", "-c", "gate.yaml"),
        ("forecast", run, "--data", "tést.h5", "--steps", "5", "--out", "vorhersage.csv"),
        ("data", "show", "tést.h5"),
    )
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_ANOTHER, *(w for words in walk for w in (*words, "then"))],
        cwd=folder,
        env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "101 x 1 x 2" in done.stdout
    assert (folder / run / "report/report.html").exists()
    assert (folder / "vorhersage.csv").exists()


@pytest.mark.fault(28)
@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_an_environment_fault(shell, tmp_path):
    (tmp_path / "fit.yaml").write_text(CONFIG)
    tmp_path.chmod(0o555)
    try:
        done = shell("fit", "-c", "fit.yaml")
    finally:
        tmp_path.chmod(0o755)
    assert done.returncode == 6


@pytest.mark.fault(28)
def test_an_out_that_cannot_be_made_is_an_environment_fault(shell):
    done = shell("generate", *PENDULUM, "--steps", "11", "--out", "/proc/nowhere/x.h5")
    assert done.returncode == 6
    assert "/proc/nowhere" in done.stderr
