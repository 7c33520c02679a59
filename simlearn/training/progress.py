"""What a training says while it runs: one line that tells, instead of many that do not."""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import lightning.pytorch as pl

from simlearn.training.begin import told
from simlearn.training.start import printed

LOUD = ("lightning.pytorch", "lightning.fabric", "pytorch_lightning")


@contextmanager
def quiet() -> Iterator[None]:
    """Lightning's advice and notices are not for users of simlearn; its errors are."""
    before = {name: logging.getLogger(name).level for name in LOUD}
    for name in LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*isinstance\\(treespec.*")
            for category in (FutureWarning, UserWarning):
                warnings.filterwarnings("ignore", category=category, module="lightning")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


class Progress(pl.Callback):
    """One line that says where training stands: epoch, loss, time left.

    Plain lines where no terminal listens.

    Args:
        every_seconds: Seconds between two lines where the output is no terminal.
    """

    def __init__(self, every_seconds: float = 5.0):
        self.every_seconds = every_seconds
        self.began = self.said = self.cpu = 0.0
        self.first = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.began = self.said = time.monotonic()
        self.cpu = time.process_time()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what the closed form found."""
        self.first = trainer.current_epoch
        self._told(trainer, pl_module)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say it now where there was no epoch at all."""
        if trainer.max_epochs == 0:
            self._told(trainer, pl_module)

    def _told(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        estimates = pl_module.ledger.estimates
        # a checkpoint brings both with it: nothing was solved now
        before = " (of the run that is resumed)" if trainer.ckpt_path is not None else ""
        if estimates and trainer.is_global_zero:
            spent = before or f" in {time.monotonic() - self.began:.1f} s"
            self._write(f"closed form{spent}:\n{printed(estimates)}\n")
        if pl_module.ledger.start and trainer.is_global_zero:
            self._write(f"start{before}:\n{told(pl_module.ledger.start)}")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """One line, often on a terminal, seldom elsewhere."""
        now, terminal = time.monotonic(), sys.stderr.isatty()
        last = trainer.current_epoch + 1 == trainer.max_epochs
        if last or now - self.said > (0.1 if terminal else self.every_seconds):
            self._say(trainer, pl_module, trainer.current_epoch + 1, last)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The last word, where the training ended before its last epoch."""
        if 0 < trainer.current_epoch < (trainer.max_epochs or -1):
            self._say(trainer, pl_module, trainer.current_epoch, last=True)

    def _say(self, trainer: pl.Trainer, module: pl.LightningModule, done: int, last: bool) -> None:
        if not trainer.is_global_zero:
            return
        now, total = time.monotonic(), trainer.max_epochs or -1
        self.said = now
        spent = now - self.began
        each = spent / max(1, done - self.first)
        left = f"  about {each * (total - done):.0f} s left" if total > done else ""
        left = f" ({time.process_time() - self.cpu:.1f} CPU-s)" if last else left
        held = trainer.callback_metrics.get("rollout_error")
        told = "" if held is None else f"  held-out rollouts {float(held):.3g}{self._unit(trainer)}"
        line = f"epoch {done}/{total if total > 0 else '?'}  loss {float(module.ledger.loss):.4g}"
        line = f"{line}{told}  {spent:.0f} s{left}"
        terminal = sys.stderr.isatty()
        self._write(f"\r\x1b[K{line}{chr(10) if last else ''}" if terminal else f"{line}\n")

    def _unit(self, trainer: pl.Trainer) -> str:
        unit = trainer.datamodule.provenance.get("units", {}).get("position", "")
        return f" {unit}" if unit else ""

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
