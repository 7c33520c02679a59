"""The config of a run, written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from simlearn.cli.runs import FOLDER
from simlearn.training.durable import put


class SavedConfig(SaveConfigCallback):
    """Keeps ``config.yaml`` in the folder of the run, wherever it logs to."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it, before the training begins."""
        text = self.parser.dump(self.config, skip_none=False)
        put(Path(os.environ[FOLDER]) / self.config_filename, text.encode())
