"""metrics.csv of a run: one table from the first step to the last, however often it was resumed."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities.rank_zero import rank_zero_only

NAME = "metrics.csv"


class Metrics(Logger):
    """Appends what is logged to ``metrics.csv``.

    A checkpoint keeps how many rows there were. A resumed training cuts off those that came later,
    for it will write them again.

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
        self._waiting.append({**metrics, "step": self.rows if step is None else step})
        self.rows += 1

    @rank_zero_only  # type: ignore[untyped-decorator]
    def save(self) -> None:
        """Write the rows that wait."""
        if not self._waiting:
            return
        named = {name for row in self._waiting for name in row}
        if not self._begun or not named <= set(self._columns):
            before = self._read() if self._begun else []
            self._columns = sorted({*self._columns, *named})
            self._write([*before, *self._waiting])
        else:
            with self._path.open("a", newline="", encoding="utf-8") as file:
                csv.DictWriter(file, self._columns).writerows(self._waiting)
        self._waiting, self._begun = [], True

    def finalize(self, status: str) -> None:
        """Write what is left."""
        self.save()

    @rank_zero_only  # type: ignore[untyped-decorator]
    def go_on(self, rows: int) -> None:
        """Keep so many rows of the table that is there."""
        if self._path.is_file():
            kept = self._read()[:rows]
            self._write(kept)
            self.rows, self._begun = len(kept), True

    def _read(self) -> list[dict[str, Any]]:
        with self._path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            self._columns = sorted({*self._columns, *(reader.fieldnames or ())})
            return list(reader)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        """The whole table, under its name only when it is complete."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_name(f".{NAME}.{os.getpid()}.partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(rows)
        partial.replace(self._path)
