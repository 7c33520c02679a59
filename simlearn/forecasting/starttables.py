"""A start as a table: one row a node, its columns called as in the training data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.data.importing.columns import Columns, state_names
from simlearn.data.importing.guessing import GUESSES
from simlearn.data.importing.tables import Source, Table, tables
from simlearn.data.importing.texts import Format, open_csv

NODE = rf"{GUESSES['node']}|name|label|id"
SHOWN = 8
Parts = tuple[Tensor, Sequence[str], Mapping[str, Tensor], float]


def table(path: Path, dim: int, columns: Mapping[str, Any], more: int) -> Parts:
    """States ``[rows, dim]``, names of the rows, what else stands there by name, and the time.

    Where the simulator was trained on wide tables, a single row without a node column is one too:
    every column is a node.

    Raises:
        DataError: It cannot be read, or its columns are not those of a state.
    """
    source = open_csv(path, Format())
    node = columns.get("node")
    if node not in source.names:
        node = next((n for n in source.names if re.fullmatch(NODE, n, re.IGNORECASE)), None)
    if node is None and len(source.names) > 1 and not _is_number(source, source.names[0]):
        node = source.names[0]
    rest = [name for name in source.names if name != node]
    used = Columns(node=node, state=rest, time=None, dt=1.0)
    (held,) = list(tables(source, used))
    clock = columns.get("time")
    clock = clock if clock in rest else next((n for n in rest if _is(n, "time")), None)
    t = 0.0 if clock is None else _one_time(held, clock)
    rest = [n for n in rest if n != clock and not _is(n, "system")]
    if node is None and columns.get("wide") and len(held.frame) == 1:
        return torch.from_numpy(_numbers(held, rest).T.copy()), rest, {}, t
    own = _state_columns(path, rest, dim, columns, more)
    names = [] if node is None else _names(held, node)
    frame = held.frame
    others = {n: torch.from_numpy(np.array(frame[n], np.float64)) for n in rest if n not in own}
    return torch.from_numpy(_numbers(held, own)), names, others, t


def _is_number(source: Source, name: str) -> bool:
    """Whether a column holds numbers; names of nodes do not."""
    try:
        list(tables(source, Columns(state=[name], dt=1.0)))
    except DataError:
        return False
    return True


def _is(name: str, part: str) -> bool:
    return re.fullmatch(GUESSES[part], name, re.IGNORECASE) is not None


def _one_time(table: Table, clock: str) -> float:
    times = table.frame[clock].to_numpy(float)
    if not np.isfinite(times).all() or (times != times[0]).any():
        raise DataError(
            f"{table.path}: a start is one state at one time; {clock} goes from "
            f"{np.nanmin(times):g} to {np.nanmax(times):g}. Keep the rows of one time."
        )
    return float(times[0])


def _names(table: Table, node: str) -> list[str]:
    cells = table.frame[node]
    missing = np.flatnonzero(cells.isna().to_numpy(bool))
    if len(missing):
        raise DataError(f"{table.place(int(missing[0]), node)}: the node is missing.")
    names = [name_of(cell) for cell in cells]
    twice = np.flatnonzero(cells.duplicated().to_numpy(bool))
    if len(twice):
        place = table.place(int(twice[0]), node)
        raise DataError(f"{place}: the node {names[twice[0]]} stands there twice. Remove one row.")
    return names


def name_of(cell: object) -> str:
    """The name of a node as a graph calls it: 7, not 7.0."""
    text = cell.decode() if isinstance(cell, bytes) else str(cell)
    return text[:-2] if re.fullmatch(r"-?\d+\.0", text) else text


def _state_columns(
    path: Path, rest: Sequence[str], dim: int, columns: Mapping[str, Any], more: int
) -> Sequence[str]:
    """Which columns are the state.

    Raises:
        DataError: They are not as many as the simulator has.
    """
    called = state_names(columns, dim)
    if all(name in rest for name in called):
        return called
    if dim == 1 and "x" in rest:
        return ["x"]
    known = columns.get("parameters") or []
    left = [name for name in rest if name not in known]
    if more and not known and len(left) == dim + more:
        return left[:dim]
    if len(left) != dim:
        wanted = ", ".join(called) if columns else f"{dim} columns"
        shown = ", ".join([*rest[:SHOWN], *(["..."] if len(rest) > SHOWN else [])])
        raise DataError(
            f"{path} has the columns {shown or '(none)'}; the state of a node is {wanted}, one row "
            "for each node."
        )
    return left


def _numbers(table: Table, names: Sequence[str]) -> np.ndarray:
    """Finite numbers of some columns, ``[rows, columns]``."""
    values = table.frame[list(names)].to_numpy(float)
    wrong = np.argwhere(~np.isfinite(values))
    if len(wrong):
        row, column = map(int, wrong[0])
        raise DataError(
            f"{table.place(row, names[column])}: the state is {values[row, column]}; a start has "
            "finite numbers."
        )
    return np.array(values, np.float64)
