"""``--baseline`` and ``--update-baseline`` of ``simlearn check``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from simlearn.archive import estimates
from simlearn.data.store import Dataset
from simlearn.simulator import Simulator
from simlearn.stability import gate
from simlearn.stability.baseline import UNKNOWN, Facts, read_baseline, write_baseline
from simlearn.stability.compare import changes, recorded, worse
from simlearn.stability.evidence import Evidence
from simlearn.stability.gatefile import GateFile
from simlearn.stability.report import Report


def facts_of(simulator: Simulator, held_out: Dataset, evidence: Evidence) -> Facts:
    """What numbers depend on, for a comparison."""
    truth = UNKNOWN
    if evidence.truth is not None:
        told = json.dumps(held_out.provenance.get("generator"), sort_keys=True)
        truth = hashlib.sha256(told.encode()).hexdigest()
    siblings = len(evidence.siblings)
    return Facts(held_out.digest, simulator.dt, evidence.seed, truth, siblings)


def compared(
    asked: GateFile, suite: str, facts: Facts, cases: Sequence[gate.Case]
) -> Callable[[Report], Report]:
    """What holds a report against the baseline of the gate; nothing where it names none.

    Raises:
        ConfigError: The baseline cannot be compared with; known before anything is judged.
    """
    if asked.baseline is None:
        return lambda report: report
    baseline = read_baseline(asked.baseline)
    kept = baseline.fitting(suite, facts, cases)

    def compare(report: Report) -> Report:
        found = [
            one
            for was, item in zip(kept, report.items, strict=True)
            for one in worse(was, item, asked.tolerance, baseline.path)
        ]
        told = {"file": str(asked.baseline), **baseline.suites[suite].get("about", {})}
        provenance = {**report.provenance, "baseline": told}
        return replace(report, regressions=tuple(found), provenance=provenance)

    return compare


def place_of(asked: GateFile) -> Path:
    """Where a baseline is written: where the gate says, or beside it.

    Raises:
        EnvironmentFault: Nothing can be written there.
        ConfigError: What lies there is no baseline.
    """
    stem = asked.path.name.removesuffix(asked.path.suffix).removesuffix(".gate")
    path = asked.baseline or asked.path.with_name(f"{stem}.baseline.json")
    gate.folder_for(path.parent, "the baseline")
    if path.exists():
        read_baseline(path)
    return path


def update(
    path: Path,
    report: Report,
    facts: Facts,
    simulator: Simulator,
    evidence: Evidence,
    cases: Sequence[gate.Case],
    tell: Callable[[str], None],
) -> None:
    """Write the numbers of a report as the new baseline, and say what changes.

    Siblings are judged, too, each with the others as its siblings: their spread says how much of a
    number is the draw of the weights.
    """
    reports = []
    for number, sibling in enumerate(evidence.siblings, 1):
        tell(f"sibling {number}/{len(evidence.siblings)}")
        others = [one for one in evidence.siblings if one is not sibling]
        relatives = replace(
            evidence,
            siblings=(simulator, *others),
            references={},
            estimates=estimates(sibling),
        )
        reports.append(gate.check(sibling, relatives, cases, suite=report.suite))
    kept = recorded(report, facts, simulator, reports)
    was = read_baseline(path).suites.get(report.suite) if path.exists() else None
    lines = changes(was, kept)
    write_baseline(path, report.suite, kept)
    tell(f"\nbaseline {path}, suite {report.suite}:")
    for line in lines:
        tell(f"  {line}")
