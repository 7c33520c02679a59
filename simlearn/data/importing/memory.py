"""How much memory an import may take, said before it takes it."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import psutil

from simlearn.component import EnvironmentFault

COPIES = 4  # of the numbers, at the worst moment of an import
TEXT = 8  # numbers that a name of a system or a node takes as much memory as
SHARE = 0.6  # of the memory that is free
# of a control group of version 1: its limit, its use, and in its statistics what can be dropped
V1 = ("limit_in_bytes", "usage_in_bytes", "total_inactive_file")


def budget() -> int:
    """Bytes that may be taken now: a share of what is free, and of what this process may hold."""
    free = psutil.virtual_memory().available
    if hasattr(psutil, "RLIMIT_AS"):
        process = psutil.Process()
        limit, _ = process.rlimit(psutil.RLIMIT_AS)
        if limit != psutil.RLIM_INFINITY:
            free = min(free, max(0, limit - process.memory_info().vms))
    return int(SHARE * min(free, _allotted()))


def _allotted(mine: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes that containers and batch systems leave this process; infinity where nothing does.

    They limit a control group, of version 2 or 1, and so every group below it. What files keep in
    memory and can be dropped counts as free.
    """
    left = float("inf")
    for line in _read(mine).splitlines():
        _, kinds, path = line.split(":", 2)
        if kinds not in ("", "memory"):
            continue
        most, used, dropped = ("max", "current", "inactive_file") if not kinds else V1
        top = root / kinds
        place = top / path.lstrip("/")
        for folder in [one for one in (place, *place.parents) if one.is_relative_to(top)]:
            limit, taken = (_read(folder / f"memory.{name}").strip() for name in (most, used))
            stat = [row.split() for row in _read(folder / "memory.stat").splitlines()]
            files = sum(int(size) for name, size in stat if name == dropped)
            if limit.isdigit() and taken.isdigit():
                left = min(left, max(0, int(limit) - int(taken) + files))
    return left


def _read(path: Path) -> str:
    """A file of the kernel; empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


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
