"""Rows of a table become trajectories: grouped by system, spread over nodes, checked in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from simlearn.component import DataError
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.settled import Settled
from simlearn.data.importing.tables import Table

Place = Callable[[int, int, str], str]


@dataclass
class Sample:
    """One trajectory as it was found; what is missing is NaN.

    Attributes:
        t: ``[steps]``.
        parts: "x" ``[steps, rows, dim]``, and "derivative" and "inputs" where they are there.
        system_attr: ``[s]`` parameters of the whole system.
        node_attr: ``[rows, a]`` parameters of the nodes.
        nodes: Labels of the rows; empty for a vector system.
        place: Where sample k of row i stands in the file, for messages.
    """

    t: np.ndarray
    parts: dict[str, np.ndarray]
    place: Place
    system_attr: np.ndarray | None = None
    node_attr: np.ndarray | None = None
    nodes: Sequence[str] = ()


def samples(table: Table, columns: Columns, settled: Settled) -> Iterator[Sample]:
    """The trajectories of a table, in the order in which they begin."""
    labels, node = settled.nodes_of(table, columns.node)
    settled.parameters_of(table, columns)
    for index in _systems(table, columns):
        kept, node_of = np.unique(node[index], return_inverse=True)
        mine = [labels[k] for k in kept] if labels else []
        yield _sample(table, index, columns, mine, node_of, settled)


def _systems(table: Table, columns: Columns) -> Iterator[np.ndarray]:
    """Rows of each system, in the order of the table."""
    if columns.system is None:
        yield np.arange(len(table.frame))
        return
    codes, _ = table.frame[columns.system].factorize()
    order = np.argsort(codes, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def _sample(
    table: Table,
    index: np.ndarray,
    columns: Columns,
    labels: list[str],
    node: np.ndarray,
    settled: Settled,
) -> Sample:
    """One system: its rows of the table, as arrays over time and nodes."""
    t, step = _times(table, index, columns, labels, node)
    at = np.full((len(t), len(labels) or 1), -1)
    at[step, node] = np.arange(len(index))
    absent = at < 0

    def spread(names: Sequence[str]) -> np.ndarray:
        values = [table.frame[name].to_numpy()[index][at] for name in names]
        out = np.stack(values, axis=2) if values else np.zeros((*at.shape, 0))
        out[absent] = np.nan
        return out

    def place(k: int, row: int, column: str) -> str:
        if columns.wide:
            row, column = 0, column or columns.state[row]
        if at[k, row] < 0:
            return f"{table.path}, node {labels[row]} at t = {t[k]:g} (there is no such row)"
        return table.place(int(index[at[k, row]]), column)

    parts = {"x": spread(columns.components)}
    for name, used in (("derivative", columns.derivative), ("inputs", columns.inputs)):
        if used:
            parts[name] = spread(used)
    values = _constants(spread(columns.parameters), columns, place)
    system_attr, node_attr = settled.split(values, columns) if columns.parameters else (None, None)
    if columns.wide:
        labels = list(columns.state)
        for name, value in parts.items():
            each = name == "inputs"
            parts[name] = np.repeat(value, len(labels), 1) if each else value.swapaxes(1, 2)
    return Sample(t, parts, place, system_attr, node_attr, labels)


def _times(
    table: Table, index: np.ndarray, columns: Columns, labels: Sequence[str], node: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Times of the samples, and the sample of each row of the table.

    Raises:
        DataError: A time is missing, does not grow, or occurs twice.
    """
    order = np.argsort(node, kind="stable")
    inside = np.diff(node[order]) == 0  # the next row of the same node
    if columns.time is None:
        assert columns.dt is not None
        starts = np.flatnonzero(np.concatenate([[True], ~inside]))
        step = np.empty(len(index), np.int64)
        lengths = np.diff(np.append(starts, len(index)))
        step[order] = np.arange(len(index)) - np.repeat(starts, lengths)
        return columns.dt * np.arange(int(step.max()) + 1), step
    t = table.frame[columns.time].to_numpy()[index]
    bad = np.flatnonzero(~np.isfinite(t))
    if len(bad):
        place = table.place(int(index[bad[0]]), columns.time)
        raise DataError(f"{place}: the time is {_word(t[bad[0]])}.")
    back = np.flatnonzero((np.diff(t[order]) <= 0) & inside)
    if len(back):
        first = int(back[np.argmin(order[back + 1])])
        before, now = float(t[order[first]]), float(t[order[first + 1]])
        how = "occurs twice" if now == before else f"comes after {before!r}"
        who = f" of node {labels[node[order[first]]]}" if labels else ""
        raise DataError(
            f"{table.place(int(index[order[first + 1]]), columns.time)}: the time {now!r}{who} "
            f"{how}. Times must grow; sort the rows, remove doubles, or name the column that tells "
            "trajectories apart with --system, that of nodes with --node."
        )
    if len(labels) < 2:
        return t, np.arange(len(t))
    unique, step = np.unique(t, return_inverse=True)
    return unique, step


def _word(time: float) -> str:
    return "missing" if np.isnan(time) else "infinite"


def _constants(values: np.ndarray, columns: Columns, place: Place) -> np.ndarray:
    """Constants of the nodes ``[rows, a]`` from what each sample says.

    Raises:
        DataError: A parameter changes in time, is missing or infinite.
    """
    for k, name in enumerate(columns.parameters):
        column = values[:, :, k]
        first = np.where(np.isnan(column), len(column), np.arange(len(column))[:, None]).min(0)
        if (first == len(column)).any():
            row = int(np.flatnonzero(first == len(column))[0])
            raise DataError(f"{place(0, row, name)}: the parameter {name} is missing.")
        kept = column[first, np.arange(column.shape[1])]
        changed = np.argwhere(~np.isnan(column) & (column != kept))
        if len(changed):
            step, row = map(int, changed[0])
            raise DataError(
                f"{place(step, row, name)}: the parameter {name} changes from {kept[row]:g} to "
                f"{column[step, row]:g}. What changes in time is an input (--inputs) or a state."
            )
        if np.isinf(kept).any():
            row = int(np.flatnonzero(np.isinf(kept))[0])
            raise DataError(f"{place(int(first[row]), row, name)}: the parameter is infinite.")
        values[0, :, k] = kept
    return values[0]
