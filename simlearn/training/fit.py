"""Training from Python, what a training leaves behind, and its progress."""

from __future__ import annotations

import platform
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from typing import Any

import lightning.pytorch as pl
import torch

from simlearn.component import describe
from simlearn.data.module import TrajectoryData
from simlearn.data.store import Dataset
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.module import OptimizerCallable, SimulatorModule
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import ClosedForm, printed


def fit(
    simulator: Simulator,
    data: Sequence[Trajectory] | Dataset | TrajectoryData,
    *,
    objective: Objective | None = None,
    stabilizers: Sequence[Stabilizer] = (),
    start: ClosedForm | None = None,
    optimizer: OptimizerCallable | None = None,
    batch_size: int | None = None,
    dtype: str = "float64",
    seed: int = 0,
    **trainer: Any,
) -> Simulator:
    """Train a simulator and return it.

    Args:
        simulator: What is trained, in place.
        data: Trajectories, a dataset that was read, or a Lightning data module.
        objective: What is minimised; a rollout of 8 steps by default.
        stabilizers: What keeps the learned dynamics stable.
        start: A closed-form start.
        optimizer: Makes a torch optimizer from parameters; Adam with a step of 1e-3 by default.
        batch_size: Windows in a batch; all by default.
        dtype: "float64" or "float32".
        seed: Seed of order and noise.
        trainer: Arguments of Lightning's Trainer; ``max_epochs`` is 100 where it is not given.

    Returns:
        The trained simulator. Its ``provenance`` holds what an archive keeps: data, ranges,
        estimates.
    """
    if isinstance(data, Dataset):
        data = TrajectoryData.of(data.trajectories, batch_size=batch_size, seed=seed)
    elif not isinstance(data, TrajectoryData):
        data = TrajectoryData.of(data, batch_size=batch_size, seed=seed)
    number: Any = dtype
    module = SimulatorModule(simulator, objective, stabilizers, start, optimizer, number, seed)
    quiet: dict[str, Any] = {
        "max_epochs": 100,
        "logger": False,
        "enable_checkpointing": False,
        "enable_model_summary": False,
        "enable_progress_bar": False,
    }
    pl.Trainer(**{**quiet, **trainer}).fit(module, datamodule=data)
    return finished(module, data)


def finished(module: SimulatorModule, data: TrajectoryData) -> Simulator:
    """The trained simulator with its provenance, parameters frozen."""
    simulator = module.simulator.requires_grad_(False).eval().cpu()
    simulator.provenance = provenance(module, data)
    return simulator


def provenance(module: SimulatorModule, data: TrajectoryData) -> dict[str, Any]:
    """What an archive keeps of a training, in plain JSON types."""
    return {
        "versions": versions(),
        "data": data.provenance,
        "training": ranges(data.training),
        "objective": describe(module.objective),
        "stabilizers": [{**describe(s), "bias": s.bias} for s in module.stabilizers],
        "start": None if module.start is None else describe(module.start),
        "estimates": {name: one.to_json() for name, one in module.estimates.items()},
        "optimizer": {
            "class": module.optimizer_name,
            "sum_of_learning_rates": module.learned,
            "evaluations": module.evaluations,
        },
        "loss": float(module.last_loss) if module.evaluations else None,
        "seed": module.seed,
    }


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    names = ("simlearn", "torch", "lightning", "numpy", "scipy", "h5py")
    found = {"python": platform.python_version()}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def ranges(training: Sequence[Trajectory]) -> dict[str, Any]:
    """Where the training data lie: sizes, degrees, and the range of each column."""
    low = torch.stack([one.x[: one.finite_steps].amin((0, 1)) for one in training]).amin(0)
    high = torch.stack([one.x[: one.finite_steps].amax((0, 1)) for one in training]).amax(0)
    degrees = [
        torch.bincount(one.topology.graph.edge_index[1], minlength=one.topology.rows)
        for one in training
    ]
    return {
        "trajectories": len(training),
        "states": sum(one.finite_steps for one in training),
        "time": [float(min(o.t.min() for o in training)), float(max(o.t.max() for o in training))],
        "rows": [min(o.topology.rows for o in training), max(o.topology.rows for o in training)],
        "degree": [int(min(d.min() for d in degrees)), int(max(d.max() for d in degrees))],
        "low": low.tolist(),
        "high": high.tolist(),
    }


class Progress(pl.Callback):
    """One line that says where training stands: epoch, loss, time left.

    Plain lines where no terminal listens.

    Args:
        every_seconds: Seconds between two lines where the output is no terminal.
    """

    def __init__(self, every_seconds: float = 5.0):
        self.every_seconds = every_seconds
        self.began = self.said = self.cpu = 0.0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.began = self.said = time.monotonic()
        self.cpu = time.process_time()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what the closed form found."""
        estimates = getattr(pl_module, "estimates", {})
        if estimates and trainer.is_global_zero:
            self._write(
                f"closed form in {time.monotonic() - self.began:.1f} s:\n{printed(estimates)}\n"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One line, often on a terminal, seldom elsewhere."""
        now, total = time.monotonic(), trainer.max_epochs or -1
        done = trainer.current_epoch + 1
        last = done == total
        terminal = sys.stderr.isatty()
        if not trainer.is_global_zero or not (
            last or now - self.said > (0.1 if terminal else self.every_seconds)
        ):
            return
        self.said = now
        spent = now - self.began
        left = f"  about {spent / done * (total - done):.0f} s left" if total > done else ""
        left = f" ({time.process_time() - self.cpu:.1f} CPU-s)" if last else left
        loss = float(getattr(pl_module, "last_loss", float("nan")))
        line = f"epoch {done}/{total if total > 0 else '?'}  loss {loss:.4g}  {spent:.0f} s{left}"
        self._write(f"\r\x1b[K{line}{chr(10) if last else ''}" if terminal else f"{line}\n")

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
