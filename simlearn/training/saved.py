"""Configs that were saved with a run, and train another one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

RUNS = "runs"


def bound(trainer: Mapping[str, Any]) -> list[str]:
    """Names of what a saved `trainer:` says of the folder of its run, and of nothing else.

    That is the root, and the logger that simlearn 0.1 wrote into the config. Another run that took
    them over would write into the folder of the first.
    """
    found = []
    root, logger = trainer.get("default_root_dir"), trainer.get("logger")
    if isinstance(root, str) and Path(root).parts[:1] == (RUNS,):
        found.append("default_root_dir")
    if isinstance(logger, Mapping) and str(logger.get("class_path")).endswith("CSVLogger"):
        arguments = logger.get("init_args") or {}
        if arguments.get("version") == "":
            found.append("logger")
    return found
