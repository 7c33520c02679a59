"""LightningCLI as simlearn uses it: a run folder, the closed door, an archive at the end."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback

from simlearn import archive
from simlearn.cli.parsing import OneMessage
from simlearn.cli.runs import first_process, set_latest, unused
from simlearn.component import ArchiveError, ConfigError, describe
from simlearn.data.module import TrajectoryData
from simlearn.data.writer import Writer
from simlearn.training.fit import finished
from simlearn.training.module import SimulatorModule
from simlearn.training.progress import Progress, quiet


@dataclass(frozen=True)
class Run:
    """What a command does and where.

    Attributes:
        command: fit, validate, test or predict.
        folder: The run folder.
        checkpoint: What a training is resumed from, or evaluated.
    """

    command: str
    folder: Path
    checkpoint: Path | None = None


class FitParser(OneMessage, LightningArgumentParser):
    """LightningCLI's parser with errors of one message."""


class FitCLI(LightningCLI):
    """LightningCLI that leaves an archive behind."""

    run_of: Run

    def before_fit(self) -> None:
        """Tell the trainer already that it resumes: what has been solved is not solved again."""
        if self.run_of.checkpoint is not None:
            self.trainer.ckpt_path = self.run_of.checkpoint

    def after_fit(self) -> None:
        """Write the archive, on one process only."""
        if not self.trainer.is_global_zero:
            return
        target = self.run_of.folder / "simulator"
        new = archive.save(finished(self.model, self.datamodule), unused(target))
        if new != target:
            target.rename(unused(self.run_of.folder / "simulator-before"))
            new.rename(target)
        set_latest(self.run_of.folder)
        print(f"run: {self.run_of.folder}")

    def before_validate(self) -> None:
        """Evaluate trained weights: the checkpoint's, or those of the run's archive."""
        if self.run_of.checkpoint is None:
            # stabilizers may have wrapped what the config names; constraints are folded already
            loaded = archive.load(self.run_of.folder)
            trained = loaded.dynamics
            named = json.dumps(describe(self.model.simulator.dynamics), sort_keys=True)
            replaced = self.model.start is not None and self.model.start.replaces
            if not replaced and named not in json.dumps(describe(trained), sort_keys=True):
                raise ArchiveError(
                    f"The weights of {self.run_of.folder} do not fit the simulator of the config. "
                    f"Use the run's own config: -c {self.run_of.folder / 'config.yaml'}"
                )
            if replaced:
                self.model.simulator.integrator = loaded.integrator
            self.model.simulator.take(trained)
            self.model.simulator.to(self.model.number)
            self.model.wrapped = True

    before_test = before_validate

    def before_predict(self) -> None:
        """Predictions of several processes would have to be put together: one does it.

        Raises:
            ConfigError: Several processes were asked for.
        """
        if self.trainer.world_size > 1:
            raise ConfigError("predict runs on one process; leave configs/trainer/ddp.yaml out.")
        self.before_validate()

    def after_predict(self) -> None:
        """Keep the rollouts as a dataset in the run folder."""
        rolled = self.trainer.predict_loop.predictions
        path = self.run_of.folder / "predictions.h5"
        with Writer(path, overwrite=True) as writer:
            for one in rolled:
                writer.append(one)
            writer.finish({"predicted_by": str(self.run_of.folder), **self.datamodule.provenance})
        print(f"{path}: {len(rolled)} batches of rollouts")


def defaults(run: Run) -> dict[str, Any]:
    """What a config need not say of Lightning's Trainer."""
    fitting = run.command == "fit"
    callbacks: list[Any] = [Progress()]
    if fitting:
        folder = run.folder / "checkpoints"
        callbacks.append(ModelCheckpoint(dirpath=folder, save_last=True, filename="{epoch}"))
    return {
        "default_root_dir": str(run.folder),
        "callbacks": callbacks,
        "logger": _metrics(run.folder) if fitting else False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": fitting,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "max_epochs": 100,
    }


def _metrics(folder: Path) -> dict[str, Any]:
    """metrics.csv directly in the run folder; any other logger by config."""
    arguments = {"save_dir": str(folder.parent), "name": folder.name, "version": ""}
    return {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": arguments}


def execute(run: Run, arguments: list[str], asking: bool) -> None:
    """Run the command; a fit that never began leaves no folder behind."""
    torch.set_float32_matmul_precision("highest")
    fitting = run.command == "fit"
    FitCLI.run_of = run
    metrics = run.folder / "metrics.csv"
    if run.checkpoint and fitting and metrics.exists() and first_process():
        metrics.rename(unused(run.folder / "metrics-before.csv"))  # the logger starts a new one
    try:
        with quiet():
            FitCLI(
                SimulatorModule,
                TrajectoryData,
                args=[run.command, *arguments],
                parser_class=FitParser,
                trainer_defaults=defaults(run),
                seed_everything_default=0,
                save_config_callback=None if run.checkpoint or not fitting else SaveConfigCallback,
                save_config_kwargs={"overwrite": True},
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )
        if torch.distributed.is_initialized():  # or its threads are cut off at the end
            torch.distributed.destroy_process_group()
    except BaseException as error:
        if fitting and (run.folder / "checkpoints/last.ckpt").exists():
            told = f"the last checkpoint is kept; the same command with --run {run.folder.name}"
            print(f"simlearn: {told} --resume continues", file=sys.stderr)
        began = (run.folder / "checkpoints").exists()
        if fitting and not run.checkpoint and not began and first_process():
            shutil.rmtree(run.folder, ignore_errors=True)
            with contextlib.suppress(OSError):
                run.folder.parent.rmdir()  # only where nothing else is in it
        if run.checkpoint and isinstance(error, RuntimeError) and "state_dict" in str(error):
            raise ArchiveError(
                f"The checkpoint {run.checkpoint} holds other weights than the config asks for. "
                "Resume with the config, the stabilizers and the data the run began with."
            ) from error
        raise
