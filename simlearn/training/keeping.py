"""The folder in which one training keeps its checkpoints."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from simlearn.component import ConfigError, EnvironmentFault
from simlearn.lock import Lock
from simlearn.training.durable import LAST, tidy


def alone(folder: Path, new: bool) -> Lock:
    """Take a folder of checkpoints for one training, which gives it back.

    Args:
        folder: Where they are.
        new: Whether the training begins.

    Raises:
        ConfigError: It begins, and others are there.
        EnvironmentFault: It cannot be written, or another process has it.
    """
    lock = Lock(folder / ".lock", f"The folder of checkpoints {folder}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.__enter__()
    except OSError as error:
        raise EnvironmentFault(
            f"Cannot keep checkpoints in {folder}: {error.strerror or error}. What was there "
            "before is intact. Give write access, make room, or name another folder."
        ) from error
    tidy(folder)
    if new and (folder / LAST).exists():
        lock.__exit__()
        raise ConfigError(
            f"{folder} holds the checkpoints of another training, and this one begins. Go on from "
            f"them (resume {folder / LAST}), or name another folder."
        )
    return lock


def leave(lock: Lock) -> None:
    """Give the folder back; where nothing was kept, it goes."""
    lock.__exit__()
    with suppress(OSError):
        lock.path.parent.rmdir()
