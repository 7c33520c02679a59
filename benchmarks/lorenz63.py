"""A neural ODE on Lorenz-63: exponents, valid prediction time and invariant measure, three seeds.

python benchmarks/lorenz63.py
The commands of the configs, as a user gives them. Writes benchmarks/results/lorenz63.{json,md}.
"""

import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile

from simlearn.training.fit import versions

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
SEEDS = 3
ASKED = {
    "largest exponent": "0.9056 ± 5 %",
    "valid prediction time": "≥ 5 Lyapunov times (error 0.4 of the spread, median of 50 starts)",
    "wasserstein": "≤ 1.5 × truth against truth",
    "spectrum": "-",
    "training CPU-s": "-",
}


def simlearn(folder, *words):
    """Run a command; what it said, and its CPU-seconds."""
    began = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-m", "simlearn", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode not in (0, 1):
        raise SystemExit(done.stdout + done.stderr)
    return done, resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - began


def value(report, check, name):
    """A metric of a report."""
    for item in report["checks"]:
        if item["check"] == check:
            return next(m["value"] for m in item["metrics"] if m["name"].startswith(name))
    raise KeyError(check)


def main():
    """Draw, train, judge, write."""
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        data = "lorenz63-test.h5"
        simlearn(folder, "generate", "-c", str(ROOT / "configs/data/lorenz63.yaml"), "--out", data)
        rows = []
        for seed in range(SEEDS):
            config, run = str(ROOT / "configs/fit/lorenz63-neural-ode.yaml"), f"seed{seed}"
            chosen = ("--seed_everything", str(seed), "--model.seed", str(seed))
            _, seconds = simlearn(folder, "fit", "-c", config, "--run", run, *chosen)
            gate = str(ROOT / "configs/gate/lorenz63.yaml")
            done, _ = simlearn(folder, "check", f"runs/{run}", "--data", data, "-c", gate)
            report = json.loads((folder / f"runs/{run}/report/report.json").read_text())
            rows.append(
                {
                    "largest exponent": value(report, "LyapunovSpectrum", "exponent 1"),
                    "valid prediction time": value(report, "ValidPredictionTime", "median"),
                    "wasserstein": value(report, "InvariantMeasure", "wasserstein"),
                    "spectrum": value(report, "InvariantMeasure", "spectrum"),
                    "training CPU-s": seconds,
                    "gate": done.returncode,
                }
            )
            print(rows[-1], flush=True)
    found = {"seeds": rows, "versions": versions()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "lorenz63.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (RESULTS / "lorenz63.md").write_text(markdown(found), encoding="utf-8")
    print(markdown(found))


def markdown(found):
    """The table."""
    rows = found["seeds"]
    lines = [
        "# A neural ODE on Lorenz-63",
        "",
        "`python benchmarks/lorenz63.py`: `configs/fit/lorenz63-neural-ode.yaml`, judged by "
        "`configs/gate/lorenz63.yaml`. Training time includes the start of the command.",
        "",
        f"| quantity | {' | '.join(f'seed {k}' for k in range(len(rows)))} | median | asked |",
        f"| --- |{' --- |' * (len(rows) + 2)}",
    ]
    for name, asked in ASKED.items():
        numbers = [row[name] for row in rows]
        told = " | ".join(f"{v:.4g}" for v in [*numbers, statistics.median(numbers)])
        lines.append(f"| {name} | {told} | {asked} |")
    passed = sum(row["gate"] == 0 for row in rows)
    versions_ = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return "\n".join(
        [*lines, "", f"Gates passed: {passed} of {len(rows)}.", "", f"Versions: {versions_}.", ""]
    )


if __name__ == "__main__":
    main()
