"""Arrays of one length with an array that names systems: a table in another dress."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from simlearn.component import DataError
from simlearn.data.importing import memory
from simlearn.data.importing.binary import numbers
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.containers import Arrays
from simlearn.data.importing.guessing import SEVERAL
from simlearn.data.importing.tables import Source
from simlearn.data.layout import texts

if TYPE_CHECKING:
    import pandas as pd


def flat(arrays: Arrays, columns: Columns, path: Path, where: str) -> tuple[Source, Columns]:
    """The table of the arrays in use, and the map with one name for each of its columns.

    Raises:
        DataError: The arrays differ in length.
        EnvironmentFault: They would not fit into memory.
    """
    used = list(columns.used())
    size = memory.COPIES * sum(8 * int(np.prod(arrays[n].shape)) for n in used)
    if size > memory.budget():
        memory.refuse(path, size, memory.budget(), "the arrays")
    length = arrays[str(columns.system)].shape
    _one_each(arrays, columns, where)
    spread: dict[str, Sequence[str]] = {}
    held: dict[str, np.ndarray] = {}
    for name in used:
        shape = arrays[name].shape
        if len(shape) not in (1, 2) or shape[:1] != length:
            raise DataError(
                f"{where}: {name} has the shape {list(shape)}, {columns.system} {list(length)}. "
                "With an array of systems, every array has one entry (or one row) for each sample."
            )
        value = _plain(arrays[name]).reshape(len(arrays[name]), -1)
        spread[name] = [name] if len(shape) == 1 else [f"{name}[{k}]" for k in range(shape[1])]
        held.update(zip(spread[name], value.T, strict=True))
    return _source(held, path), _widened(columns, spread)


def _one_each(arrays: Arrays, columns: Columns, where: str) -> None:
    """Refuse times or names of systems and nodes that are not one for each sample.

    Raises:
        DataError: They are not.
    """
    first = arrays[columns.state[0]].shape
    length = arrays[str(columns.system)].shape
    if len(length) == 1 and len(first) > 1 and first[:1] == length:
        times: tuple[int, ...] = arrays[columns.time].shape if columns.time is not None else ()
        if times != length and len(times) in (1, 2) and times[-1] == first[1]:
            raise DataError(
                f"{where}: {columns.system} has one entry for each trajectory of "
                f"{columns.state[0]} {list(first)}, not one for each sample. Such arrays need no "
                f"names of systems: leave {columns.system} out of the file, or make it a "
                "parameter (--parameters)."
            )
    for name in (columns.time, columns.node, columns.system):
        if name is not None and len(arrays[name].shape) != 1:
            raise DataError(
                f"{where}: {name} has the shape {list(arrays[name].shape)}; with an array of "
                f"systems ({columns.system}) it is one number for each sample, [samples]."
            )


def _source(held: dict[str, np.ndarray], path: Path) -> Source:
    import pandas as pd

    frame = pd.DataFrame(held)

    def read(columns: Columns, rows: int) -> Iterator[tuple[pd.DataFrame, int]]:
        for first in range(0, len(frame), rows):
            yield numbers(frame.iloc[first : first + rows].copy(), columns, path, first), first

    return Source(path, list(held), list(held), {}, 8 * frame.size, read, "row")


def _plain(array: Any) -> np.ndarray:
    """The values, text as text."""
    if isinstance(array, h5py.Dataset) and h5py.check_string_dtype(array.dtype):
        return np.asarray(texts(array))
    value = np.asarray(array[()])
    return np.char.decode(value, "utf-8") if value.dtype.kind == "S" else value


def _widened(columns: Columns, spread: dict[str, Sequence[str]]) -> Columns:
    changes: dict[str, Any] = {
        part: tuple(wide for name in getattr(columns, part) for wide in spread[name])
        for part in SEVERAL
    }
    told = {w: u for name, u in columns.units.items() for w in spread.get(name, [name])}
    return replace(columns, units=told, **changes).counted()
