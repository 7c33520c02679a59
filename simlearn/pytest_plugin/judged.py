"""What a suite has loaded, and its verdicts in pytest's terms. Needs all of simlearn."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import pytest

from simlearn.catalog import Catalog
from simlearn.cli import Options
from simlearn.cli.baselines import compared, facts_of, place_of, update
from simlearn.cli.judging import case_of, evidence_of, open_pair
from simlearn.cli.parsing import prepared
from simlearn.component import ConfigError, SimlearnError
from simlearn.data.store import Dataset
from simlearn.simulator import Simulator
from simlearn.stability.evidence import Evidence
from simlearn.stability.gate import Case, Judge
from simlearn.stability.gatefile import Entry, GateFile
from simlearn.stability.report import Item, Report
from simlearn.stability.tables import printable, row

FAULTS = {2: "config", 3: "data", 4: "plugin", 5: "numbers", 6: "environment", 7: "archive"}


@dataclass(frozen=True)
class Verdict:
    """What becomes of a test.

    Attributes:
        outcome: "warn" is what pytest calls expected to fail.
        text: Why.
        figures: Every number, a line each.
        remarks: What should be read although it passed.
    """

    outcome: Literal["pass", "fail", "warn", "skip"]
    text: str
    figures: str
    remarks: Sequence[str] = ()


class Judged:
    """A simulator with what it is held against, and what has been found so far.

    Args:
        gate: The gate file.
        suite: Name of the suite.
        simulator: What is judged.
        held_out: The data as they lie in the file.
        evidence: What it is held against.
        cases: The checks; where one cannot be built, why.
    """

    def __init__(
        self,
        gate: GateFile,
        suite: str,
        simulator: Simulator,
        held_out: Dataset,
        evidence: Evidence,
        cases: Sequence[Case | ConfigError],
    ):
        self.gate, self.suite, self.cases = gate, suite, cases
        self.simulator, self.held_out, self.evidence = simulator, held_out, evidence
        self.judge = Judge(simulator, evidence)
        self.found: dict[int, Item] = {}

    def item(self, number: int) -> Item:
        """What a check finds; it looks once."""
        if number not in self.found:
            case = self.cases[number]
            if isinstance(case, ConfigError):
                raise case
            self.found[number] = self.judge.item(case)
        return self.found[number]

    def verdict(self, number: int) -> Verdict:
        """What becomes of the test of a check."""
        with told():
            return verdict_on(self.item(number), f"{command(self.gate)} --suite {self.suite}")

    def report(self) -> Report:
        """Everything that the suite finds."""
        items = tuple(self.item(number) for number in range(len(self.cases)))
        return Report(self.simulator.name, self.suite, items)

    def compare(self) -> tuple[str, str]:
        """Hold it against the baseline: what became worse, and what should only be read."""
        with told(" Here that is pytest --simlearn-update."):
            facts = facts_of(self.simulator, self.held_out, self.evidence)
            compare = compared(self.gate, self.suite, facts, self._built())
            found = compare(self.report()).regressions
        worse = [f"  {one}" for one in found if one.severity == "error"]
        lesser = [f"warning: {one}" for one in found if one.severity != "error"]
        head = f"worse than the baseline {self.gate.baseline}:"
        tail = "where that is meant, --simlearn-update writes the baseline anew"
        return "\n".join([head, *worse, tail] if worse else []), "\n".join(lesser)

    def write_baseline(self) -> tuple[str, str]:
        """Write the baseline: why it was not written, and what changed."""
        said: list[str] = []
        with told():
            cases, place, report = self._built(), place_of(self.gate), self.report()
            if not report.passed:
                return f"{place} was not written: only what passes its gate is a baseline", ""
            facts = facts_of(self.simulator, self.held_out, self.evidence)
            update(place, report, facts, self.simulator, self.evidence, cases, said.append)
        return "", "\n".join(said).strip()

    def _built(self) -> list[Case]:
        for case in self.cases:
            if isinstance(case, ConfigError):
                raise case
        return [case for case in self.cases if isinstance(case, Case)]


def opened(gate: GateFile, suite: str, entries: Sequence[Entry], allowed: Sequence[str]) -> Judged:
    """Load what a suite needs; what cannot be loaded is an error of all its tests."""
    with told():
        with prepared(options(allowed)) as known:
            cases = [_built(entry, gate, known) for entry in entries]
        simulator, held_out = open_pair(gate, known)
        good = [case for case in cases if isinstance(case, Case)]
        evidence = evidence_of(gate, simulator, held_out, good, known, print)
        return Judged(gate, suite, simulator, held_out, evidence, cases)


def options(allowed: Sequence[str]) -> Options:
    """Those of every command, as far as a test suite sets them."""
    more = os.environ.get("SIMLEARN_ALLOW_IMPORT", "").split(",")
    return Options(allow=[*allowed, *filter(None, more)])


def _built(entry: Entry, gate: GateFile, known: Catalog) -> Case | ConfigError:
    """The check; what is wrong with one is no matter of the others."""
    try:
        return case_of(entry, gate.path, known)
    except ConfigError as error:
        return error


@contextmanager
def calm() -> Iterator[None]:
    """A verdict does not depend on whether the test suite takes warnings for errors."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def told(hint: str = "") -> Iterator[None]:
    """What simlearn refuses is one message that says what kind of fault it is, no traceback."""
    try:
        with calm():
            yield
    except SimlearnError as error:
        kind = FAULTS.get(error.exit_code, "simlearn")
        text = f"not judged ({kind}, exit code {error.exit_code} of simlearn check): {error}{hint}"
        raise pytest.fail.Exception(text, pytrace=False) from None


def command(gate: GateFile) -> str:
    """What writes the report with the pictures."""
    return f"simlearn check -c {os.path.relpath(gate.path)}"


def verdict_on(item: Item, writes: str) -> Verdict:
    """What becomes of the test that found this."""
    finding, summary = item.finding, printable(item.finding.summary)
    rows = [(metric, printable(row(metric))) for metric in finding.metrics]
    figures = "\n".join(text for _, text in rows)
    if finding.verdict == "not_applicable" and item.optional:
        return Verdict("skip", f"does not apply: {summary}", figures)
    if item.good:
        return Verdict("pass", "", figures, [text for metric, text in rows if metric.marginal])
    if item.severity == "warning":
        bad = "; ".join(text for metric, text in rows if not metric.passed)
        return Verdict("warn", bad or summary, figures, [f"warning: {summary}"])
    return Verdict("fail", explained(item, writes), figures)


def explained(item: Item, writes: str = "") -> str:
    """Why a check failed: what was found and where, what it means, what to do."""
    finding = item.finding
    lines = [finding.summary]
    lines += [f"  {row(metric)}" for metric in finding.metrics if not metric.passed]
    if finding.verdict == "not_applicable":
        lines.append("  if that is acceptable, write `optional: true` beside the check in the gate")
    lines += [f"worst: {finding.worst}"] if finding.worst else []
    lines += [f"what it means: {finding.meaning}"] if finding.meaning else []
    lines += [f"likely cause: {cause}" for cause in finding.causes]
    lines += [f"what to do: {remedy}" for remedy in finding.remedies]
    lines += [f"report with pictures: {writes}"] if writes else []
    return printable("\n".join(lines))
