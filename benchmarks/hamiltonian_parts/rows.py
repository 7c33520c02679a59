"""Rows of the table: what was asked, what was measured over the seeds, whether it holds."""

import json
import statistics
import sys
from dataclasses import dataclass, field

ABSENT = "not measured"


@dataclass(frozen=True)
class Settings:
    """How much is run.

    Args:
        quick: One seed, shorter baselines, nothing compiled.
        full: Five seeds where the default has three.
        seeds: Seeds of everything, where given.
        jobs: Processes at a time of a part that can take several.
    """

    quick: bool = False
    full: bool = False
    seeds: int | None = None
    jobs: int = 2

    def count(self, default, full=None):
        """Seeds of one part: its default, more in a full run, one in a quick one."""
        if self.seeds is not None:
            return self.seeds
        return 1 if self.quick else (full or default) if self.full else default


@dataclass
class Task:
    """What one task found."""

    name: str
    rows: list = field(default_factory=list)
    notes: list = field(default_factory=list)

    def say(self, *words):
        """Progress, on standard error."""
        print(f"[{self.name}]", *words, file=sys.stderr, flush=True)

    def row(self, what, values, *, median=None, worst=None, least=False, unit="", note=""):
        """Keep a row.

        Args:
            what: What was measured.
            values: One number a seed; none where it could not be measured.
            median: Limit of the median; not judged where None.
            worst: Limit of the worst seed; not judged where None.
            least: The limits are lower ones, and the worst is the smallest.
            unit: Printed behind the numbers.
            note: Printed in the last column.
        """
        values = [float(v) for v in values]
        self.rows.append(
            {
                "what": what,
                "asked": asked(median, worst, least, unit),
                "values": values,
                **summary(values, least),
                "holds": holds(values, median, worst, least),
                "unit": unit,
                "note": note,
            }
        )


def summary(values, least):
    """Median and worst, None without values."""
    if not values:
        return {"median": None, "worst": None}
    return {"median": statistics.median(values), "worst": (min if least else max)(values)}


def holds(values, median, worst, least):
    """True or False where something was asked and measured, None otherwise; NaN never holds."""
    if (median is None and worst is None) or not values:
        return None
    found = summary(values, least)
    pairs = [(found["median"], median), (found["worst"], worst)]
    good = [v >= limit if least else v <= limit for v, limit in pairs if limit is not None]
    return all(good) and not any(v != v for v in values)


def asked(median, worst, least, unit):
    """The limits in words."""
    sign = "≥" if least else "≤"
    if median is None and worst is None:
        return "reported"
    if median is None:
        return f"{sign} {worst:g}{unit} worst"
    if worst is None:
        return f"{sign} {median:g}{unit} median"
    return f"{sign} {median:g} / {worst:g}{unit}"


def number(value):
    """A number as the table prints it."""
    if 0.01 <= abs(value) < 1000 or value == 0:
        return f"{value:.3g}"
    return f"{value:.2e}"


def measured(row):
    """Median and worst as the table prints them."""
    if row["median"] is None:
        return ABSENT
    if len(row["values"]) == 1:
        return number(row["median"]) + row["unit"]
    return f"{number(row['median'])} / {number(row['worst'])}{row['unit']}"


HEAD = "| what | asked | measured | seeds | holds | |"
VERDICT = {True: "yes", False: "**no**", None: ""}


def markdown(found):
    """The whole result as Markdown."""
    lines = [
        "# Energy-conserving simulators beside the published ones",
        "",
        "`python benchmarks/hamiltonian.py`, float64, one thread each, CPU time of the process. "
        "Measured: median / worst over seeds.",
        "",
        "<!-- --8<-- [start:tasks] -->",
        counted([row for task in found["tasks"].values() for row in task["rows"]]),
        "",
    ]
    for name, task in found["tasks"].items():
        lines += [f"### {name}", "", f"{task['mode']}, {task['cpu_seconds']:.0f} CPU-s.", ""]
        lines += [
            "| what | asked | measured | seeds | holds | |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        lines += [
            f"| {row['what']} | {row['asked']} | {measured(row)} | {len(row['values'])} | "
            f"{VERDICT[row['holds']]} | {row['note']} |"
            for row in task["rows"]
        ]
        lines += ["", *[f"* {note}" for note in task["notes"]], ""]
    told = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lines.append("<!-- --8<-- [end:tasks] -->")
    return "\n".join([*lines, f"Versions: {told}.", ""])


def counted(rows):
    """How many of the rows that ask for something hold."""
    limited = [row for row in rows if row["asked"] != "reported"]
    hold = sum(row["holds"] is True for row in limited)
    absent = sum(row["holds"] is None for row in limited)
    told = f", {absent} not measured" if absent else ""
    return f"Of {len(limited)} limits {hold} hold{told}."


def kept(path):
    """Results of an earlier run, tasks that are not run again stay."""
    return json.loads(path.read_text(encoding="utf-8"))["tasks"] if path.exists() else {}
