"""The best weights of a training, kept in memory and given back at its end."""

from __future__ import annotations

import math
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor

from simlearn.training.validation import MONITORED


class Best(pl.Callback):
    """Keeps the weights whose held-out rollouts were best, also across a resume."""

    def __init__(self) -> None:
        self.value, self.epoch = math.inf, -1
        self.weights: dict[str, Tensor] | None = None

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep them where they are better than before."""
        value = float(trainer.callback_metrics.get(MONITORED, math.nan))
        if not trainer.sanity_checking and value < self.value:
            self.value, self.epoch = value, trainer.current_epoch
            weights = pl_module.simulator.state_dict()
            self.weights = {name: weight.detach().clone() for name, weight in weights.items()}

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Give them back, also where a training is resumed that had ended."""
        if self.weights is not None:
            pl_module.simulator.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Plain types and tensors for the checkpoint."""
        return {"value": self.value, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self.value, self.epoch = float(state_dict["value"]), int(state_dict["epoch"])
        self.weights = state_dict["weights"]


def patient(epochs: int | None) -> list[pl.Callback]:
    """Who stops a training that gets no better for so many epochs, and who remembers the best."""
    if epochs is None:
        return []
    return [EarlyStopping(MONITORED, patience=epochs, check_finite=False), Best()]
