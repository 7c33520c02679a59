"""Checkpoints from which a training goes on as if it had never stopped.

Lightning's own are taken in the middle of its bookkeeping, and lack the order of the data and the
random numbers. Here one is taken where nothing is pending: before an epoch or a step begins.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping, WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn

from simlearn.component import ConfigError
from simlearn.lock import Lock
from simlearn.training.drift import KEPT
from simlearn.training.durable import LAST
from simlearn.training.keeping import alone, leave
from simlearn.training.metrics import Metrics
from simlearn.training.restoring import EPOCH, STEP, give_back, kept, refuse_strange, settle
from simlearn.training.validation import MONITORED


class Listener:
    """Who may ask a training to stop; this one never does."""

    def begin(self, trainer: pl.Trainer) -> None:
        """A training begins."""

    def end(self) -> None:
        """It has ended."""

    def asked(self) -> int | None:
        """The number of a signal that came."""
        return None

    def leave(self, trainer: pl.Trainer, number: int) -> None:
        """The training is saved, and all processes have stopped at the same step."""


class Checkpoints(pl.Callback):
    """Keeps ``last.ckpt`` and ``previous.ckpt`` in the folder ``checkpoints`` of a run.

    The first is taken before the first step, which shows that the disk can be written; the last one
    when the training has ended. In between they are so far apart that they take no more than the
    given share of the time.

    Args:
        every_seconds: Shortest time between two checkpoints.
        every_steps: One after so many training steps of Lightning, however long they take.
        share: Largest share of the time that is spent on checkpoints.
        folder: Where they are kept; ``checkpoints`` in the folder of the run by default.
    """

    def __init__(
        self,
        every_seconds: float = 5.0,
        every_steps: int | None = None,
        share: float = 0.02,
        folder: str | None = None,
    ):
        if every_seconds < 0 or not 0 < share <= 1 or (every_steps is not None and every_steps < 1):
            raise ConfigError(
                "Checkpoints wants every_seconds of at least 0, every_steps of at least 1 and a "
                f"share in (0, 1], got {every_seconds}, {every_steps} and {share}."
            )
        self.every_seconds, self.every_steps, self.share = every_seconds, every_steps, share
        self.folder = folder
        self.listener = Listener()
        self.resumed: Mapping[str, Any] | None = None
        self._kind: str | None = None
        self._lock: Lock | None = None
        self._went_on = False
        self._saved_at, self._cost, self._steps = time.monotonic(), 0.0, 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Have the folder alone; tidy up what a killed writer left.

        Raises:
            ConfigError: It holds the checkpoints of another training.
            EnvironmentFault: It cannot be written, or another process has it.
        """
        if self.folder is None:
            self.folder = str(Path(trainer.default_root_dir) / "checkpoints")
        if trainer.is_global_zero and stage == "fit":
            self._lock = alone(Path(self.folder), new=trainer.ckpt_path is None)

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Others may have the folder."""
        if self._lock is not None:
            leave(self._lock)
            self._lock = None

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """The same, where the training fails."""
        self.teardown(trainer, pl_module, "fit")

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what Lightning leaves out; bring its counters into order."""
        tables = [one.standing() for one in trainer.loggers if isinstance(one, Metrics)]
        rows, waiting = tables[0] if tables else (None, [])
        found = {"rows": rows, "waiting": waiting, **kept(trainer, pl_module, self._kind)}
        checkpoint[KEPT] = found
        if self._kind is not None:
            settle(checkpoint["loops"]["fit_loop"], self._kind)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Refuse what no training wrote; go on with metrics.csv where the checkpoint was taken."""
        if trainer.state.fn != TrainerFn.FITTING:
            return
        refuse_strange(trainer, pl_module, checkpoint)
        self.resumed = found = checkpoint.get(KEPT, {})
        for logger in trainer.loggers:
            if isinstance(logger, Metrics):
                rows = found.get("rows")
                logger.go_on(sys.maxsize if rows is None else rows, found.get("waiting", []))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A training that has lost its patience has ended, unless it is given more."""
        for one in trainer.callbacks if self.resumed is not None else ():
            if isinstance(one, EarlyStopping):
                if one.monitor == MONITORED and pl_module.patience is not None:
                    one.patience = pl_module.patience
                trainer.should_stop |= one.wait_count >= one.patience

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say so where there was nothing left to do; averaged weights are taken all the same."""
        if self.resumed is not None and not self._went_on:
            for one in trainer.callbacks:
                if isinstance(one, WeightAveraging):
                    one.on_train_end(trainer, pl_module)
            pl_module.ledger.facts.tell("the training had ended already; its archive is written")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on exactly; or take the first checkpoint."""
        self._saved_at, self._went_on = time.monotonic(), True
        self.listener.begin(trainer)
        if self.resumed is None:
            self._save(trainer, EPOCH)
            return
        before = give_back(trainer, pl_module, self.resumed)
        epoch_loop = trainer.fit_loop.epoch_loop
        if before == STEP:
            # nothing is pending: neither a validation, nor the count that `reset` adds to
            epoch_loop.reset_restart_stage()
            epoch_loop._batches_that_stepped -= 1
        elif before == EPOCH:
            epoch_loop.restarting = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A place where nothing is pending."""
        self._consider(trainer, EPOCH)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Another one; the first step of an epoch has its place before the epoch."""
        if batch_idx > 0:
            self._consider(trainer, STEP)
        self._steps += 1

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep how it ended."""
        self._consider(trainer, EPOCH, at_all_events=True)
        self.listener.end()

    def _consider(self, trainer: pl.Trainer, kind: str, at_all_events: bool = False) -> None:
        """Save, if it is time or somebody asks for it; all processes decide alike."""
        signal = self.listener.asked()
        due = at_all_events or signal is not None or self._due()
        if trainer.world_size > 1:
            due = trainer.strategy.reduce_boolean_decision(due, all=False)
        if not due:
            return
        self._save(trainer, kind)
        if trainer.world_size > 1:
            signal = _agreed(trainer, signal)
        if signal is not None:
            self.listener.leave(trainer, signal)

    def _due(self) -> bool:
        if self.every_steps is not None:
            return self._steps >= self.every_steps
        apart = max(self.every_seconds, self._cost / self.share)
        return time.monotonic() - self._saved_at >= apart

    def _save(self, trainer: pl.Trainer, kind: str) -> None:
        assert self.folder is not None
        began, self._kind = time.monotonic(), kind
        try:
            trainer.save_checkpoint(Path(self.folder) / LAST)
        finally:
            self._kind = None
        for logger in trainer.loggers:
            logger.save()
            if isinstance(logger, Metrics):
                logger.refuse_lost()
        self._saved_at, self._steps = time.monotonic(), 0
        self._cost = self._saved_at - began


def _agreed(trainer: pl.Trainer, signal: int | None) -> int | None:
    """The signal that one of several processes got."""
    device = trainer.strategy.root_device
    found = trainer.strategy.reduce(
        torch.tensor(float(signal or 0), device=device), reduce_op="max"
    )
    return int(found) or None
