"""Shared by all tests: float64 where numbers count, no plugin warnings, no leftovers."""

import os
import pathlib
import subprocess
import sys

import pytest
import torch

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
