"""The pytest plugin: every check of a ``*.gate.yaml`` is a test, and two fixtures judge in tests.

Nothing but pytest is imported before a gate is run, so that it costs a test suite nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from simlearn.pytest_plugin.nodes import NOTE, GateNode, heavy

if TYPE_CHECKING:
    from simlearn.stability.report import Report
    from simlearn.state import Trajectory

OURS = re.compile(r"simlearn(\..*|_\w+)?")


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Which suite, and whether baselines are written."""
    _as_installed(pluginmanager)
    group = parser.getgroup("simlearn", "gates of learned simulators (*.gate.yaml)")
    group.addoption(
        "--simlearn-suite",
        metavar="NAME",
        default=None,
        help="suite of every gate file that is judged; by default the ini option simlearn_suite",
    )
    group.addoption(
        "--simlearn-update",
        action="store_true",
        help="write the baselines that gate files name, instead of comparing with them",
    )
    parser.addini(
        "simlearn_suite",
        "suite of every gate file that is judged; by default smoke, or what `simlearn check` takes "
        "where a file has no smoke",
        default="",
    )
    parser.addini(
        "simlearn_files",
        "names of gate files; empty: none is collected",
        type="args",
        default=["*.gate.yaml", "*.gate.yml"],
    )
    parser.addini(
        "simlearn_allow_import",
        "packages besides the installed plugins whose checks a gate file may name",
        type="args",
        default=[],
    )


def _as_installed(pluginmanager: pytest.PytestPluginManager) -> None:
    """Take our packages off the list of those whose assertions pytest rewrites.

    It puts every package of a distribution with a plugin there, and so would compile all of
    simlearn anew, in each run where it can keep no bytecode.
    """
    marked = getattr(pluginmanager.rewrite_hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked.difference_update([name for name in marked if OURS.fullmatch(name)])


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker, for ``-m "not simlearn"``."""
    config.addinivalue_line("markers", "simlearn: a check that a *.gate.yaml file names")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> GateNode | None:
    """A gate file is collected."""
    names = parent.config.getini("simlearn_files")
    if any(fnmatch(file_path.name, name) for name in names):
        node: GateNode = GateNode.from_parent(parent, path=file_path)
        return node
    return None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What passed but should be read: warnings, values near their limit, baselines written."""
    told = [
        (report.nodeid, text)
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for head, text in report.sections
        if head == f"Captured {NOTE} setup"
    ]
    if told:
        terminalreporter.section("simlearn gates")
    for nodeid, text in told:
        terminalreporter.write_line(f"{nodeid}: {text}")


@pytest.fixture(scope="session")
def simlearn_gate(pytestconfig: pytest.Config) -> Callable[..., Report]:
    """Judge a simulator inside a test; the test fails with the finding where the gate fails.

    ``simlearn_gate(simulator, evidence, checks, *, suite=None, must_pass=True) -> Report``

    simulator: a Simulator, or the path of a run or an archive.
    evidence: an Evidence, a Trajectory, several of them, or the path of a dataset (FILE.h5); a gate
        file adds what it says of siblings, references, training data and seed. One that names a
        baseline needs the path.
    checks: checks (Bounded(horizon=1000), ...), or the path of a gate file. A gate file that names
        ``simulator:`` and ``data:`` itself needs neither: ``simlearn_gate(checks="x.gate.yaml")``.
    suite: which suite of the gate file; smoke by default, as for gate files that are collected.
    must_pass: False gives the report of a gate that failed, too, to be asserted on.

    All judged numbers are drawn in float64 on one thread with fixed seeds.
    """
    allowed = pytestconfig.getini("simlearn_allow_import")
    return partial(heavy("fixtures").gate, allow_import=allowed)


@pytest.fixture(scope="session")
def simlearn_rollout(pytestconfig: pytest.Config) -> Callable[..., Trajectory]:
    """Roll a simulator out from held-out data, the same to the last digit on every run.

    ``simlearn_rollout(simulator, data, steps=None, *, number=0, every=1, seed=0) -> Trajectory``

    simulator: a Simulator, or the path of a run or an archive; it is copied, not changed.
    data: a Trajectory, several of them, or the path of a dataset (FILE.h5).
    steps: how many; by default as many as the trajectory covers.
    number: which trajectory it begins with, at its first state; control inputs are the data's.
    every: keep every so many steps, and the start.
    seed: of whatever the dynamics draw.

    float64, on one thread, without gradients. A rollout that blows up is cut, and says so:
    ``trajectory.status``, ``trajectory.finite_steps``.
    """
    allowed = pytestconfig.getini("simlearn_allow_import")
    return partial(heavy("fixtures").rollout, allow_import=allowed)
