"""What all callbacks here share: when they look, where they tell it, what they keep."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import lightning.pytorch as pl

from simlearn import ConfigError, Trajectory
from simlearn_training_dynamics.callbacks.copied import Copied

KEPT = 256  # rows that an archive takes along, at most


class Watch(pl.Callback):
    """Looks at a training every so many steps of the optimizer and tells what it found.

    Every row goes to the loggers of the trainer (metrics.csv), and at most 256 of them, evenly
    spaced, into the archive, whose reports draw them.

    Args:
        every: Steps of the optimizer between two looks; several steps make one call of Lightning,
            and looks fall on the end of a call.

    Raises:
        ConfigError: ``every`` is not positive.
    """

    evaluating = False  # layers of the copy work as in evaluation, or as in the training's steps
    everywhere = False  # whether all processes work on it, or the first alone

    def __init__(self, every: int):
        if every < 1:
            raise ConfigError(f"{type(self).__name__}.every must be at least 1, got {every}.")
        self.every, self.gap = every, 1
        self.rows: list[dict[str, float]] = []
        self.kept: dict[str, Any] = {}
        self.copied: Copied | None = None
        self.before = 0
        self._skipped = 0

    @property
    def copy(self) -> Copied:
        """The training beside the training."""
        assert self.copied is not None, "a training begins before it is looked at"
        return self.copied

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Copy the training."""
        self.copied = Copied(trainer, pl_module, self.evaluating)
        self.begin(self.copied, self.kept)

    def begin(self, copied: Copied, kept: Mapping[str, Any]) -> None:
        """Get ready; ``kept`` is what a checkpoint brought, empty at a first start."""
        return None

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Remember how far the training is."""
        self.before = self.copy.updates
        if self.everywhere or trainer.is_global_zero:
            self.ahead(batch)

    def ahead(self, windows: Sequence[Trajectory]) -> None:
        """Before the steps of a call; the weights are those they begin with."""
        return None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Follow the steps; look, if it is time."""
        if not (self.everywhere or trainer.is_global_zero):
            return
        now = self.copy.updates
        with self._apart():
            self.behind(batch)
            found = self.look() if now // self.every > self.before // self.every else {}
        if found:
            told = {"updates": float(now), **found}
            self._write(trainer, pl_module, told)
            self.keep(told)

    def _apart(self) -> AbstractContextManager[None]:
        return self.copy.apart(type(self).__name__, refuse=not self.evaluating)

    def _write(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, told: dict[str, float]
    ) -> None:
        """To every logger, for Lightning writes only one step in ``log_every_n_steps``."""
        pl_module.log_dict(
            told, on_step=True, on_epoch=False, logger=False, rank_zero_only=True
        )  # for callbacks that monitor
        if trainer.is_global_zero:
            for logger in trainer.loggers:
                logger.log_metrics(told, step=trainer.global_step - 1)  # as Lightning counts rows
                logger.save()

    def behind(self, windows: Sequence[Trajectory]) -> None:
        """After the steps of a call."""
        return None

    @abstractmethod
    def look(self) -> dict[str, float]:
        """What is found now, by the names of metrics.csv."""

    def keep(self, row: dict[str, float]) -> None:
        """Keep a row; of too many every second one is forgotten, and from then on skipped."""
        self._skipped += 1
        if self._skipped < self.gap:
            return
        self._skipped = 0
        self.rows.append(row)
        if len(self.rows) == KEPT:
            self.rows, self.gap = self.rows[1::2], self.gap * 2

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leave what was found for the archive."""
        if trainer.is_global_zero:
            with self._apart():
                self.finish(trainer)
            told = self.told()
            if told is not None:
                self.copy.leave(type(self).__name__, told)
        self.copied = None

    def finish(self, trainer: pl.Trainer) -> None:
        """A last look."""
        return None

    @abstractmethod
    def told(self) -> dict[str, Any] | None:
        """Title, caption, numbers and lines of a picture, in plain JSON types; None for nothing."""

    def picture(
        self, title: str, y_label: str, lines: Mapping[str, str], **more: Any
    ) -> dict[str, Any]:
        """A picture of rows over the steps: ``lines`` are names in the rows with their labels."""
        drawn = []
        for name, label in lines.items():
            seen = [row for row in self.rows if math.isfinite(row.get(name, math.nan))]
            if seen:
                x, y = [row["updates"] for row in seen], [row[name] for row in seen]
                role = "truth" if name.endswith("_limit") else "judged"  # dotted
                drawn.append({"x": x, "y": y, "label": label, "role": role})
        head = {"title": title, "x_label": "steps of the optimizer", "y_label": y_label}
        return {**head, "lines": drawn, **more}

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors, so that a resumed training goes on as it would have."""
        return {"rows": self.rows, "gap": self.gap, "skipped": self._skipped, **self.memory()}

    def memory(self) -> dict[str, Any]:
        """What else must outlast an interruption."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self.rows, self.gap = list(state_dict["rows"]), state_dict["gap"]
        self._skipped = state_dict["skipped"]
        self.kept = state_dict
