"""What the fixtures give: functions that judge and roll out. Needs all of simlearn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from simlearn.archive import load
from simlearn.catalog import Catalog
from simlearn.cli.baselines import compared, facts_of
from simlearn.cli.judging import case_of, evidence_of, overridden, relatives_of
from simlearn.cli.parsing import prepared
from simlearn.component import ConfigError, DataError
from simlearn.data.store import read
from simlearn.pytest_plugin.judged import command, explained, options, told
from simlearn.pytest_plugin.nodes import suite_of
from simlearn.simulator import Simulator
from simlearn.stability import gate as judging
from simlearn.stability.check import Check
from simlearn.stability.evidence import Evidence, one_thread
from simlearn.stability.gate import Case
from simlearn.stability.gatefile import GateFile, read_gate_file
from simlearn.stability.report import Report
from simlearn.state import Trajectory

Place = str | Path
Data = Place | Trajectory | Sequence[Trajectory]


def gate(
    simulator: Simulator | Place | None = None,
    evidence: Evidence | Data | None = None,
    checks: Place | Check | Case | Sequence[Check | Case] = (),
    *,
    suite: str | None = None,
    must_pass: bool = True,
    allow_import: Sequence[str] = (),
) -> Report:
    """Judge; see the fixture ``simlearn_gate``.

    Raises:
        Failed: The gate failed, or could not judge: no simulator or no evidence was given, say, and
            no gate file names them.
    """
    with told(), prepared(options(allow_import)) as known:
        asked = read_gate_file(checks) if isinstance(checks, Place) else GateFile(Path(), {})
        asked = overridden(asked, simulator=_path(simulator), data=_path(evidence))
        if isinstance(checks, Place):
            suite, entries = suite_of(asked, suite)
            cases = [case_of(entry, asked.path, known) for entry in entries]
        else:
            given = [checks] if isinstance(checks, Check | Case) else checks
            cases = [one if isinstance(one, Case) else Case(one) for one in given]
        report = _judged(asked, suite or "test", simulator, evidence, cases, known)
    if must_pass and not report.passed:
        pytest.fail(_why(report, asked), pytrace=False)
    return report


def _judged(
    asked: GateFile,
    suite: str,
    simulator: Simulator | Place | None,
    evidence: Evidence | Data | None,
    cases: Sequence[Case],
    known: Catalog,
) -> Report:
    if asked.simulator is None and not isinstance(simulator, Simulator):
        raise ConfigError("simlearn_gate needs a simulator: a Simulator, a run or an archive.")
    model = simulator if isinstance(simulator, Simulator) else load(asked.simulator or "", known)
    if evidence is not None and not isinstance(evidence, Place):
        if asked.baseline is not None:
            raise ConfigError(
                f"{asked.path} names a baseline, which holds for the data of one file. Give "
                "simlearn_gate the path of the dataset, FILE.h5, or take `baseline:` out."
            )
        given = evidence if isinstance(evidence, Evidence) else _held_out(evidence)
        seen = _completed(given, relatives_of(asked, model, cases, known, print))
        return judging.check(model, seen, cases, suite=suite)
    if asked.data is None:
        raise ConfigError("simlearn_gate needs evidence: Evidence, trajectories, or FILE.h5.")
    data = read(asked.data)
    seen = evidence_of(asked, model, data, cases, known, print)
    compare = compared(asked, suite, facts_of(model, data, seen), cases)
    return compare(judging.check(model, seen, cases, suite=suite))


def _completed(given: Evidence, more: Mapping[str, Any]) -> Evidence:
    """With what a gate file says where the evidence says nothing."""
    lacking = {name: value for name, value in more.items() if not getattr(given, name)}
    return replace(given, **lacking, _rolled={})


def _held_out(given: Trajectory | Sequence[Trajectory]) -> Evidence:
    return Evidence(held_out=(given,) if isinstance(given, Trajectory) else given)


def _path(given: object) -> Path | None:
    return Path(given) if isinstance(given, Place) else None


def _why(report: Report, asked: GateFile) -> str:
    bad = [item for item in report.items if item.severity == "error" and not item.good]
    lines = [f"{item.name}: {explained(item)}" for item in bad]
    lines += [f"worse than the baseline: {one}" for one in report.regressions]
    if not any(item.severity == "error" for item in report.items):
        lines.append("no check has severity error: nothing was proved")
    lines += [f"report with pictures: {command(asked)}"] if asked.suites else []
    return "\n".join(lines)


def rollout(
    simulator: Simulator | Place,
    data: Data,
    steps: int | None = None,
    *,
    number: int = 0,
    every: int = 1,
    seed: int = 0,
    allow_import: Sequence[str] = (),
) -> Trajectory:
    """Roll out from held-out data; see the fixture ``simlearn_rollout``.

    Raises:
        Failed: There is no such simulator or trajectory, its states are none of the simulator's, or
            an argument is no count.
    """
    with told(), prepared(options(allow_import)) as known:
        model = simulator if isinstance(simulator, Simulator) else load(Path(simulator), known)
        given = read(data).trajectories if isinstance(data, Place) else data
        return _rolled(judging.Judge(model, _held_out(given)), steps, number, every, seed)


def _rolled(
    judge: judging.Judge, steps: int | None, number: int, every: int, seed: int
) -> Trajectory:
    """The rollout.

    Raises:
        ConfigError: An argument is no count.
        DataError: There is no such trajectory.
    """
    model, there = judge.simulator, len(judge.evidence.held_out)
    for name, value, least in (("steps", steps, 1), ("every", every, 1), ("seed", seed, 0)):
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= least
        if value is not None and not whole:
            raise ConfigError(f"{name} is a whole number from {least}, got {value!r}.")
    if number not in range(there):
        raise DataError(f"The data have trajectories 0 to {there - 1}, got number={number!r}.")
    begin = judge.evidence.start(number)
    if steps is None:
        steps = math.floor(float(begin.t[-1].max() - begin.t[0].min()) / model.dt + 1e-9)
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        seen = replace(judge.evidence, processes=1)
        return seen.rollouts(judge.simulator, steps, every, number, math.inf)[""]
