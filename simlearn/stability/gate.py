"""The gate: runs checks on a simulator in float64, on one thread, and writes the report."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from simlearn.component import (
    ConfigError,
    DataError,
    EnvironmentFault,
    PluginError,
    class_path,
    describe,
)
from simlearn.hooks import origin
from simlearn.simulator import Simulator
from simlearn.stability.check import Check
from simlearn.stability.evidence import Evidence, one_thread
from simlearn.stability.finding import Finding
from simlearn.stability.junit import to_junit
from simlearn.stability.render import to_html
from simlearn.stability.report import Item, Report, Severity

FILES = ("report.json", "junit.xml", "summary.md", "report.html")


@dataclass(frozen=True)
class Case:
    """A check as a gate file lists it.

    Attributes:
        check: The check.
        severity: "error" fails the gate, "warning" is only told.
        optional: Whether "not applicable" is acceptable.
    """

    check: Check
    severity: Severity = "error"
    optional: bool = False


def check(
    simulator: Simulator,
    evidence: Evidence,
    checks: Sequence[Check | Case],
    *,
    suite: str = "default",
    provenance: dict[str, Any] | None = None,
    tell: Callable[[str], None] | None = None,
) -> Report:
    """Judge a simulator.

    All judged numbers are computed in float64 on one thread, so that a verdict is the same every
    time.

    Args:
        simulator: What is judged; it is copied, not changed.
        evidence: What it is held against.
        checks: The checks, or cases that say how much each matters.
        suite: Name of the suite for the report.
        provenance: What the report keeps besides the simulator's own provenance.
        tell: Hears one line before each check.

    Raises:
        ConfigError: There is no check.
        DataError: The evidence is too short for a check.
    """
    if not checks:
        raise ConfigError(
            "A gate without checks judges nothing. Name at least one check in the suite."
        )
    judge = Judge(simulator, evidence)
    cases = [one if isinstance(one, Case) else Case(one) for one in checks]
    items = []
    for number, case in enumerate(cases, 1):
        if tell is not None:
            tell(f"[{number}/{len(cases)}] {type(case.check).__name__} ...")
        items.append(judge.item(case))
    kept = {**simulator.provenance, **(provenance or {})}
    return Report(simulator.name, suite, tuple(items), kept, tuple(evidence.references))


class Judge:
    """Judges one simulator, one check at a time; rollouts are shared among the checks.

    Args:
        simulator: What is judged; it is copied, not changed.
        evidence: What it is held against.

    Raises:
        DataError: The evidence holds states of another dimension.
    """

    def __init__(self, simulator: Simulator, evidence: Evidence):
        _refuse_other_states(simulator, evidence)
        self.simulator, self.evidence = _double(simulator), _doubled(evidence)

    def item(self, case: Case) -> Item:
        """What a check finds, in float64 on one thread.

        Raises:
            DataError: The evidence is too short for it.
            PluginError: It finds no Finding.
        """
        began = time.monotonic()
        with one_thread():
            finding = case.check.run(self.simulator, self.evidence)
        if not isinstance(finding, Finding):
            kind, got = type(case.check), type(finding).__name__
            where = f"{origin(kind.__module__)}: {class_path(kind)}.run"
            raise PluginError(f"{where}: wanted a Finding, got a {got}.")
        spent = time.monotonic() - began
        told, name = describe(case.check)["init_args"], type(case.check).__name__
        return Item(name, told, finding, case.severity, case.optional, spent)


def _refuse_other_states(simulator: Simulator, evidence: Evidence) -> None:
    if not isinstance(evidence, Evidence):
        raise ConfigError(f"check wants Evidence(held_out=[...]), got a {type(evidence).__name__}.")
    dim = simulator.dynamics.dim
    for one in (*evidence.held_out, *evidence.training):
        if dim is not None and one.dim != dim:
            kind = type(simulator.dynamics).__name__
            raise DataError(f"The data hold states of {one.dim} columns, {kind} takes {dim}.")


def _double(simulator: Simulator) -> Simulator:
    return copy.deepcopy(simulator).double().cpu().eval().requires_grad_(False)


def _doubled(evidence: Evidence) -> Evidence:
    return replace(
        evidence,
        held_out=tuple(one.to("cpu", torch.float64) for one in evidence.held_out),
        training=tuple(one.to("cpu", torch.float64) for one in evidence.training),
        siblings=tuple(_double(one) for one in evidence.siblings),
        references={name: _double(one) for name, one in evidence.references.items()},
        _rolled={},
    )


def folder_for(path: Path | str, what: str = "the report") -> Path:
    """The folder of what will be written, made and probed before hours of judging.

    Raises:
        EnvironmentFault: It cannot be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot write {what} into {path}: {error}.") from error
    return path


def clear(folder: Path | str) -> None:
    """Remove an earlier report: what ends without a verdict leaves none to be read.

    Raises:
        EnvironmentFault: It cannot be removed.
    """
    try:
        for name in FILES:
            if (Path(folder) / name).is_file():
                (Path(folder) / name).unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot remove the report in {folder}: {error}.") from error


def write(report: Report, folder: Path | str) -> dict[str, Path]:
    """Write report.json, junit.xml, summary.md and report.html into a folder.

    Each whole or not at all.

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    folder = Path(folder)
    made = (report.to_json(), to_junit(report), report.to_markdown(), to_html(report))
    partial = folder / f".{os.getpid()}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(FILES, made, strict=True):
            partial.write_text(text, encoding="utf-8")
            partial.replace(folder / name)
    except OSError as error:
        raise EnvironmentFault(f"Cannot write the report into {folder}: {error}.") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    return {name: folder / name for name in FILES}
