"""LightningCLI as simlearn uses it: a run folder, the closed door, an archive at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.plugins.io import CheckpointIO

from simlearn import archive
from simlearn.cli.endings import keep, refused, tell
from simlearn.cli.explaining import unbuildable
from simlearn.cli.fit_parser import FitParser, refuse_loading
from simlearn.cli.parsing import UNFIT, OneMessage
from simlearn.cli.runs import first_process, lead, set_latest
from simlearn.cli.saving import SavedConfig
from simlearn.cli.signals import Signals
from simlearn.component import ArchiveError, ConfigError, describe
from simlearn.data.module import TrajectoryData
from simlearn.data.writer import Writer
from simlearn.training.checkpoint import CheckpointFiles
from simlearn.training.drift import Facts
from simlearn.training.durable import LAST
from simlearn.training.fit import finished
from simlearn.training.ledger import Ledger
from simlearn.training.metrics import Metrics
from simlearn.training.module import SimulatorModule
from simlearn.training.progress import Progress, quiet
from simlearn.training.resume import Checkpoints, Listener
from simlearn.training.saved import bound


@dataclass(frozen=True)
class Run:
    """What a command does and where.

    Attributes:
        command: fit, validate, test or predict.
        folder: The run folder.
        checkpoint: What a training is resumed from, or evaluated.
        aside: Whether it is one try of several, of which the user hears elsewhere.
        claimed: Whether the folder was made for it.
        allow_drift: Whether it is resumed although something has changed.
        spill: Where checkpoints go that cannot be written into the folder.
        plugins: Distribution and version of the plugins, by module.
        allow: Packages that --allow-import named.
    """

    command: str
    folder: Path
    checkpoint: Path | None = None
    aside: bool = False
    claimed: bool = False
    allow_drift: bool = False
    spill: Path | None = None
    plugins: Mapping[str, str] = field(default_factory=dict)
    allow: Sequence[str] = ()


class FitCLI(LightningCLI):
    """LightningCLI that leaves an archive behind."""

    run_of: Run
    listener: Listener
    ledger: Ledger | None = None
    keeper: Checkpoints | None = None

    def parse_arguments(self, *given: Any) -> None:
        """A config that was saved with another run does not lead back to its folder."""
        super().parse_arguments(*given)
        asked = self.config[self.config["subcommand"]]
        refuse_loading(asked)
        trainer = asked["trainer"]
        for name in bound(trainer.as_dict()):
            trainer[name] = defaults(self.run_of)[name]

    def instantiate_classes(self) -> None:
        """Build what the config names.

        Raises:
            ConfigError: A constructor does not take what it was given.
        """
        try:
            super().instantiate_classes()
        except UNFIT as error:
            raise unbuildable(error, ", ".join(map(str, OneMessage.files))) from error

    def instantiate_trainer(self, **given: Any) -> Trainer:
        """Checkpoints that lose nothing and one metrics.csv, unless the config asks for others."""
        asked = self.config_init[self.subcommand]["trainer"]
        plugins = asked["plugins"] or []
        plugins = plugins if isinstance(plugins, list) else [plugins]
        if not any(isinstance(one, CheckpointIO) for one in plugins):
            given["plugins"] = [*plugins, CheckpointFiles(self.run_of.spill)]
        if self.run_of.command == "fit":
            callbacks = asked["callbacks"] or []
            callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
            # Lightning takes False and a ModelCheckpoint for a contradiction, and True for an order
            given["enable_checkpointing"] = any(isinstance(one, Checkpoint) for one in callbacks)
            if asked["logger"] in (None, True):
                given["logger"] = Metrics(str(self.run_of.folder))
        return super().instantiate_trainer(**given)

    def before_fit(self) -> None:
        """Who keeps checkpoints is heard first, and what is trained knows what it began with."""
        run, asked = self.run_of, self.config[self.subcommand]
        if isinstance(self.listener, Signals):
            self.listener.trainer = self.trainer
        if asked["trainer"]["enable_checkpointing"] is not False and not self.trainer.fast_dev_run:
            named = [one for one in self.trainer.callbacks if isinstance(one, Checkpoints)]
            others = [one for one in self.trainer.callbacks if one not in named]
            keeper = named[0] if named else Checkpoints()
            keeper.folder = keeper.folder or str(run.folder / "checkpoints")
            lead(run.folder, Path(keeper.folder))
            keeper.listener = self.listener
            FitCLI.keeper = keeper
            self.trainer.callbacks = [keeper, *others]
        config = json.loads(json.dumps(asked.as_dict(), default=str))
        FitCLI.ledger = self.model.ledger
        self.model.ledger.facts = Facts(config, run.plugins, run.allow_drift, _say)
        self.model.guard.folder = run.folder / "post-mortem"
        if run.checkpoint is not None:
            # told now, so that what has been solved is not solved again
            self.trainer.ckpt_path = run.checkpoint

    def after_fit(self) -> None:
        """Write the archive, on one process only."""
        if not self.trainer.is_global_zero:
            return
        trained = finished(self.model, self.datamodule)
        if self.run_of.allow:
            trained.provenance["allow_import"] = list(self.run_of.allow)
        keep(trained, self.run_of)
        if not self.run_of.aside:
            set_latest(self.run_of.folder)
            print(f"run: {self.run_of.folder}")

    @classmethod
    def saved(cls) -> bool:
        """Whether there is a checkpoint to go on from."""
        kept = None if cls.keeper is None else cls.keeper.folder
        return kept is not None and (Path(kept) / LAST).is_file()

    def before_validate(self) -> None:
        """Evaluate trained weights: the checkpoint's, or those of the run's archive."""
        if self.run_of.checkpoint is not None:
            self.trainer.ckpt_path = self.run_of.checkpoint
        else:
            # stabilizers may have wrapped what the config names; constraints are folded already
            loaded = archive.load(self.run_of.folder, OneMessage.known)
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
    return {
        "default_root_dir": str(run.folder),
        "callbacks": [Progress()],
        "logger": None if fitting else False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "enable_checkpointing": fitting,
        "log_every_n_steps": 1,
        "num_sanity_val_steps": 0,
        "max_epochs": 100,
    }


def _say(line: str) -> None:
    if first_process():
        print(f"simlearn: {line}", file=sys.stderr)


def execute(run: Run, arguments: list[str], asking: bool) -> None:
    """Run the command; a fit that never began leaves no folder behind."""
    torch.set_float32_matmul_precision("highest")
    fitting = run.command == "fit"
    listens = fitting and not run.aside and not asking
    try:
        with Signals() if listens else nullcontext(Listener()) as listener, quiet():
            FitCLI.run_of, FitCLI.listener = run, listener
            FitCLI.ledger = FitCLI.keeper = None
            FitCLI(
                SimulatorModule,
                TrajectoryData,
                args=[run.command, *arguments],
                parser_class=FitParser,
                trainer_defaults=defaults(run),
                seed_everything_default=0,
                save_config_callback=None if run.checkpoint or not fitting else SavedConfig,
                save_config_kwargs={"folder": run.folder},
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
            )
        if torch.distributed.is_initialized():  # or its threads are cut off at the end
            torch.distributed.destroy_process_group()
    except BaseException as error:
        users = refused(error, run)
        tell(users or error, run, FitCLI.ledger, FitCLI.saved())
        if users is not None:
            raise users from error
        raise
