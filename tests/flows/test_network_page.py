"""The page "Forecast your network" is run as it stands, in an empty folder."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import simlearn

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/forecast-your-network.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|sh|yaml)\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder after the whole page, and what each command said."""
    here = tmp_path_factory.mktemp("page")
    found = shutil.which("simlearn", path=f"{pathlib.Path(sys.executable).parent}")
    paths = [str(pathlib.Path(p).parent) for p in (found, sys.executable) if p]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": ":".join([*paths, os.environ["PATH"]])}
    said = {}
    for kind, block in BLOCKS:
        if kind == "yaml":
            (here / re.match(r"# (\S+)", block)[1]).write_text(block)
            continue
        lines = [[sys.executable, "-c", block]] if kind == "python" else block.strip().splitlines()
        for line in lines:
            done = subprocess.run(
                line, shell=kind == "sh", cwd=here, env=env, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            said[str(line)] = done.stdout + done.stderr
    return here, said


def forecast(said, out):
    """What the forecast into a file said."""
    (told,) = (text for line, text in said.items() if line.endswith(f"--out {out}"))
    return told


def test_a_usual_start_is_not_doubted_and_a_far_one_is(walked):
    _, said = walked
    usual, far = forecast(said, "forecast.h5"), forecast(said, "far.h5")
    assert "begins outside" in far
    assert "begins outside" not in usual
    assert "unusual for this graph" in far
    assert "unusual for this graph" not in usual


def test_what_was_promised_is_there(walked):
    here, _ = walked
    for picture in ("nodes", "trust", "graph"):
        assert (here / "forecast-plots" / f"{picture}.png").stat().st_size > 10_000
    (one,) = simlearn.read(here / "forecast.h5").trajectories
    assert one.x.shape == (21, 500, 1)
    assert list((here / "transfer").glob("*"))
