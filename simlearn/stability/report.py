"""The report of a gate: frozen, and written as JSON, Markdown and a terminal table."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from simlearn.stability.failure import Remedy
from simlearn.stability.finding import Finding
from simlearn.stability.tables import markdown, number, table

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
class Regression:
    """A metric that is worse than its baseline, by more than is allowed.

    Attributes:
        check: Class of the check.
        arguments: Its arguments.
        metric: Name of the metric.
        value: What was measured; NaN where nothing was.
        baseline: What it was.
        allowed: By how much it might have been worse.
        sense: "max" if more is worse, "min" if less is.
        unit: Unit of all three.
        severity: That of the check; "error" fails the gate.
    """

    check: str
    arguments: Mapping[str, Any]
    metric: str
    value: float
    baseline: float
    allowed: float
    sense: Literal["max", "min"] = "max"
    unit: str = ""
    severity: Severity = "error"

    @property
    def bound(self) -> float:
        """The worst value that would have been no regression."""
        return self.baseline + (self.allowed if self.sense == "max" else -self.allowed)

    def __str__(self) -> str:
        told = [number(one) for one in (self.baseline, self.value, self.bound)]
        most = "at most" if self.sense == "max" else "at least"
        was, now, bound = (f"{one} {self.unit}".rstrip() for one in told)
        missing = "not measured" if math.isnan(self.value) else now
        return f"{self.check}, {self.metric}: {was} -> {missing}, allowed {most} {bound}"


@dataclass(frozen=True)
class Report:
    """The word of a gate.

    Attributes:
        simulator: What was judged, in words.
        suite: Which suite of the gate file.
        items: The checks in order.
        provenance: Where the simulator comes from, versions, plugins.
        references: Names of what was drawn beside.
        regressions: Metrics that are worse than the baseline allows.
    """

    simulator: str
    suite: str
    items: Sequence[Item]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    references: Sequence[str] = ()
    regressions: Sequence[Regression] = ()

    @property
    def passed(self) -> bool:
        """Whether all checks of severity error are good, and none of them became worse.

        No check at all is no pass.
        """
        judged = [item for item in self.items if item.severity == "error"]
        worse = any(one.severity == "error" for one in self.regressions)
        return bool(judged) and all(item.good for item in judged) and not worse

    def to_json(self) -> str:
        """The report as JSON; numbers that are none are written as strings."""
        body = {
            "schema": SCHEMA,
            "verdict": "pass" if self.passed else "fail",
            "simulator": self.simulator,
            "suite": self.suite,
            "references": list(self.references),
            "checks": [_item(item) for item in self.items],
            "regressions": [{**vars(one), "bound": one.bound} for one in self.regressions],
            "provenance": self.provenance,
        }
        return (
            json.dumps(plain(body), indent=2, sort_keys=True, allow_nan=False, default=str) + "\n"
        )

    def to_markdown(self) -> str:
        """The summary page of a CI run: what was judged, what failed and why, the rest folded."""
        return markdown(self)

    def to_text(self) -> str:
        """A table for a terminal."""
        return table(self)


def plain(value: Any) -> Any:
    """Numbers that are none as text, however deep they lie."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _item(item: Item) -> dict[str, Any]:
    remedies = [one for one in item.finding.remedies if isinstance(one, Remedy)]
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
        "meaning": item.finding.meaning,
        "details": dict(item.finding.details),
        "worst": None if item.finding.worst is None else item.finding.worst.told(),
        "causes": list(item.finding.causes),
        "remedies": [str(one) for one in item.finding.remedies],
        "actions": [one.told() for one in remedies if one.action],
        "seconds": round(item.seconds, 3),
        "metrics": metrics,
    }
