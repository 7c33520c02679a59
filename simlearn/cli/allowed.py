"""What a config may name: classes of simlearn, of plugins, and of the trainer; no functions."""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterable, Iterator

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from simlearn.catalog import Catalog
from simlearn.component import class_path

# by module, so that nothing is imported to know them; no callback that contradicts the optimization
# of SimulatorModule, or after which a resumed training has other bits (StochasticWeightAveraging)
LIGHTNING: dict[str, tuple[str, ...]] = {
    "callbacks.device_stats_monitor": ("DeviceStatsMonitor",),
    "callbacks.early_stopping": ("EarlyStopping",),
    "callbacks.lr_monitor": ("LearningRateMonitor",),
    "callbacks.model_checkpoint": ("ModelCheckpoint",),
    "callbacks.model_summary": ("ModelSummary",),
    "callbacks.on_exception_checkpoint": ("OnExceptionCheckpoint",),
    "callbacks.progress.rich_progress": ("RichProgressBar",),
    "callbacks.progress.tqdm_progress": ("TQDMProgressBar",),
    "callbacks.pruning": ("ModelPruning",),
    "callbacks.rich_model_summary": ("RichModelSummary",),
    "callbacks.throughput_monitor": ("ThroughputMonitor",),
    "callbacks.timer": ("Timer",),
    "callbacks.weight_averaging": ("EMAWeightAveraging", "WeightAveraging"),
    "cli": ("ReduceLROnPlateau",),
    "loggers.comet": ("CometLogger",),
    "loggers.csv_logs": ("CSVLogger",),
    "loggers.mlflow": ("MLFlowLogger",),
    "loggers.tensorboard": ("TensorBoardLogger",),
    "loggers.wandb": ("WandbLogger",),
    "profilers.advanced": ("AdvancedProfiler",),
    "profilers.base": ("PassThroughProfiler",),
    "profilers.pytorch": ("PyTorchProfiler",),
    "profilers.simple": ("SimpleProfiler",),
    "strategies.ddp": ("DDPStrategy",),
    "strategies.deepspeed": ("DeepSpeedStrategy",),
    "strategies.fsdp": ("FSDPStrategy",),
    "strategies.model_parallel": ("ModelParallelStrategy",),
    "strategies.single_device": ("SingleDeviceStrategy",),
}
# of simlearn itself, besides its components
OWN = (
    "simlearn.data.module.TrajectoryData",
    "simlearn.dynamics.pairterms.EdgeNetwork",
    "simlearn.dynamics.pairterms.Factorised",
    "simlearn.simulator.core.Simulator",
    "simlearn.training.metrics.Metrics",
    "simlearn.training.module.SimulatorModule",
    "simlearn.training.progress.Progress",
    "simlearn.training.resume.Checkpoints",
)


def allowed(known: Catalog) -> list[str]:
    """Paths that a config may name, or that lead to what it may name.

    Classes one by one; of plugins, and of what --allow-import names, whole packages.
    """
    return [*classes(known), *(name for name in known.modules() if name != "simlearn")]


def classes(known: Catalog) -> list[str]:
    """Paths of classes of simlearn, torch and Lightning."""
    found = [*OWN, *_optimizers(), *_core(known)]
    for room, names in LIGHTNING.items():
        found += [f"lightning.pytorch.{room}.{name}" for name in names]
    return [*dict.fromkeys(alias for one in found for alias in _aliases(one))]


def nearest(name: str, known: Catalog) -> str:
    """What may be named and is written almost like a name that may not; empty where nothing is."""
    near = difflib.get_close_matches(name, classes(known), 1, cutoff=0.85)
    return near[0] if near else ""


def _aliases(path: str) -> Iterator[str]:
    """A class is named by its module, or by a package above it that hands it out."""
    *rooms, name = path.split(".")
    yield path
    for depth in range(len(rooms) - 1, 0, -1):
        room = ".".join(rooms[:depth])
        given = getattr(sys.modules.get(room), name, None)
        if room.count(".") == 2 if rooms[0] == "lightning" else inspect.isclass(given):
            yield f"{room}.{name}"


def _core(known: Catalog) -> Iterable[str]:
    return [class_path(cls) for cls, plugin in known.offers.values() if plugin.name == "simlearn"]


def _optimizers() -> Iterator[str]:
    """Optimizers and learning-rate schedules of torch."""
    for room in (torch.optim, torch.optim.lr_scheduler):
        for cls in vars(room).values():
            kinds = (torch.optim.Optimizer, LRScheduler, ReduceLROnPlateau)
            if inspect.isclass(cls) and issubclass(cls, kinds):
                yield class_path(cls)
