"""Tables in pieces of whole trajectories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simlearn.component import DataError
from simlearn.data.importing import memory, units
from simlearn.data.importing.columns import Columns

if TYPE_CHECKING:
    import pandas as pd

PIECE_BYTES = 1 << 26  # of text


@dataclass(frozen=True)
class Table:
    """Rows of one file that hold whole trajectories, under names without units.

    Attributes:
        frame: The rows; numbers as float64, ids as text.
        lines: Line (or row) of the file of each row.
        path: The file.
        unit: "line" of a text or "row" of a binary table.
    """

    frame: pd.DataFrame
    lines: np.ndarray
    path: Path
    unit: str = "line"

    def at(self, index: np.ndarray | slice) -> Table:
        """Some of the rows."""
        frame = self.frame.iloc[index].reset_index(drop=True)
        return Table(frame, self.lines[index], self.path, self.unit)

    def place(self, index: int, column: str = "") -> str:
        """File, line and column of a row, for messages."""
        where = f"{self.path}, {self.unit} {self.lines[index]}"
        return f"{where}, column {column}" if column else where


@dataclass(frozen=True)
class Source:
    """An open table: its header, and a way to read it.

    Attributes:
        path: The file.
        names: Names of the columns without units.
        raw: Names as they stand in the header.
        units: Units that stand in the header.
        bytes: Estimated size of all numbers in memory.
        read: Frames of so many rows, with the number of the first line of each.
        unit: "line" or "row".
    """

    path: Path
    names: Sequence[str]
    raw: Sequence[str]
    units: dict[str, str]
    bytes: int
    read: Callable[[Columns, int], Iterator[tuple[pd.DataFrame, int]]]
    unit: str = "line"


def named(cells: Sequence[str], where: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names and units of the columns of a header.

    Raises:
        DataError: Two columns have one name, or one has none.
    """
    split = [units.split_header(cell) for cell in cells]
    names = tuple(name for name, _ in split)
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice or "" in names:
        what = f"two columns named {twice[0]!r}" if twice else "a column without a name"
        raise DataError(f"{where}: {what}. Give every column a name of its own.")
    return names, {name: unit for name, unit in split if unit is not None}


def tables(source: Source, columns: Columns, budget: int | None = None) -> Iterator[Table]:
    """The table in pieces of whole trajectories: in one where memory allows it.

    A table that is larger is read on and handed over whenever the system column changes.

    Raises:
        EnvironmentFault: A single trajectory does not fit into memory; the estimate is told.
        DataError: A large table comes back to a system that it has left, or there is no row.
    """
    budget = memory.budget() if budget is None else budget
    ids = sum(name is not None for name in (columns.node, columns.system))
    width = len(list(columns.used())) + (memory.TEXT - 1) * ids
    share = memory.COPIES * (source.bytes * width // max(1, len(source.names)))
    rows = max(1000, min(PIECE_BYTES, budget // 8) // (8 * width))
    pieces = _pieces(source, columns, rows)
    if share <= budget:
        pieces = iter([_joined(list(pieces), source)])
    elif columns.system is None:
        memory.refuse(source.path, share, budget, "one trajectory")
    else:
        pieces = _streamed(pieces, source, columns.system, budget, 8 * width, share)
    empty = True
    for table in pieces:
        if len(table.frame):
            empty = False
            yield table
    if empty:
        raise DataError(f"{source.path} has a header and no row.")


def _pieces(source: Source, columns: Columns, rows: int) -> Iterator[Table]:
    """Frames as they come, without blank lines.

    Raises:
        DataError: A row names no system.
    """
    key = columns.time or columns.system
    for frame, first in source.read(columns, rows):
        table = Table(frame, first + np.arange(len(frame)), source.path, source.unit)
        if key is not None and frame[key].isna().any():
            table = table.at(np.flatnonzero(~frame.isna().all(axis=1).to_numpy(bool)))
        if columns.system is not None:
            missing = np.flatnonzero(table.frame[columns.system].isna().to_numpy(bool))
            if len(missing):
                place = table.place(int(missing[0]), columns.system)
                raise DataError(f"{place}: the system is missing.")
        yield table


def _joined(pieces: Sequence[Table], source: Source) -> Table:
    import pandas as pd

    if len(pieces) == 1:
        table = pieces[0]
    else:
        frames = [p.frame for p in pieces] or [pd.DataFrame()]
        lines = [p.lines for p in pieces] or [np.zeros(0, np.int64)]
        whole = pd.concat(frames, ignore_index=True)
        table = Table(whole, np.concatenate(lines), source.path, source.unit)
    if source.unit == "line" and len(table.frame) and table.frame.iloc[-1].isna().all():
        full = np.flatnonzero(~table.frame.isna().all(axis=1).to_numpy(bool))
        table = table.at(slice(0, int(full[-1]) + 1 if len(full) else 0))  # blank lines at the end
    return table


def _streamed(
    pieces: Iterator[Table], source: Source, system: str, budget: int, row: int, share: int
) -> Iterator[Table]:
    pending: list[Table] = []
    held, current, done = 0, None, set[Any]()
    for piece in pieces:
        ids = piece.frame[system].to_numpy(dtype=object)
        cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        for start, stop in pairwise(cuts if len(ids) else []):
            if ids[start] != current:
                if pending:
                    yield _joined(pending, source)
                pending, held = [], 0
                done.add(current)
                current = ids[start]
                if current in done:
                    raise DataError(
                        f"{piece.place(start, system)}: the table comes back to system "
                        f"{current!r}. It is too large for memory ({memory.told(share)}), so its "
                        "trajectories must stand one after another: sort it by the system column."
                    )
            pending.append(piece.at(slice(start, stop)))
            held += (stop - start) * row
            if memory.COPIES * held > budget:
                memory.refuse(
                    source.path, memory.COPIES * held, budget, f"system {current!r} alone"
                )
    if pending:
        yield _joined(pending, source)
