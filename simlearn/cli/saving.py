"""The config of a run, written whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback

from simlearn.training.durable import put


class SavedConfig(SaveConfigCallback):
    """Keeps ``config.yaml`` in the folder of the run, wherever it logs to.

    Args:
        folder: Of the run.
        given: What Lightning gives.
    """

    def __init__(self, *given: Any, folder: Path, **more: Any):
        super().__init__(*given, **more, save_to_log_dir=False)
        self.folder = folder

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it, before the training begins."""
        text = self.parser.dump(self.config, skip_none=False)
        put(self.folder / self.config_filename, text.encode())
