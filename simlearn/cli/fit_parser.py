"""The parser of fit configs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LightningArgumentParser

from simlearn.cli.explaining import at
from simlearn.cli.parsing import OneMessage
from simlearn.component import ConfigError
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


def refuse_loading(config: Mapping[str, Any]) -> None:
    """What is loaded, and how carefully, is not for a config to say.

    Raises:
        ConfigError: One says it.
    """
    for key in ("ckpt_path", "weights_only"):
        if config.get(key) is not None:
            raise ConfigError(
                f"{at(key, key, OneMessage.files)}nothing is loaded that way, got {config[key]!r}. "
                "Take it out, and name a checkpoint with --resume PATH: it is verified, and "
                "nothing in it can run."
            )
