"""The gate: runs checks on a simulator in float64, on one thread, and writes the report."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from simlearn.component import ConfigError, DataError, EnvironmentFault, describe
from simlearn.simulator import Simulator
from simlearn.stability.check import Check
from simlearn.stability.evidence import Evidence
from simlearn.stability.junit import to_junit
from simlearn.stability.render import to_html
from simlearn.stability.report import Item, Report, Severity


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
    _refuse_other_states(simulator, evidence)
    judged, evidence = _double(simulator), _doubled(evidence)
    cases = [one if isinstance(one, Case) else Case(one) for one in checks]
    items = []
    with _one_thread():
        for number, case in enumerate(cases, 1):
            name = type(case.check).__name__
            if tell is not None:
                tell(f"[{number}/{len(cases)}] {name} ...")
            items.append(_judged(case, judged, evidence))
    kept = {**simulator.provenance, **(provenance or {})}
    return Report(simulator.name, suite, tuple(items), kept, tuple(evidence.references))


def _refuse_other_states(simulator: Simulator, evidence: Evidence) -> None:
    if not isinstance(evidence, Evidence):
        raise ConfigError(f"check wants Evidence(held_out=[...]), got a {type(evidence).__name__}.")
    dim = simulator.dynamics.dim
    for one in (*evidence.held_out, *evidence.training):
        if dim is not None and one.dim != dim:
            kind = type(simulator.dynamics).__name__
            raise DataError(f"The data hold states of {one.dim} columns, {kind} takes {dim}.")


def _judged(case: Case, simulator: Simulator, evidence: Evidence) -> Item:
    began = time.monotonic()
    finding = case.check.run(simulator, evidence)
    spent = time.monotonic() - began
    told = describe(case.check)
    name = type(case.check).__name__
    return Item(name, told["init_args"], finding, case.severity, case.optional, spent)


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


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def folder_for(path: Path | str) -> Path:
    """The folder of a report, made and probed before hours of judging.

    Raises:
        EnvironmentFault: It cannot be written.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise EnvironmentFault(f"Cannot write the report into {path}: {error}.") from error
    return path


def write(report: Report, folder: Path | str) -> dict[str, Path]:
    """Write report.json, junit.xml, summary.md and report.html into a folder.

    Each whole or not at all.

    Raises:
        EnvironmentFault: The folder cannot be written.
    """
    folder = Path(folder)
    texts = {
        "report.json": report.to_json(),
        "junit.xml": to_junit(report),
        "summary.md": report.to_markdown(),
        "report.html": to_html(report),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            partial = folder / f".{name}.partial"
            partial.write_text(text, encoding="utf-8")
            partial.replace(folder / name)
    except OSError as error:
        raise EnvironmentFault(f"Cannot write the report into {folder}: {error}.") from error
    return {name: folder / name for name in texts}
