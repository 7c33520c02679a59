"""Tables in pieces of whole trajectories; Parquet files and flat arrays as tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simlearn.component import DataError, EnvironmentFault
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


def named(cells: Sequence[str], path: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names and units of the columns of a header.

    Raises:
        DataError: Two columns have one name, or one has none.
    """
    split = [units.split_header(cell) for cell in cells]
    names = tuple(name for name, _ in split)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice or "" in names:
        what = f"two columns named {twice[0]!r}" if twice else "a column without a name"
        raise DataError(f"{path}, line 1: {what}. Give every column a name of its own.")
    return names, {name: unit for name, unit in split if unit is not None}


def open_parquet(path: Path) -> Source:
    """Look at the schema of a Parquet file.

    Raises:
        EnvironmentFault: pyarrow is not installed.
        DataError: It is no Parquet file, or a column holds no numbers.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise EnvironmentFault(
            "Reading Parquet needs pyarrow: pip install simlearn[parquet]"
        ) from error
    try:
        file = parquet.ParquetFile(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is no Parquet file that can be read: {error}.") from error
    raw = list(file.schema_arrow.names)
    names, found = named(raw, path)

    def read(columns: Columns, rows: int) -> Iterator[tuple[pd.DataFrame, int]]:
        used = [k for k, name in enumerate(names) if name in set(columns.used())]
        first = 0
        for batch in file.iter_batches(rows, columns=[raw[k] for k in used]):
            frame = batch.to_pandas()
            frame.columns = [names[k] for k in used]
            yield _numbers(frame, columns, path), first
            first += len(frame)

    return Source(path, names, raw, found, 8 * file.metadata.num_rows * len(names), read, "row")


def _numbers(frame: pd.DataFrame, columns: Columns, path: Path) -> pd.DataFrame:
    for name in frame.columns:
        kind = "str" if name in (columns.node, columns.system) else "float64"
        try:
            frame[name] = frame[name].astype(kind)
        except (TypeError, ValueError) as error:
            raise DataError(f"{path}, column {name}: no numbers ({error}).") from error
    return frame


def tables(source: Source, columns: Columns, budget: int | None = None) -> Iterator[Table]:
    """The table in pieces of whole trajectories: in one where memory allows it.

    A table that is larger is read on and handed over whenever the system column changes.

    Raises:
        EnvironmentFault: A single trajectory does not fit into memory; the estimate is told.
        DataError: A large table comes back to a system that it has left.
    """
    budget = memory.budget() if budget is None else budget
    row = 8 * max(1, len(list(columns.used())))
    share = source.bytes * len(list(columns.used())) // max(1, len(source.names))
    if memory.COPIES * share <= budget:
        frames = list(source.read(columns, max(1000, PIECE_BYTES // row)))
        yield from _joined(frames, source)
        return
    if columns.system is None:
        memory.refuse(source.path, memory.COPIES * share, budget, "one trajectory")
    yield from _streamed(source, columns, budget, row)


def _joined(frames: Sequence[tuple[pd.DataFrame, int]], source: Source) -> Iterator[Table]:
    import pandas as pd

    if not frames:
        return
    lines = np.concatenate([first + np.arange(len(frame)) for frame, first in frames])
    whole = pd.concat([frame for frame, _ in frames], ignore_index=True)
    blank = whole.isna().all(axis=1).to_numpy()
    whole, lines = whole[~blank].reset_index(drop=True), lines[~blank]
    if len(whole):
        yield Table(whole, lines, source.path, source.unit)


def _streamed(source: Source, columns: Columns, budget: int, row: int) -> Iterator[Table]:
    pending: list[tuple[pd.DataFrame, int]] = []
    held, current, done = 0, None, set[Any]()
    for frame, first in source.read(columns, max(1000, min(PIECE_BYTES, budget // 8) // row)):
        ids = frame[columns.system].to_numpy(dtype=object)
        cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(frame)]
        for start, stop in pairwise(cuts):
            if ids[start] != current:
                yield from _joined(pending, source)
                pending, held = [], 0
                done.add(current)
                current = ids[start]
                if current in done:
                    raise DataError(
                        f"{source.path}, {source.unit} {first + start}: the table comes back to "
                        f"system {current!r}. It is too large for memory "
                        f"({memory.told(memory.COPIES * source.bytes)}), so its trajectories must "
                        "stand one after another: sort it by the system column."
                    )
            pending.append((frame.iloc[start:stop], first + start))
            held += (stop - start) * row
            if memory.COPIES * held > budget:
                memory.refuse(
                    source.path, memory.COPIES * held, budget, f"system {current!r} alone"
                )
    yield from _joined(pending, source)


def flat(arrays: dict[str, np.ndarray], path: Path) -> Source:
    """A table from arrays of one length, such as an npz file with a system column."""
    import pandas as pd

    columns: dict[str, np.ndarray] = {}
    for name, value in arrays.items():
        wide = value.reshape(len(value), -1)
        if wide.shape[1] == 1:
            columns[name] = wide[:, 0]
        else:
            columns.update({f"{name}[{k}]": wide[:, k] for k in range(wide.shape[1])})
    frame = pd.DataFrame(columns)

    def read(chosen: Columns, rows: int) -> Iterator[tuple[pd.DataFrame, int]]:
        yield _numbers(frame[[n for n in frame if n in set(chosen.used())]].copy(), chosen, path), 0

    return Source(path, list(columns), list(columns), {}, frame.memory_usage().sum(), read, "row")
