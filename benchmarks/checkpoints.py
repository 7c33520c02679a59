"""What it costs that a checkpoint cannot be lost: checksum, flushing, renaming, the guard.

python benchmarks/checkpoints.py
One thread, medians, variants in turn. CPU seconds of the process, and seconds of the clock, for
flushing waits and does not compute. Writes benchmarks/results/checkpoints.{json,md}.
"""

import functools
import json
import pathlib
import statistics
import tempfile
import time

import lightning.pytorch as pl
import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from simlearn import Simulator, Topology, Trajectory
from simlearn.data.module import TrajectoryData
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn.training.checkpoint import CheckpointFiles
from simlearn.training.failure import Guard
from simlearn.training.fit import DEFAULTS, versions
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import DerivativeMatching
from simlearn.training.progress import quiet
from simlearn.training.resume import Checkpoints

RESULTS = pathlib.Path(__file__).parent / "results"
SIZES = {"40 kB": 10_000, "4 MB": 1_000_000, "40 MB": 10_000_000}
EPOCHS, ROUNDS, WRITES = 40, 5, 9


class Bare(TorchCheckpointIO):
    """torch.save, and nothing else."""

    def save_checkpoint(self, checkpoint, path, storage_options=None):
        """Write it over what is there."""
        pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, path)


WRITERS = {"torch.save": Bare, "Lightning": TorchCheckpointIO, "simlearn": CheckpointFiles}


class Clock:
    """Seconds of CPU and of the clock that are spent inside of something."""

    def __init__(self):
        self.cpu = self.clock = 0.0

    def __enter__(self):
        self.began = time.process_time(), time.perf_counter()

    def __exit__(self, *_):
        self.cpu += time.process_time() - self.began[0]
        self.clock += time.perf_counter() - self.began[1]


class TimedCheckpoints(Checkpoints):
    """Knows how long it takes."""

    def __init__(self, folder):
        super().__init__(folder=str(folder))
        self.spent, self.count = Clock(), 0

    def _save(self, trainer, kind):
        with self.spent:
            super()._save(trainer, kind)
        self.count += 1


class TimedGuard(Guard):
    """Knows how long it takes."""

    spent = Clock()

    def remember(self, optimizer, updates):
        """Keep the weights."""
        with self.spent:
            super().remember(optimizer, updates)

    def fault(self, losses, weights, window):
        """Look at the losses."""
        with self.spent:
            return super().fault(losses, weights, window)


def turns(variants, rounds):
    """Medians of (CPU, clock) seconds of each variant; every round runs them forth or back."""
    spent = {name: [] for name in variants}
    for number in range(rounds):
        names = list(variants)
        for name in names if number % 2 == 0 else reversed(names):
            cpu, clock = time.process_time(), time.perf_counter()
            variants[name]()
            spent[name].append((time.process_time() - cpu, time.perf_counter() - clock))
    return {
        name: tuple(map(statistics.median, zip(*times, strict=True)))
        for name, times in spent.items()
    }


def writing(folder):
    """Milliseconds to write one checkpoint of each size, into a folder that has one already."""
    found = {}
    for size, count in SIZES.items():
        body, variants = {"state_dict": {"w": torch.randn(count)}}, {}
        for name, kind in WRITERS.items():
            writer = kind()
            path = folder / f"{name}-{size}" / "last.ckpt"
            variants[name] = functools.partial(writer.save_checkpoint, body, path)
            variants[name]()
        found[size] = turns(variants, WRITES)
    return found


def track():
    """One trajectory of 51200 states of eight columns with recorded slopes."""
    rng = torch.Generator().manual_seed(0)
    count = 256 * 200
    x, slope = torch.randn(2, count, 1, 8, generator=rng, dtype=torch.float32)
    t = torch.arange(count, dtype=torch.float64)
    return Trajectory(t, x, Topology.isolated(1), derivative=slope)


def train(data, folder, writer):
    """As `simlearn fit` does: shares of the CPU and of the clock, for checkpoints and guard."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Simulator(MLPField(dim=8, width=64), RK4(), 1.0)
    module = SimulatorModule(model, DerivativeMatching(), dtype="float32")
    own = pathlib.Path(tempfile.mkdtemp(dir=folder))  # no training takes the folder of another
    module.guard, keeper, whole = TimedGuard(1e20), TimedCheckpoints(own), Clock()
    module.guard.spent = Clock()
    given = {**DEFAULTS, "max_epochs": EPOCHS, "accelerator": "cpu"}
    given |= {"plugins": [writer()], "callbacks": [keeper]}
    with quiet(), whole:
        pl.Trainer(**given).fit(module, datamodule=TrajectoryData.of([data], batch_size=256))
    shares = [
        getattr(part.spent, kind) / getattr(whole, kind)
        for part in (keeper, module.guard)
        for kind in ("cpu", "clock")
    ]
    return [whole.cpu, keeper.count, *shares]


def main():
    """Measure and print."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder, data = pathlib.Path(name), track()
        writes = writing(folder)
        train(data, folder, Bare)
        runs = {name: [] for name in ("torch.save", "simlearn")}
        for _ in range(ROUNDS):
            for name, found in runs.items():
                found.append(train(data, folder, WRITERS[name]))
    medians = {
        name: [statistics.median(one) for one in zip(*found, strict=True)]
        for name, found in runs.items()
    }
    lines = ["| writer | " + " | ".join(f"{s}, CPU ms | {s}, clock ms" for s in SIZES) + " |"]
    lines.append("|---|" + "---|---|" * len(SIZES))
    for name in WRITERS:
        cells = [f"{1e3 * v:.2f}" for size in SIZES for v in writes[size][name]]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    heads = ("training", "CPU s", "checkpoints", "their CPU", "their clock", "guard CPU")
    lines += ["", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, (cpu, count, *shares) in medians.items():
        told = " | ".join(f"{100 * share:.2f} %" for share in shares[:3])
        lines.append(f"| checkpoints by {name} | {cpu:.2f} | {count} | {told} |")
    text = "\n".join(lines) + "\n"
    print(text)
    body = {"versions": versions(), "writes": writes, "runs": runs, "epochs": EPOCHS}
    (RESULTS / "checkpoints.json").write_text(json.dumps(body, indent=2) + "\n")
    (RESULTS / "checkpoints.md").write_text(text)


if __name__ == "__main__":
    main()
