"""A report in words and tables: for terminals, and as Markdown for the page of a CI run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simlearn.stability.finding import Metric

if TYPE_CHECKING:
    from simlearn.stability.report import Item, Report

NEAR = "within noise of the limit"
# what Markdown, or a page that shows it, would read as more than a letter
ESCAPED = {
    **{letter: f"\\{letter}" for letter in "\\`*_[]|~$#!"},
    **{"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"},
}


def number(value: float) -> str:
    """Four digits, and no exponent where people read without one."""
    if 1e4 <= abs(value) < 1e7:
        return f"{value:.0f}"
    return f"{value:.1f}" if 1e3 <= abs(value) < 1e4 else f"{value:.4g}"


def measured(metric: Metric) -> str:
    """Value, uncertainty and unit; one digit of what changes no digit of the value."""
    spread, small = "", metric.noise < 1e-4 * abs(metric.value)
    if metric.noise > 0:
        told = f"{metric.noise:.1g}" if small else f"{metric.noise:.2g}"
        spread = f" ± {metric.noise:.0f}" if metric.noise >= 100 else f" ± {told}"
    return f"{number(metric.value)}{spread} {metric.unit}".strip()


def row(metric: Metric) -> str:
    """A metric in one line."""
    return f"{metric.name}: {_value(metric)}, limit {limit(metric) or 'none'}"


def limit(metric: Metric) -> str:
    """What a metric is held against; empty where it is only told."""
    if metric.limit is None:
        return ""
    return f"{'≤' if metric.sense == 'max' else '≥'} {number(metric.limit)}"


def titles(report: Report) -> list[str]:
    """A name for each check; a second one of the same class is numbered."""
    met: dict[str, int] = {}
    found = []
    for item in report.items:
        met[item.name] = met.get(item.name, 0) + 1
        again = met[item.name]
        found.append(item.name if again == 1 else f"{item.name} ({again})")
    return found


def printable(text: str) -> str:
    """Without control characters, which terminals obey and XML has no place for."""
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def marginal(report: Report) -> list[tuple[str, Metric]]:
    """The metrics whose limit lies within their noise, with the check of each."""
    return [
        (title, metric)
        for title, item in zip(titles(report), report.items, strict=True)
        for metric in item.finding.metrics
        if metric.marginal
    ]


def verdict(report: Report) -> str:
    """How many checks failed, and how many numbers might have gone either way."""
    bad = [item for item in report.items if not item.good]
    warned = sum(item.severity == "warning" for item in bad)
    parts = [f"{len(report.items) - len(bad)} of {len(report.items)} checks passed"]
    if warned:
        parts.append(f"of the others {warned} only warn")
    if report.regressions:
        parts.append(f"worse than the baseline: {len(report.regressions)}")
    if near := marginal(report):
        parts.append(f"{NEAR}: {', '.join(f'{name}, {one.name}' for name, one in near)}")
    return "; ".join(parts) + "."


def table(report: Report) -> str:
    """All numbers, for a terminal."""
    rows = [[printable(c) for c in row] for row in [_head(report), *_rows(report)]]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def markdown(report: Report) -> str:
    """What was judged and what failed, with the worst place and the first remedy; the rest folded.

    Names are only names in it: whatever Markdown or HTML would obey is escaped.
    """
    lines = [
        f"## simlearn gate: {'passed' if report.passed else 'FAILED'}",
        "",
        f"{cell(report.simulator)}, suite {cell(report.suite)}: {cell(verdict(report))}",
        "",
        *_table(report, _rows(report, judged=True)),
    ]
    if report.regressions:
        lines += ["", "Worse than the baseline:", ""]
        lines += [f"* {cell(_told(one.severity, str(one)))}" for one in report.regressions]
    named = list(zip(titles(report), report.items, strict=True))
    for title, item in named:
        if not item.good:
            lines += ["", *_failed(title, item)]
    findings = [f"* **{cell(name)}**: {cell(item.finding.summary)}" for name, item in named]
    lines += ["", *_folded("All numbers", _table(report, _rows(report)))]
    lines += ["", *_folded("All findings", findings)]
    return "\n".join(lines) + "\n"


def _failed(title: str, item: Item) -> list[str]:
    """A few lines on a check that is not good."""
    finding = item.finding
    told = [f"**{cell(_told(item.severity, title))}**: {cell(finding.summary)}"]
    if finding.worst:
        told.append(f"Worst: {cell(str(finding.worst))}.")
    if finding.causes:
        told.append(f"Likely cause: {cell(finding.causes[0])}")
    if finding.remedies:
        told.append(f"What to do: {cell(finding.remedies[0])}")
    return [" ".join(told)]


def _told(severity: str, text: str) -> str:
    return text if severity == "error" else f"{text} (warning)"


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]


def _table(report: Report, rows: Sequence[Sequence[str]]) -> list[str]:
    head = _head(report)
    lines = ["| " + " | ".join(map(cell, head)) + " |", "|" + " --- |" * len(head)]
    return lines + ["| " + " | ".join(map(cell, row)) + " |" for row in rows]


def _head(report: Report) -> list[str]:
    return ["", "check", "metric", "value", "limit", *report.references]


def _rows(report: Report, judged: bool = False) -> list[list[str]]:
    """A row for each metric, or for each that is held against a limit or is no number."""
    rows = []
    for title, item in zip(titles(report), report.items, strict=True):
        name = _told(item.severity, title)
        if not item.finding.metrics:
            none = [""] * (2 + len(report.references))
            rows.append([_mark(item.good), name, item.finding.verdict, *none])
        for metric in item.finding.metrics:
            silent = metric.limit is None and metric.passed
            if judged and silent:
                continue
            beside = [
                number(metric.beside[r]) if r in metric.beside else "" for r in report.references
            ]
            mark = "" if silent else _mark(metric.passed)
            rows.append([mark, name, metric.name, _value(metric), limit(metric), *beside])
            name = ""
    return rows


def _mark(good: bool) -> str:
    return "ok" if good else "FAIL"


def _value(metric: Metric) -> str:
    return measured(metric) + (f" ({NEAR})" if metric.marginal else "")


def cell(text: str) -> str:
    """Text that Markdown shows as it is."""
    plain = " ".join(printable(text).split())
    safe = "".join(ESCAPED.get(letter, letter) for letter in plain)
    return safe.replace("://", "&#58;//").replace("www.", "www&#46;")
