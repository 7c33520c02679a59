"""Run folders: runs/NAME, never overwritten, and runs/latest."""

from __future__ import annotations

import sys
from pathlib import Path

from simlearn.component import ArchiveError, ConfigError

RUNS = Path("runs")


def named(name: str) -> Path:
    """The folder of a run.

    Raises:
        ConfigError: The name is no plain name.
    """
    if not name or Path(name).name != name or name in (".", "..", "latest"):
        raise ConfigError(f"--run is a plain name for a folder below {RUNS}/, got {name!r}.")
    return RUNS / name


def unused(path: Path) -> Path:
    """The path itself, or with -2, -3, ... appended where it is taken."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def claim(path: Path) -> Path:
    """Make a folder that nobody has: the path, or with -2, -3, ... appended; two never get one."""
    number, candidate = 1, path
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            candidate.mkdir()
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.name}-{number}")
        else:
            return candidate


def set_latest(folder: Path) -> None:
    """Let runs/latest lead to the newest run."""
    link = RUNS / "latest"
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name, target_is_directory=True)
    except OSError as error:
        print(f"simlearn: {link} could not be set to {folder.name}: {error}", file=sys.stderr)


def checkpoint(resume: str | None, folder: Path) -> Path | None:
    """The checkpoint that --resume names.

    Raises:
        ArchiveError: It is not there.
    """
    if resume is None:
        return None
    path = folder / "checkpoints" / "last.ckpt" if resume == "last" else Path(resume)
    if not path.is_file():
        raise ArchiveError(
            f"There is no checkpoint {path}. Name the run with --run, or a checkpoint file."
        )
    import torch

    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ArchiveError(
            f"The checkpoint {path} is damaged or holds more than weights "
            f"({type(error).__name__}). "
            "Resume from another one, or train again."
        ) from error
    return path
