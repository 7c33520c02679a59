"""Checkpoints from which a training goes on as if it had never stopped.

Lightning's own are taken in the middle of its bookkeeping: a resumed training skips hooks and rows,
validates again or not at all, and knows neither the order of its data nor its random numbers. Here
one is taken where nothing is pending: before an epoch begins, before a training step begins, and
when the training has ended.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import EarlyStopping

from simlearn.component import ConfigError
from simlearn.randomness import global_state, set_global_state
from simlearn.training.drift import KEPT, SCHEMA, machine
from simlearn.training.durable import LAST, tidy
from simlearn.training.metrics import Metrics
from simlearn.training.validation import MONITORED

EPOCH, STEP = "epoch", "step"  # what was about to begin when a checkpoint was taken


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
        self._went_on = False
        self._saved_at, self._cost, self._steps = time.monotonic(), 0.0, 0

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Tidy up what a killed writer left."""
        if self.folder is None:
            self.folder = str(Path(trainer.default_root_dir) / "checkpoints")
        if trainer.is_global_zero:
            tidy(Path(self.folder))

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add what Lightning leaves out; bring its counters into order."""
        rows = [one.rows for one in trainer.loggers if isinstance(one, Metrics)]
        checkpoint[KEPT] = {
            "schema": SCHEMA,
            "before": self._kind,
            "rows": rows[0] if rows else None,
            "metrics": {k: v.detach().clone() for k, v in trainer.callback_metrics.items()},
            "reference": pl_module.guard.reference,
            "compiled": _compiled(pl_module),
            "random": global_state(pl_module.device),
            "machine": machine(pl_module),
            "facts": pl_module.ledger.facts.to_json(trainer.datamodule),
            "drift": pl_module.ledger.facts.drift,
        }
        if self._kind is not None:
            _settle(checkpoint["loops"]["fit_loop"], self._kind)

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with metrics.csv where the checkpoint was taken."""
        self.resumed = kept = checkpoint.get(KEPT, {})
        for logger in trainer.loggers:
            if isinstance(logger, Metrics):
                rows = kept.get("rows")
                logger.go_on(sys.maxsize if rows is None else rows)

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A training that has lost its patience has ended, unless it is given more."""
        for one in trainer.callbacks if self.resumed is not None else ():
            if isinstance(one, EarlyStopping):
                if one.monitor == MONITORED and pl_module.patience is not None:
                    one.patience = pl_module.patience
                trainer.should_stop |= one.wait_count >= one.patience

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say so where there was nothing left to do."""
        if self.resumed is not None and not self._went_on:
            pl_module.ledger.facts.tell("the training had ended already; its archive is written")

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Go on exactly; or take the first checkpoint."""
        self._saved_at, self._went_on = time.monotonic(), True
        self.listener.begin(trainer)
        if self.resumed is None:
            self._save(trainer, EPOCH)
        if not self.resumed:  # an older checkpoint holds nothing of this
            return
        for name, value in self.resumed["metrics"].items():
            trainer.callback_metrics[name] = value.to(pl_module.device)
        pl_module.guard.reference = self.resumed["reference"]
        if pl_module.compiled is not None and self.resumed["compiled"] is not None:
            pl_module.compiled.broken, pl_module.compiled.misses = self.resumed["compiled"]
        set_global_state(self.resumed["random"], pl_module.device)
        self._told_machine(pl_module)
        epoch_loop = trainer.fit_loop.epoch_loop
        if self.resumed["before"] == STEP:
            # nothing is pending: neither a validation, nor the count that `reset` adds to
            epoch_loop.reset_restart_stage()
            epoch_loop._batches_that_stepped -= 1
        elif self.resumed["before"] == EPOCH:
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

    def _told_machine(self, module: pl.LightningModule) -> None:
        assert self.resumed is not None
        before, now = self.resumed["machine"], machine(module)
        for name in now:
            if before[name] != now[name]:
                module.ledger.facts.tell(
                    f"{name}: {before[name]} before, {now[name]} now; the bits may differ, the "
                    "training is the same"
                )

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
            for logger in trainer.loggers:
                logger.save()
            trainer.save_checkpoint(Path(self.folder) / LAST)
        finally:
            self._kind = None
        self._saved_at, self._steps = time.monotonic(), 0
        self._cost = self._saved_at - began


def _compiled(module: pl.LightningModule) -> list[Any] | None:
    """Whether the compiled step was given up, and how near it was to that."""
    return None if module.compiled is None else [module.compiled.broken, module.compiled.misses]


def _agreed(trainer: pl.Trainer, signal: int | None) -> int | None:
    """The signal that one of several processes got."""
    device = trainer.strategy.root_device
    found = trainer.strategy.reduce(
        torch.tensor(float(signal or 0), device=device), reduce_op="max"
    )
    return int(found) or None


def _settle(loops: dict[str, Any], kind: str) -> None:
    """Lightning's counters as if what is about to begin had not been counted yet."""
    epochs, steps = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    for count in (steps["total"], steps["current"]):
        count["ready"] = count["started"] = count["processed"] = count["completed"]
    steps["is_last_batch"] = False
    state = loops["state_dict"]
    if kind == EPOCH:
        for count in (epochs["total"], epochs["current"]):
            count["ready"] = count["started"] = count["processed"] = count["completed"]
        steps["current"] = dict.fromkeys(steps["current"], 0)
        state.pop("combined_loader", None)
    for loader in state.get("combined_loader", ()):
        loader["handed"] = steps["current"]["completed"]
