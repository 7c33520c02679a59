"""What a training remembers about itself, also across a resume."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from simlearn.component import NumericalError
from simlearn.dynamics.linear import Estimate


class Ledger(pl.Callback):
    """Estimates of the closed form, evaluations, learning rates, last loss.

    Part of every checkpoint: a resumed training leaves the same provenance as one that ran through.
    """

    def __init__(self) -> None:
        self.estimates: dict[str, Estimate] = {}
        self.evaluations, self.sum_of_learning_rates, self.optimizer = 0, 0.0, "none"
        self.loss = torch.tensor(torch.nan)

    def count(self, loss: Tensor) -> Tensor:
        """Take note of an evaluation; gives the loss back."""
        self.loss = loss.detach()
        self.evaluations += 1
        return loss

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add up the learning rates: what decides which directions of the data were learned."""
        groups = trainer.optimizers[0].param_groups
        self.sum_of_learning_rates += sum(group["lr"] for group in groups)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the loss of the epoch's last evaluation.

        Raises:
            NumericalError: It is no number.
        """
        if not torch.isfinite(self.loss):
            raise NumericalError(
                f"The loss became {float(self.loss)} in epoch {trainer.current_epoch}. "
                "Take a smaller learning rate, a shorter horizon, or gradient clipping."
            )
        pl_module.log_dict({"loss": self.loss, "evaluations": float(self.evaluations)})

    def state_dict(self) -> dict[str, Any]:
        """Plain JSON types for the checkpoint."""
        return {
            "estimates": {name: one.to_json() for name, one in self.estimates.items()},
            "evaluations": self.evaluations,
            "sum_of_learning_rates": self.sum_of_learning_rates,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        kept = state_dict["estimates"].items()
        self.estimates = {name: Estimate(**values) for name, values in kept}
        self.evaluations = state_dict["evaluations"]
        self.sum_of_learning_rates = state_dict["sum_of_learning_rates"]
