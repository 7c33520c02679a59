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
    """Bytes that may be taken now: a share of what is free, and of what this process may hold."""
    free = psutil.virtual_memory().available
    if hasattr(psutil, "RLIMIT_AS"):
        process = psutil.Process()
        limit, _ = process.rlimit(psutil.RLIMIT_AS)
        if limit != psutil.RLIM_INFINITY:
            free = min(free, max(0, limit - process.memory_info().vms))
    return int(SHARE * free)


def told(size: float) -> str:
    """A size for people."""
    size = min(size, 10**30)  # an integer may be too large for a float
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
