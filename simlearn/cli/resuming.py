"""Which run goes on: the one that a checkpoint belongs to, and none that holds another training."""

from __future__ import annotations

from pathlib import Path

from simlearn.cli.runs import RUNS
from simlearn.component import ConfigError


def owner(resume: str | None) -> str | None:
    """The run in whose folder a checkpoint lies; None for "last", and where it lies in none."""
    if resume is None or resume == "last":
        return None
    for folder in Path(resume).absolute().parents:
        if folder.parent.resolve() == RUNS.resolve():
            return folder.name if folder.name != "latest" else folder.resolve().name
    return None


def refuse_other(resume: str, folder: Path, chosen: bool) -> None:
    """Refuse to go on with a checkpoint in the folder of another training, which would be lost.

    Args:
        resume: What --resume says.
        folder: The run that would go on.
        chosen: Whether it was named.

    Raises:
        ConfigError: The folder holds a training that the checkpoint is not of, as far as one knows.
    """
    of = owner(resume)
    if resume == "last" or of == folder.name or (of is None and chosen) or not _trained(folder):
        return
    if of is None:
        raise ConfigError(
            f"{folder} holds a training already, and {resume} does not lie in it. If it is of that "
            f"training, say so with --run {folder.name}; if not, give a new name with --run NAME."
        )
    raise ConfigError(
        f"{folder} holds a training already, and {resume} is of {RUNS / of}. Leave --run out to go "
        f"on in {RUNS / of}, or give a new name with --run NAME."
    )


def _trained(folder: Path) -> bool:
    """Whether there is something to lose."""
    return (folder / "simulator").exists() or any((folder / "checkpoints").glob("*.ckpt"))
