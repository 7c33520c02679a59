"""Training from Python, what a training leaves behind, and its progress."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import CheckpointIO
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from simlearn.component import ConfigError, DataError, describe
from simlearn.data.module import TrajectoryData
from simlearn.data.store import Dataset, read
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.checkpoint import CheckpointFiles
from simlearn.training.kinds import unusable
from simlearn.training.module import OptimizerCallable, SchedulerCallable, SimulatorModule
from simlearn.training.objective import Objective
from simlearn.training.progress import Progress, quiet
from simlearn.training.record import ranges, versions
from simlearn.training.restoring import from_restoring
from simlearn.training.resume import Checkpoints
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import Start

DEFAULTS: dict[str, Any] = {
    "max_epochs": 100,
    "logger": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "enable_progress_bar": False,
}


def fit(
    simulator: Simulator,
    data: Trajectory | Sequence[Trajectory] | Dataset | TrajectoryData | str | Path,
    *,
    objective: Objective | None = None,
    stabilizers: Sequence[Stabilizer] = (),
    start: Start | None = None,
    optimizer: OptimizerCallable | None = None,
    scheduler: SchedulerCallable | None = None,
    clip: float | None = None,
    patience: int | None = None,
    held_out: float = 0.0,
    batch_size: int | None = None,
    dtype: str = "float64",
    seed: int = 0,
    progress: bool = True,
    compile: bool = False,
    resume: str | Path | None = None,
    **trainer: Any,
) -> Simulator:
    """Train a simulator and return it.

    Args:
        simulator: What is trained, in place.
        data: Trajectories, a dataset or its file, or a Lightning data module.
        objective: What is minimised; a rollout of 8 steps by default.
        stabilizers: What keeps the learned dynamics stable.
        start: A closed-form start.
        optimizer: Makes a torch optimizer from parameters; Adam with a step of 1e-3 by default.
        scheduler: Makes a learning-rate schedule from the optimizer, stepped once an epoch.
        clip: Largest norm of the gradient.
        patience: Stop after so many epochs without a better held-out rollout; keeps the best.
        held_out: Share of the trajectories kept aside for validation.
        batch_size: Windows in a batch; all by default.
        dtype: "float64" or "float32".
        seed: Seed of order and noise.
        progress: Say on standard error where training stands.
        compile: Take each step in one compiled graph, checked against eager mode first. Compiling
            takes 10 to 60 s, so this is for long trainings.
        resume: A checkpoint to go on from.
        trainer: Arguments of Lightning's Trainer; ``max_epochs`` is 100 where it is not given. With
            ``enable_checkpointing=True`` the newest two checkpoints are kept in the folder
            ``checkpoints`` of ``default_root_dir`` (see `Checkpoints`).

    Raises:
        ArchiveError: The checkpoint is damaged, or of another training.
        ConfigError: Checkpoints are asked for where another training keeps its own; name another
            ``default_root_dir``, or resume that one.

    Returns:
        The trained simulator. Its ``provenance`` holds what an archive keeps: data, ranges,
        estimates.
    """
    data = _module_of(data, batch_size=batch_size, seed=seed, held_out=held_out)
    if optimizer is not None and not callable(optimizer):
        raise ConfigError(
            "fit wants a function from parameters to an optimizer, such as "
            f"lambda weights: torch.optim.Adam(weights, lr=1e-3), got {type(optimizer).__name__}."
        )
    number: Any = dtype
    for parameter in simulator.parameters():
        parameter.requires_grad_()
    module = SimulatorModule(
        simulator,
        objective,
        stabilizers,
        start,
        optimizer,
        scheduler,
        clip,
        patience,
        dtype=number,
        seed=seed,
        compile=compile,
    )
    given = _lasting({**DEFAULTS, **trainer}, [Progress()] if progress else [])
    with quiet():
        runner = pl.Trainer(**given)
        runner.ckpt_path = resume
        try:
            runner.fit(module, datamodule=data)
        except Exception as error:
            if resume is not None and from_restoring(error):
                raise unusable(error, resume) from error
            raise
    return finished(module, data)


def _lasting(given: dict[str, Any], more: list[pl.Callback]) -> dict[str, Any]:
    """Arguments of the Trainer; checkpoints, where they are asked for, are such that none is lost.

    Args:
        given: Those that were asked for.
        more: Further callbacks.
    """
    callbacks, plugins = given.get("callbacks") or [], given.get("plugins") or []
    callbacks = [*(callbacks if isinstance(callbacks, list) else [callbacks]), *more]
    plugins = plugins if isinstance(plugins, list) else [plugins]
    others = any(isinstance(one, Checkpoint) for one in callbacks)
    ours = [one for one in callbacks if isinstance(one, Checkpoints)]
    if given["enable_checkpointing"] and not others and not ours:
        ours = [Checkpoints()]
    if (ours or others) and not any(isinstance(one, CheckpointIO) for one in plugins):
        plugins = [*plugins, CheckpointFiles()]
    first = [*ours, *(one for one in callbacks if one not in ours)]
    return {**given, "enable_checkpointing": others, "callbacks": first, "plugins": plugins or None}


def _module_of(
    data: Trajectory | Sequence[Trajectory] | Dataset | TrajectoryData | str | Path,
    **arguments: Any,
) -> TrajectoryData:
    if isinstance(data, TrajectoryData):
        return data
    if isinstance(data, str | Path):
        data = read(data)
    if isinstance(data, Dataset):
        source = {"digest": data.digest, **data.provenance}
        return TrajectoryData.of(data.trajectories, source, **arguments)
    if isinstance(data, Trajectory):
        data = [data]
    if not data:
        raise DataError("There is no trajectory to train on: the data are empty.")
    return TrajectoryData.of(data, **arguments)


def finished(module: SimulatorModule, data: TrajectoryData) -> Simulator:
    """The trained simulator with its provenance: parameters frozen, parametrisations folded."""
    simulator = module.simulator.requires_grad_(False).eval().cpu()
    for part in simulator.modules():
        if is_parametrized(part):
            for name in list(part.parametrizations):  # type: ignore[arg-type]
                remove_parametrizations(part, name, leave_parametrized=True)
                folded = getattr(part, name)
                folded.data = folded.data.contiguous()  # as an archive stores it
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
        "estimates": {name: one.to_json() for name, one in module.ledger.estimates.items()},
        "ladder": dict(module.ledger.start),
        "optimizer": {
            "class": module.ledger.optimizer,
            "sum_of_learning_rates": module.ledger.sum_of_learning_rates,
            "momentum": module.ledger.momentum,
            "evaluations": module.ledger.evaluations,
            "updates": module.ledger.updates,
        },
        "loss": float(module.ledger.loss) if module.ledger.evaluations else None,
        "seed": module.seed,
        **({"drift": module.ledger.facts.drift} if module.ledger.facts.drift else {}),
        **({"training_dynamics": module.ledger.watched} if module.ledger.watched else {}),
    }
