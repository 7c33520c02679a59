"""What a training remembers about itself, also across a resume."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from simlearn.dynamics.linear import Estimate
from simlearn.training.drift import Facts


class Ledger(pl.Callback):
    """What it began with, estimates of the closed form, evaluations, learning rates, last loss.

    Part of every checkpoint: a resumed training leaves the same provenance as one that ran through.
    """

    def __init__(self) -> None:
        self.facts, self.began = Facts(), False
        self.estimates: dict[str, Estimate] = {}
        self.start: dict[str, Any] = {}
        self.watched: dict[str, Any] = {}  # what callbacks want kept, in plain JSON types
        self.evaluations, self.updates, self.sum_of_learning_rates = 0, 0, 0.0
        self.optimizer, self.momentum = "none", 0.0
        self.loss = torch.tensor(torch.nan)
        self._sum: Tensor | float = 0.0
        self._counted = 0

    def count(self, loss: Tensor) -> Tensor:
        """Take note of an evaluation; gives the loss back. Nothing is read from the device.

        Several processes count the mean of their losses.
        """
        self.loss = loss.detach()
        self._sum = self._sum + self.loss
        self._counted += 1
        self.evaluations += 1
        return loss

    def updated(self, optimizer: Optimizer) -> None:
        """Add up the learning rates: what decides which directions of the data were learned."""
        self.updates += 1
        self.sum_of_learning_rates += sum(group["lr"] for group in optimizer.param_groups)
        self.momentum = float(optimizer.param_groups[0].get("momentum", 0.0))

    def mean_loss(self) -> float:
        """Mean over the evaluations of this epoch."""
        return float(self._sum) / max(1, self._counted)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """From here on there is something to lose."""
        self.began = True

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """A new mean."""
        self._sum, self._counted = 0.0, 0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the last loss of the epoch, its mean, and how much work was done."""
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        found = {"loss": self.loss, "mean_loss": self.mean_loss(), "learning_rate": rate}
        pl_module.log_dict({**found, "evaluations": float(self.evaluations)})

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors for the checkpoint."""
        return {
            "loss": self.loss,
            "sum_of_losses": self._sum,
            "counted": self._counted,
            "watched": self.watched,
            "estimates": {name: one.to_json() for name, one in self.estimates.items()},
            "evaluations": self.evaluations,
            "updates": self.updates,
            "sum_of_learning_rates": self.sum_of_learning_rates,
            "momentum": self.momentum,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        kept = state_dict["estimates"].items()
        self.estimates = {name: Estimate(**values) for name, values in kept}
        self.evaluations, self.updates = (
            _natural(state_dict[name]) for name in ("evaluations", "updates")
        )
        self.sum_of_learning_rates = float(state_dict["sum_of_learning_rates"])
        self.momentum = float(state_dict.get("momentum", 0.0))
        self.loss = torch.as_tensor(state_dict.get("loss", self.loss)).reshape(())
        self._sum = state_dict.get("sum_of_losses", 0.0)
        self._counted = _natural(state_dict.get("counted", 0))
        self.watched = state_dict.get("watched", {})


def _natural(value: Any) -> int:
    if int(value) != value or value < 0:
        raise ValueError(f"{value!r} is no count")
    return int(value)
