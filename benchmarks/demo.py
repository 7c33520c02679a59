"""Run the demo and keep its numbers.

python benchmarks/demo.py
Writes benchmarks/results/demo.json and demo.md: each number asked, the number measured, versions.
The CPU seconds of the fit are those of its process, imports not counted.
"""

import json
import pathlib
import re
import resource
import subprocess
import sys
import time

from simlearn.training.fit import versions

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"
KEPT = ("check", "metric", "value", "limit", "newton", "neural-ode")


def main() -> None:
    """Run, read the report, write both files."""
    began = time.monotonic()
    done = subprocess.run(
        ["sh", str(ROOT / "examples/solar_system.sh")],
        env={
            "SIMLEARN": str(pathlib.Path(sys.executable).parent / "simlearn"),
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    wall = time.monotonic() - began
    output = done.stdout + done.stderr
    print(output)
    folder = re.findall(r"gate \w+: (.*)/report\.html", output)[-1]
    report = json.loads((ROOT / folder / "report.json").read_text())
    fit = float(re.findall(r"\(([\d.]+) CPU-s\)", output)[-1])
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    rows = [
        {
            "check": one["check"],
            "metric": metric["name"],
            "value": metric["value"],
            "limit": metric["limit"],
            **metric["references"],
        }
        for one in report["checks"]
        for metric in one["metrics"]
    ]
    kept = {
        "verdict": report["verdict"],
        "fit_cpu_seconds_without_imports": fit,
        "whole_demo_wall_seconds": round(wall, 1),
        "whole_demo_cpu_seconds": round(spent.ru_utime + spent.ru_stime, 1),
        "versions": versions(),
        "numbers": rows,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "demo.json").write_text(json.dumps(kept, indent=2) + "\n")
    (RESULTS / "demo.md").write_text(table(kept))


def table(kept: dict) -> str:
    """The numbers as Markdown."""
    lines = [
        "# The solar system, learned",
        "",
        f"Gate: **{kept['verdict']}**. Fit: {kept['fit_cpu_seconds_without_imports']} CPU-seconds "
        "without "
        f"imports (asked: 20). Whole demo: {kept['whole_demo_wall_seconds']} s of wall time on 2 "
        "cores "
        f"(asked: 180), {kept['whole_demo_cpu_seconds']} CPU-seconds.",
        "",
        "| " + " | ".join(KEPT) + " |",
        "|" + " --- |" * len(KEPT),
    ]
    for row in kept["numbers"]:
        lines.append("| " + " | ".join(cell(row.get(name)) for name in KEPT) + " |")
    told = ", ".join(f"{name} {version}" for name, version in kept["versions"].items())
    return "\n".join([*lines, "", f"Versions: {told}.", ""])


def cell(value: object) -> str:
    """Four digits, nothing for nothing."""
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
