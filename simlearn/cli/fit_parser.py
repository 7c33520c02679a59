"""The parser of fit configs."""

from __future__ import annotations

from functools import cache

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from simlearn.cli.parsing import OneMessage
from simlearn.data.module import TrajectoryData
from simlearn.training.module import SimulatorModule


class FitParser(OneMessage, LightningArgumentParser):
    """LightningCLI's parser with errors of one message."""


@cache
def fit_parser() -> FitParser:
    """What reads a fit config, for those who only look at one; made once, as it takes long."""
    parser = FitParser(prog="simlearn fit")
    parser.add_argument("--seed_everything", type=bool | int, default=0)
    parser.add_lightning_class_args(Trainer, "trainer")
    parser.add_lightning_class_args(SimulatorModule, "model")
    parser.add_lightning_class_args(TrajectoryData, "data")
    parser.add_method_arguments(
        Trainer, "fit", skip={"model", "train_dataloaders", "val_dataloaders", "datamodule"}
    )
    return parser
