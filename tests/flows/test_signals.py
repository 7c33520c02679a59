"""Signals have their exit codes: a training that was killed must not look green."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signalled_fit_says_so(tmp_path, number, code):
    command = [sys.executable, "-m", "simlearn", "fit", "-c", ROOT / "configs/fit/mass-spring.yaml"]
    run = subprocess.Popen(
        [*command, "--trainer.max_epochs", "100000"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # whoever runs the tests in the background hands an ignored SIGINT down
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    metrics = tmp_path / "runs/mass-spring/metrics.csv"
    while time.monotonic() < deadline and not metrics.exists():
        time.sleep(0.2)
    assert metrics.exists(), "training began"
    run.send_signal(number)
    _, error = run.communicate(timeout=120)
    assert run.returncode == code
    assert "Traceback" not in error
