"""How much memory an import may take, said before it takes it."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import psutil

from simlearn.component import EnvironmentFault

COPIES = 4  # of the numbers, at the worst moment of an import
TEXT = 8  # numbers that a name of a system or a node takes as much memory as
SHARE = 0.6  # of the memory that is free


def budget() -> int:
    """Bytes that an import may take now."""
    return int(SHARE * psutil.virtual_memory().available)


def told(size: float) -> str:
    """A size for people."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def refuse(path: Path, size: int, limit: int, what: str) -> NoReturn:
    """Say what it would take.

    Raises:
        EnvironmentFault: Always.
    """
    raise EnvironmentFault(
        f"{path}: {what} would take about {told(size)} of memory, {told(limit)} may be used now. "
        "Split it into more files or trajectories, leave columns out, or use a larger machine."
    )
