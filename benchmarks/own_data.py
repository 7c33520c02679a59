"""Your own data: how fast files are read, and how long a csv takes to become a gated simulator.

python benchmarks/own_data.py
Writes benchmarks/results/own-data.{json,md}. The files are written into a temporary folder; the
walk runs the installed `simlearn` (import, fit without a config, check, forecast) on a csv of 50
trajectories of 500 steps.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

from simlearn.data.importing import import_data
from simlearn.training.fit import versions
from simlearn_mechanics import Pendulum

RESULTS = pathlib.Path(__file__).parent / "results"
ASKED = {"csv": 10, "npz": 50}


def numbers(trajectories, steps, columns=4):
    """Random walks, so that every number has all its digits."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((trajectories, steps, columns)).cumsum(1)


def as_csv(path):
    """60 MB of text: run, t and four columns."""
    x = numbers(100, 7000)
    with path.open("w") as file:
        file.write("run,t,a,b,c,d\n")
        for run, one in enumerate(x):
            for k, row in enumerate(one):
                file.write(f"{run},{k * 0.01!r},{','.join(repr(float(v)) for v in row)}\n")


def as_npz(path):
    """320 MB: t and x."""
    x = numbers(100, 100_000)
    np.savez(path, t=0.01 * np.arange(x.shape[1]), x=x)


def speeds(folder):
    """MB/s of both, by wall and by CPU time, reading, checking, writing and hashing."""
    found = []
    for kind, write in (("csv", as_csv), ("npz", as_npz)):
        path = folder / f"big.{kind}"
        write(path)
        size = path.stat().st_size / 1e6
        wall, cpu = time.monotonic(), time.process_time()
        import_data(path, folder / f"{kind}.h5")
        wall, cpu = time.monotonic() - wall, time.process_time() - cpu
        found.append(
            {
                "file": kind,
                "MB": round(size),
                "MB/s (wall)": round(size / wall, 1),
                "MB/s (CPU)": round(size / cpu, 1),
                "asked": f">= {ASKED[kind]}",
            }
        )
    return found


def walk(folder):
    """Seconds of wall time of each command."""
    times = [0.05 * k for k in range(500)]
    import torch

    lines = ["run,t [s],q [rad],p"]
    drawn = Pendulum().draw(range(50), torch.tensor(times, dtype=torch.float64), 0)
    for run, one in enumerate(drawn):
        for t, (q, p) in zip(times, one.x[:, 0].tolist(), strict=True):
            lines.append(f"{run},{t!r},{q!r},{p!r}")
    (folder / "pendulum.csv").write_text("\n".join(lines) + "\n")
    program, test = pathlib.Path(sys.executable).parent / "simlearn", "pendulum-test.h5"
    found = []
    for words in (
        ["data", "import", "pendulum.csv", "--out", "pendulum.h5", "--held_out", "0.2"],
        ["fit", "--data.file", "pendulum.h5"],
        ["check", "runs/pendulum", "--data", test],
        ["forecast", "runs/pendulum", "--data", test, "--steps", "500", "--out", "f.csv"],
    ):
        began = time.monotonic()
        done = subprocess.run(
            [program, *words], cwd=folder, capture_output=True, text=True, check=False
        )
        print(done.stdout, done.stderr)
        spent = round(time.monotonic() - began, 1)
        found.append({"command": " ".join(words), "exit code": done.returncode, "seconds": spent})
    total = round(sum(row["seconds"] for row in found), 1)
    return [*found, {"command": "all (asked: <= 300)", "exit code": "", "seconds": total}]


def table(rows):
    """Rows as Markdown."""
    heads = list(rows[0])
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    return "\n".join([*lines, *("| " + " | ".join(str(r[h]) for h in heads) + " |" for r in rows)])


def main():
    """Measure, print, keep."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        parts = {"a csv becomes a gated simulator": walk(folder), "import": speeds(folder)}
    print("\n\n".join(table(rows) for rows in parts.values()))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "own-data.json").write_text(
        json.dumps({**parts, "versions": versions()}, indent=2) + "\n"
    )
    told = ", ".join(f"{name} {version}" for name, version in versions().items())
    text = "\n\n".join(f"## {name}\n\n{table(rows)}" for name, rows in parts.items())
    (RESULTS / "own-data.md").write_text(
        f"# Your own data\n\n`python benchmarks/own_data.py`\n\n{text}\n\n{told}\n"
    )


if __name__ == "__main__":
    main()
