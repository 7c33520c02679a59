"""The examples run as they stand."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.slow
def test_unlearnable_directions_from_end_to_end(tmp_path):
    """It tells the unstable from the healed, and leaves reports and a picture."""
    command = [sys.executable, str(ROOT / "examples/unlearnable_directions.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    said = {" ".join(row[:-3]): row[-1] for row in rows if row and row[-1] in ("pass", "fail")}
    assert said == {
        "as usual": "fail",
        "noise, uncorrected": "fail",
        "noise, kappa = 2": "pass",
        "projection": "pass",
        "stable start, SGD": "pass",
        "stable start, Adam": "fail",
    }
    assert (tmp_path / "unlearnable-directions.png").stat().st_size > 10_000
    assert (tmp_path / "as-usual/report.html").exists()


@pytest.mark.slow
def test_the_edge_of_stability(tmp_path):
    """The larger rate holds the sharpness at 2/η, the smaller one lets the loss fall throughout."""
    command = [sys.executable, str(ROOT / "examples/edge_of_stability.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    fast, slow = (line.split() for line in done.stdout.splitlines()[1:3])
    assert (fast[:2], slow[:2]) == (["0.4", "5.0"], ["0.1", "20.0"])
    assert 4.75 < float(fast[2]) < float(fast[4]) < 5.25
    assert int(fast[5]) > 500
    assert float(slow[4]) < 10
    assert int(slow[5]) == 0
    assert (tmp_path / "edge-of-stability.png").stat().st_size > 10_000
