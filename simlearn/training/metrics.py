"""metrics.csv of a run: one table from the first step to the last, however often it was resumed."""

from __future__ import annotations

import contextlib
import csv
import errno
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

from simlearn.component import EnvironmentFault
from simlearn.training.durable import put

NAME = "metrics.csv"


class Metrics(Logger):
    """Appends what is logged to ``metrics.csv``.

    A checkpoint keeps how many rows there were, and those that were not written yet. A resumed
    training cuts off what came later, half a row, too, for it will write it again.

    Args:
        folder: The folder of the run.
    """

    def __init__(self, folder: str):
        super().__init__()
        self.folder = folder
        self.rows = 0
        self._path = Path(folder) / NAME
        self._columns: list[str] = []
        self._waiting: list[dict[str, Any]] = []
        self._begun = False
        self._fault: OSError | None = None

    @property
    def name(self) -> str:
        """No folder below that of the run."""
        return ""

    @property
    def version(self) -> str:
        """No folder below that of the run."""
        return ""

    @property
    def save_dir(self) -> str:
        """The folder of the run."""
        return self.folder

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """config.yaml holds them."""

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take note of a row."""
        row = {**metrics, "step": self.rows if step is None else step}
        self._waiting.append({str(name): _plain(value) for name, value in row.items()})
        self.rows += 1

    @rank_zero_only  # type: ignore[untyped-decorator]
    def save(self) -> None:
        """Write the rows that wait; where that fails, they wait on, and no half row stays."""
        if not self._waiting:
            return
        named = {name for row in self._waiting for name in row}
        try:
            if not self._begun or not named <= set(self._columns):
                columns, before = self._read() if self._begun else ([], [])
                columns = sorted({*self._columns, *columns, *named})
                put(self._path, _text(columns, [*before, *self._waiting], head=True))
                self._columns = columns
            else:
                self._append(_text(self._columns, self._waiting))
        except OSError as error:
            self._fault = error
        else:
            self._waiting, self._begun, self._fault = [], True, None

    def refuse_lost(self) -> None:
        """Do not go on as if nothing were: called when what waits is kept in a checkpoint.

        Raises:
            EnvironmentFault: Rows wait because the table cannot be written.
        """
        if self._fault is not None:
            raise EnvironmentFault(
                f"{self._path} could not be written: {self._fault.strerror or self._fault}. "
                f"{len(self._waiting)} rows are missing there; a checkpoint keeps them, so that "
                "they are written when the training is resumed. Make room or give write access."
            ) from self._fault

    def standing(self) -> tuple[int, list[dict[str, Any]]]:
        """How many rows of the table are on the disk, and those that wait: for a checkpoint."""
        if self._begun:
            with contextlib.suppress(OSError), self._path.open("rb") as file:
                os.fsync(file.fileno())
        return self.rows - len(self._waiting), list(self._waiting)

    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.save()
        if status == "success":
            self.refuse_lost()

    @rank_zero_only  # type: ignore[untyped-decorator]
    def go_on(self, rows: int, waiting: Sequence[Mapping[str, Any]] = ()) -> None:
        """Keep so many rows of the table that is there; others wait to be written."""
        if self._path.is_file():
            self._columns, found = self._read()
            put(self._path, _text(self._columns, found[:rows], head=True))
            self.rows, self._begun = len(found[:rows]), True
        for row in waiting:
            self._waiting.append({str(name): _plain(value) for name, value in row.items()})
            self.rows += 1

    def _append(self, body: bytes) -> None:
        with self._path.open("ab", buffering=0) as file:
            size = file.tell()
            try:
                if (written := file.write(body)) != len(body):
                    raise OSError(errno.ENOSPC, f"only {written} of {len(body)} bytes fit")
            except OSError:
                os.ftruncate(file.fileno(), size)
                raise

    def _read(self) -> tuple[list[str], list[dict[str, Any]]]:
        with self._path.open(newline="", encoding="utf-8", errors="replace") as file:
            reader = csv.DictReader(file)
            return sorted(reader.fieldnames or ()), list(reader)


def _text(columns: Sequence[str], rows: Sequence[Mapping[str, Any]], head: bool = False) -> bytes:
    """Rows as they stand in the table, below its head where that is asked for."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns)
    if head:
        writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _plain(value: Any) -> Any:
    """Numbers and text, which a checkpoint can keep."""
    if value is None or isinstance(value, str) or type(value) in (int, bool, float):
        return value
    return float(value)
