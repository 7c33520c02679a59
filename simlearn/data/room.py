"""How much memory and disk a dataset takes, said before it is drawn."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch

from simlearn.component import ConfigError, EnvironmentFault
from simlearn.data.generate import DatasetGenerator, System
from simlearn.data.importing.memory import budget, told
from simlearn.data.parallel import AHEAD, together
from simlearn.randomness import generator as random

COPIES = 4  # of the states of a piece at the worst moment: solved, sliced, slopes, in a packet
STORED = 2  # states and slopes
REAL = 8


def refuse_large(
    path: Path, drawn_by: DatasetGenerator, count: int, steps: int, workers: int
) -> None:
    """Refuse a dataset for which memory or disk has no room.

    Raises:
        ConfigError: There is no step, or no trajectory.
        EnvironmentFault: There is no room; the estimate is told.
    """
    if count < 1 or steps < 1:
        raise ConfigError(f"A dataset has trajectories of some steps, got {count} of {steps}.")
    numbers = steps * _state(drawn_by) * REAL
    piece = together(drawn_by, count)  # of a system also those that nobody asked for
    at_once = 1 if workers < 2 else AHEAD * workers + 1
    memory, limit = piece * numbers * (COPIES + at_once - 1), budget()
    what = f"{count} trajectories of {steps} steps"
    if memory > limit:
        raise EnvironmentFault(
            f"{path}: {piece} of {what} at a time would take about {told(memory)} of memory, "
            f"{told(limit)} may be used now. Take fewer --steps or --workers, or a larger machine."
        )
    kept = 1 if piece >= count else 2  # the pieces are there until the file is complete
    refuse_disk(path, kept * STORED * count * numbers, "Take fewer --count or --steps, or")


def refuse_in_memory(drawn_by: DatasetGenerator, count: int, steps: int) -> None:
    """Refuse to draw trajectories that all stay in memory, where it has no room for them.

    Raises:
        EnvironmentFault: There is no room; the estimate is told.
    """
    numbers, limit = max(0, steps) * _state(drawn_by) * REAL, budget()
    memory = (STORED * max(0, count) + COPIES * together(drawn_by, count)) * numbers
    if memory > limit:
        raise EnvironmentFault(
            f"{count} trajectories of {steps} steps, drawn into memory by "
            f"{type(drawn_by).__name__}, would take about {told(memory)}, {told(limit)} may be "
            "used now. Take a smaller count or fewer steps, or a larger machine."
        )


def refuse_disk(path: Path, size: int, hint: str) -> None:
    """Refuse a file that the disk has no room for.

    Raises:
        EnvironmentFault: It has none; the estimate is told.
    """
    folder = next((one for one in path.absolute().parents if one.is_dir()), Path("."))
    free = shutil.disk_usage(folder).free
    if size > free:
        raise EnvironmentFault(
            f"{path} would take about {told(size)}, {folder} has {told(free)} left. {hint} write "
            "elsewhere."
        )


def _state(drawn_by: DatasetGenerator) -> int:
    """Numbers of a state of the first trajectory; one where only drawing would tell."""
    if not isinstance(drawn_by, System):
        return 1
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return drawn_by.start(random(0, 0))[0].numel()
    finally:
        torch.set_default_dtype(before)
