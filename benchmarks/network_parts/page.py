"""The results of `benchmarks/networks.py` as a page of Markdown."""

from hamiltonian_parts.rows import VERDICT, counted, measured, number

HEAD = ("| what | asked | measured | seeds | holds | |", "| --- | --- | --- | --- | --- | --- |")
TITLES = {
    "cells": "Forecasts beside NDCN, without noise",
    "noise": "1 % observation noise",
    "transfer": "Larger graphs",
    "significance": "Significance",
    "gnvf": "All pairs against the factorised product",
    "speed": "Training iterations",
    "operator": "Sums over neighbours",
}


def verdict(good):
    """Beside a number."""
    return "✓" if good else "**✗**"


def markdown(found, command):
    """The whole result."""
    every = [row for one in found["sections"].values() for row in one["rows"]]
    lines = [
        "# Network dynamics on graphs, beside the published models",
        "",
        f"`{command}`, one thread a process, CPU time of the process. Measured: median / worst "
        "over seeds. Every limit is marked as holding or missed.",
        "",
        "<!-- --8<-- [start:networks] -->",
        counted(every),
        "",
    ]
    for name in TITLES:
        if name in found["sections"]:
            lines += section(name, found["sections"][name])
    told = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lines.append("<!-- --8<-- [end:networks] -->")
    return "\n".join([*lines, f"Versions: {told}.", ""])


def section(name, found):
    """One section: its own table where it has one, the rows, the notes."""
    mode = found["mode"] if name in ("cells", "noise") else found["mode"].split(";")[0]
    lines = [f"### {TITLES[name]}", "", f"{mode}, {found['cpu_seconds']:.0f} CPU-s.", ""]
    if found.get("table"):
        lines += [*found["table"], ""]
    rows = [row for row in found["rows"] if not (found.get("table") and row["holds"] is True)]
    if found.get("table") and len(rows) < len(found["rows"]):
        rows_head = "Limits that do not hold, and what is reported beside them:"
        lines += [rows_head if rows else "All limits hold.", ""]
    if rows:
        lines += [*HEAD, *map(line, rows), ""]
    return [*lines, *found.get("after", []), "", *[f"* {n}" for n in found["notes"]], ""]


def line(row):
    """One row of the table."""
    cells = (row["what"], row["asked"], measured(row), len(row["values"]), VERDICT[row["holds"]])
    return "| " + " | ".join(map(str, (*cells, row["note"]))) + " |"


__all__ = ["markdown", "number", "verdict"]
