"""What became of each remedy, and which of them wins."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from simlearn.remedies.advice import Key
from simlearn.remedies.config import Config
from simlearn.simulator import Simulator
from simlearn.stability.report import Report, plain
from simlearn.stability.tables import cell, number, printable

SCHEMA = 1
AS_IT_IS = "as it is"
State = Literal["passes", "fails", "broke off", "not tried"]


@dataclass(frozen=True)
class Trial:
    """A remedy and what became of it.

    Attributes:
        remedy: The advice, in words.
        change: What was changed.
        trained: Whether it was trained anew; otherwise the weights are the same.
        state: "passes" or "fails" the gate on the evidence that chooses; its training or judging
            "broke off"; or it was "not tried".
        why: Why it broke off, was not tried, or not confirmed.
        report: The report of the gate on the evidence that chooses.
        confirmed: The report on the evidence that was kept aside; only of who might win.
        error: Root mean square error of forecasts, in spreads; infinite where one is lost.
        seconds: CPU-seconds of training and judging.
        config: What trains it.
        origin: What trained its weights.
        simulator: The remedied simulator.
        folder: Where it was left, as a run.
        keys: Which remedies are in it.
    """

    remedy: str
    change: str = ""
    trained: bool = False
    state: State = "not tried"
    why: str = ""
    report: Report | None = field(default=None, repr=False)
    confirmed: Report | None = field(default=None, repr=False)
    error: float | None = None
    seconds: float = 0.0
    config: Config | None = field(default=None, repr=False)
    origin: Config | None = field(default=None, repr=False)
    simulator: Simulator | None = field(default=None, repr=False)
    folder: Path | None = None
    keys: tuple[Key, ...] = ()

    @property
    def good(self) -> int:
        """How many checks it passes."""
        return 0 if self.report is None else sum(item.good for item in self.report.items)

    @property
    def cost(self) -> float:
        """The error by which those that pass are ranked; infinite where it is unknown."""
        return math.inf if self.error is None else self.error


@dataclass(frozen=True)
class Trials:
    """All remedies that were tried, in order.

    Attributes:
        before: The simulator as it is.
        rows: What became of each remedy.
        evidence: Which evidence chose, and which was kept aside.
        span: Time over which the errors of forecasts are compared.
        advice: What only people can do about it.
        winner: The smallest error among those that pass, on the evidence kept aside, too.
        interrupted: Whether there would have been more to try.
        files: What was written.
    """

    before: Trial
    rows: Sequence[Trial]
    evidence: str
    span: float
    advice: Sequence[str] = ()
    winner: Trial | None = None
    interrupted: bool = False
    files: dict[str, Path] = field(default_factory=dict)

    def summary(self) -> str:
        """What came of it, in a sentence or two."""
        tried = [one for one in self.rows if one.report is not None]
        passing = [one for one in tried if one.state == "passes"]
        told = "Interrupted. " if self.interrupted else ""
        if self.winner is not None:
            anew = "trained anew" if self.winner.trained else "same weights"
            kept = "confirmed on what was kept aside" if self.winner.confirmed else "not confirmed"
            return f"{told}{self.winner.change} ({anew}) passes, {kept}."
        if passing and self.interrupted:
            return f"{told}{passing[0].change} passes so far, and is not confirmed."
        if passing:
            return f"{passing[0].change} passes where it was chosen, and is not confirmed."
        return f"{told}No remedy passes, of {len(tried)} that were tried."

    def cells(self) -> list[list[str]]:
        """The table: a heading, the simulator as it is, a row for each remedy."""
        head = ["", "remedy", "checks passed", "forecast error", "CPU-seconds", ""]
        return [head, *(self._row(one) for one in (self.before, *self.rows))]

    def to_text(self) -> str:
        """The table for a terminal."""
        rows = [[" ".join(printable(one).split()) for one in row] for row in self.cells()]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
        lines = []
        for row in rows:
            cells = [one.ljust(w) for one, w in zip(row, widths, strict=False)]
            lines.append("  ".join([*cells, row[-1]]).rstrip())
        return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])

    def to_markdown(self) -> str:
        """The table with its footnotes."""
        head, *rows = [[cell(one) for one in row] for row in self.cells()]
        lines = ["## Remedies", "", cell(self.summary()), "", "| " + " | ".join(head) + " |"]
        lines += ["|" + " --- |" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]
        lines += ["", cell(f"{self.evidence} {self.legend()}"), ""]
        lines += ["What only you can do:", ""] if self.advice else []
        return "\n".join([*lines, *(f"* {cell(one)}" for one in self.advice)]) + "\n"

    def line(self, one: Trial) -> str:
        """What became of a remedy, for who waits."""
        if one.report is None:
            return f"{one.change}: {one.state}: {one.why}"
        _, _, passed, error, spent, _ = self._row(one)
        told = f"{one.state} the gate ({passed} checks), forecast error {error or 'unknown'}"
        return f"{told}, {spent} CPU-seconds"

    def legend(self) -> str:
        """What the columns are."""
        return (
            f"Forecast error: root mean square over a time of {self.span:g}, in spreads of the "
            "columns; in brackets, times that of the simulator as it is."
        )

    def to_json(self) -> str:
        """The table for programs."""
        judged = self.before.report
        body = {
            "schema": SCHEMA,
            "simulator": "" if judged is None else judged.simulator,
            "suite": "" if judged is None else judged.suite,
            "summary": self.summary(),
            "evidence": self.evidence,
            "span": self.span,
            "before": self._plain(self.before),
            "tries": [self._plain(one) for one in self.rows],
            "advice": list(self.advice),
            "winner": next((k for k, one in enumerate(self.rows) if one is self.winner), None),
            "interrupted": self.interrupted,
            "files": {name: str(path) for name, path in self.files.items()},
        }
        return json.dumps(plain(body), indent=2, allow_nan=False, default=str) + "\n"

    def ratio(self, one: Trial) -> float | None:
        """Its error over that of the simulator as it is; None where one of them is unknown."""
        if one.error is None or not self.before.error:
            return None
        found = one.error / self.before.error
        return found if math.isfinite(self.before.error) and math.isfinite(found) else None

    def _row(self, one: Trial) -> list[str]:
        mark = {"passes": "ok", "not tried": ""}.get(one.state, "FAIL")
        if one.report is None:
            return [mark, one.change or one.remedy, "", "", "", one.why]
        times = self.ratio(one)
        error = "" if one.error is None else _size(one.error)
        if times is not None and one is not self.before:
            error += f" (× {times:.2g})"
        how = "" if one is self.before else (", trained anew" if one.trained else ", same weights")
        spent = "" if one is self.before else f"{one.seconds:.1f}"
        end = self._verdict(one)
        passed = f"{one.good} of {len(one.report.items)}"
        return [mark, one.change + how, passed, error, spent, end]

    def _verdict(self, one: Trial) -> str:
        end = "" if one.confirmed is None else "confirmed" if one.confirmed.passed else "refuted"
        end = end or one.why
        return f"{end}, the winner".removeprefix(", ") if one is self.winner else end

    def _plain(self, one: Trial) -> dict[str, Any]:
        return {
            "remedy": one.remedy,
            "change": one.change,
            "trained": one.trained,
            "state": one.state,
            "why": one.why,
            "checks_passed": one.good,
            "checks": None if one.report is None else len(one.report.items),
            "confirmed": None if one.confirmed is None else one.confirmed.passed,
            "error": one.error,
            "error_ratio": self.ratio(one),
            "cpu_seconds": one.seconds,
            "folder": None if one.folder is None else str(one.folder),
        }


def _size(error: float) -> str:
    return number(error) if math.isfinite(error) else "lost"
