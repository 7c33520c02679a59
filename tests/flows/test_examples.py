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
