"""The report of a gate: frozen, and written as JSON, JUnit, Markdown and a terminal table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from simlearn.stability.finding import Finding, Metric

SCHEMA = 1
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Item:
    """A check with what it found.

    Attributes:
        name: Class of the check.
        arguments: Its arguments.
        finding: What it found.
        severity: "error" fails the gate, "warning" is only told.
        optional: Whether "not applicable" is acceptable.
        seconds: How long it took.
    """

    name: str
    arguments: Mapping[str, Any]
    finding: Finding
    severity: Severity = "error"
    optional: bool = False
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether the gate may pass with this finding."""
        if self.finding.verdict == "not_applicable":
            return self.optional
        return self.finding.verdict == "pass" and all(m.passed for m in self.finding.metrics)


@dataclass(frozen=True)
class Report:
    """The word of a gate.

    Attributes:
        simulator: What was judged, in words.
        suite: Which suite of the gate file.
        items: The checks in order.
        provenance: Where the simulator comes from, versions, plugins.
        references: Names of what was drawn beside.
    """

    simulator: str
    suite: str
    items: Sequence[Item]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    references: Sequence[str] = ()

    @property
    def passed(self) -> bool:
        """Whether every check of severity error is good; no check at all is no pass."""
        judged = [item for item in self.items if item.severity == "error"]
        return bool(judged) and all(item.good for item in judged)

    def to_json(self) -> str:
        """The report as JSON; numbers that are none are written as strings."""
        body = {
            "schema": SCHEMA,
            "verdict": "pass" if self.passed else "fail",
            "simulator": self.simulator,
            "suite": self.suite,
            "references": list(self.references),
            "checks": [_item(item) for item in self.items],
            "provenance": self.provenance,
        }
        return (
            json.dumps(_plain(body), indent=2, sort_keys=True, allow_nan=False, default=str) + "\n"
        )

    def to_markdown(self) -> str:
        """A table for the summary page of a CI run."""
        head = ["", "check", "metric", "value", "limit", *self.references]
        lines = [
            f"## simlearn gate: {'passed' if self.passed else 'FAILED'}",
            "",
            f"{_cell(self.simulator)}, suite {_cell(self.suite)}",
            "",
            "| " + " | ".join(map(_cell, head)) + " |",
            "|" + " --- |" * len(head),
        ]
        lines += ["| " + " | ".join(_cell(c) for c in row) + " |" for row in self._rows()]
        lines += ["", *(f"* **{i.name}**: {_cell(i.finding.summary)}" for i in self.items)]
        return "\n".join(lines) + "\n"

    def to_text(self) -> str:
        """A table for a terminal."""
        rows = [["", "check", "metric", "value", "limit", *self.references], *self._rows()]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join(lines)

    def _rows(self) -> list[list[str]]:
        rows = []
        for item in self.items:
            name = item.name if item.severity == "error" else f"{item.name} (warning)"
            if not item.finding.metrics:
                rows.append(
                    [
                        _mark(item.good),
                        name,
                        item.finding.verdict,
                        "",
                        "",
                        *[""] * len(self.references),
                    ]
                )
            for metric in item.finding.metrics:
                mark = "" if metric.limit is None and metric.passed else _mark(metric.passed)
                beside = [
                    number(metric.beside[r]) if r in metric.beside else "" for r in self.references
                ]
                rows.append([mark, name, metric.name, _value(metric), _limit(metric), *beside])
                name = ""
        return rows


def _mark(good: bool) -> str:
    return "ok" if good else "FAIL"


def number(value: float) -> str:
    """Four digits, and no exponent where people read without one."""
    if 1e4 <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.1f}" if 1e3 <= abs(value) < 1e4 else f"{value:.4g}"


def measured(metric: Metric) -> str:
    """Value, uncertainty and unit."""
    spread = ""
    if metric.noise > 0:
        spread = f" ± {metric.noise:.0f}" if metric.noise >= 100 else f" ± {metric.noise:.2g}"
    return f"{number(metric.value)}{spread} {metric.unit}".strip()


def _value(metric: Metric) -> str:
    flag = " (within noise of the limit)" if metric.marginal else ""
    return measured(metric) + flag


def _limit(metric: Metric) -> str:
    if metric.limit is None:
        return ""
    return f"{'≤' if metric.sense == 'max' else '≥'} {number(metric.limit)}"


def row(metric: Metric) -> str:
    """A metric in one line."""
    return f"{metric.name}: {_value(metric)}, limit {_limit(metric) or 'none'}"


def _cell(text: str) -> str:
    for mark, safe in (
        ("\\", "\\\\"),
        ("|", "\\|"),
        ("\n", " "),
        ("<", "&lt;"),
        ("[", "\\["),
        ("]", "\\]"),
    ):
        text = text.replace(mark, safe)
    return text


def _plain(value: Any) -> Any:
    """Numbers that are none as text, however deep they lie."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _item(item: Item) -> dict[str, Any]:
    metrics = [
        {
            "name": m.name,
            "value": m.value,
            "limit": m.limit,
            "sense": m.sense,
            "unit": m.unit,
            "noise": m.noise,
            "passed": m.passed,
            "marginal": m.marginal,
            "references": dict(m.beside),
        }
        for m in item.finding.metrics
    ]
    return {
        "check": item.name,
        "arguments": dict(item.arguments),
        "severity": item.severity,
        "optional": item.optional,
        "verdict": item.finding.verdict,
        "good": item.good,
        "summary": item.finding.summary,
        "details": dict(item.finding.details),
        "remedies": list(item.finding.remedies),
        "seconds": round(item.seconds, 3),
        "metrics": metrics,
    }
