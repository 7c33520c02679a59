"""Rows of a table become trajectories: grouped by system, spread over nodes, checked in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from simlearn.component import DataError
from simlearn.data.importing.columns import Columns
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


def samples(table: Table, columns: Columns) -> Iterator[Sample]:
    """The trajectories of a table, in the order in which they begin."""
    frame = table.frame
    if columns.system is None:
        yield _sample(table, np.arange(len(frame)), columns)
        return
    missing = np.flatnonzero(frame[columns.system].isna().to_numpy())
    if len(missing):
        raise DataError(f"{table.place(int(missing[0]), columns.system)}: the system is missing.")
    for index in frame.groupby(columns.system, sort=False).indices.values():
        yield _sample(table, index, columns)


def _sample(table: Table, index: np.ndarray, columns: Columns) -> Sample:
    """One system: its rows of the table, as arrays over time and nodes."""
    labels, node = _nodes(table, index, columns)
    t, step = _times(table, index, columns, len(labels) or 1, node)
    at = np.full((len(t), len(labels) or 1), -1)
    order = np.arange(len(index))
    at[step, node] = order
    _unique(table, index, columns, at[step, node] != order, labels, node)

    def spread(names: Sequence[str]) -> np.ndarray:
        values = table.frame[list(names)].to_numpy()[index]
        out = values[at]
        out[at < 0] = np.nan
        return out

    def place(k: int, row: int, column: str) -> str:
        if columns.wide:
            row, column = 0, column or columns.state[row]
        if at[k, row] < 0:
            return f"{table.path}, node {labels[row]} at t = {t[k]:g} (there is no such row)"
        return table.place(int(index[at[k, row]]), column)

    parts = {"x": spread(columns.components)}
    if columns.wide:
        parts["x"] = parts["x"].swapaxes(1, 2)
        labels = list(columns.state)
    for name, used in (("derivative", columns.derivative), ("inputs", columns.inputs)):
        if used:
            parts[name] = spread(used)
            if columns.wide and name == "derivative":
                parts[name] = parts[name].swapaxes(1, 2)
            elif columns.wide:
                parts[name] = np.repeat(parts[name], len(labels), axis=1)
    system_attr, node_attr = _parameters(spread(columns.parameters), columns, place)
    return Sample(t, parts, place, system_attr, node_attr, labels)


def _nodes(table: Table, index: np.ndarray, columns: Columns) -> tuple[list[str], np.ndarray]:
    """Labels of the nodes, numbers in their order and names as they come, and each row's node."""
    if columns.node is None:
        return [], np.zeros(len(index), np.int64)
    column = table.frame[columns.node].iloc[index]
    if column.isna().any():
        first = int(index[np.flatnonzero(column.isna().to_numpy())[0]])
        raise DataError(f"{table.place(first, columns.node)}: the node is missing.")
    codes, found = column.factorize()
    labels = [_label(name) for name in found]
    if all(_whole(label) for label in labels):
        order = np.argsort([int(label) for label in labels], kind="stable")
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return [labels[k] for k in order], back[codes]
    return labels, np.asarray(codes)


def _label(name: object) -> str:
    text = str(name)
    return text[:-2] if text.endswith(".0") and _whole(text[:-2]) else text


def _whole(label: str) -> bool:
    return label.isascii() and label.removeprefix("-").isdigit()


def _times(
    table: Table, index: np.ndarray, columns: Columns, nodes: int, node: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Times of the samples, and the sample of each row of the table.

    Raises:
        DataError: A time is missing, does not grow, or occurs twice.
    """
    if columns.time is None:
        count = np.zeros(nodes, np.int64)
        step = np.empty(len(index), np.int64)
        for k, n in enumerate(node):
            step[k] = count[n]
            count[n] += 1
        assert columns.dt is not None
        return columns.dt * np.arange(int(step.max()) + 1), step
    t = table.frame[columns.time].to_numpy()[index]
    bad = np.flatnonzero(~np.isfinite(t))
    if len(bad):
        place = table.place(int(index[bad[0]]), columns.time)
        raise DataError(f"{place}: the time is {t[bad[0]]}.")
    if nodes > 1:
        unique, step = np.unique(t, return_inverse=True)
        back = [_backward(t[node == n]) for n in range(nodes)]
        first = next(
            (np.flatnonzero(node == n)[k] for n, k in enumerate(back) if k is not None), None
        )
    else:
        unique, step, first = t, np.arange(len(t)), _backward(t)
    if first is not None:
        before = float(t[:first][node[:first] == node[first]][-1])
        how = "occurs twice" if t[first] == before else f"comes after {before:g}"
        raise DataError(
            f"{table.place(int(index[first]), columns.time)}: the time {t[first]:g} {how}. Times "
            "must grow; sort the rows, remove doubles, or name the column that tells trajectories "
            "apart with --system."
        )
    return unique, step


def _backward(t: np.ndarray) -> int | None:
    """Index of the first time that is not after the one before."""
    wrong = np.flatnonzero(np.diff(t) <= 0)
    return int(wrong[0]) + 1 if len(wrong) else None


def _unique(
    table: Table,
    index: np.ndarray,
    columns: Columns,
    doubled: np.ndarray,
    labels: Sequence[str],
    node: np.ndarray,
) -> None:
    if doubled.any():
        k = int(np.flatnonzero(doubled)[0])
        who = f" of node {labels[node[k]]}" if labels else ""
        raise DataError(
            f"{table.place(int(index[k]), columns.time or '')}: a second sample{who} at the same "
            "time. Remove one of them."
        )


def _parameters(
    values: np.ndarray, columns: Columns, place: Place
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Constants of the system ``[s]`` and of its nodes ``[rows, a]``.

    Raises:
        DataError: A parameter changes in time, or is missing.
    """
    if not columns.parameters:
        return None, None
    for k, name in enumerate(columns.parameters):
        column = values[:, :, k]
        first = np.where(np.isnan(column), np.inf, np.arange(len(column))[:, None]).min(0)
        if not np.isfinite(first).all():
            row = int(np.flatnonzero(~np.isfinite(first))[0])
            raise DataError(f"{place(0, row, name)}: the parameter {name} is missing.")
        kept = column[first.astype(int), np.arange(column.shape[1])]
        changed = np.argwhere(~np.isnan(column) & (column != kept))
        if len(changed):
            step, row = map(int, changed[0])
            raise DataError(
                f"{place(step, row, name)}: the parameter {name} changes from {kept[row]:g} to "
                f"{column[step, row]:g}. What changes in time is an input (--inputs) or a state."
            )
        values[0, :, k] = kept
    start = values[0]
    same = (start == start[:1]).all(0)
    if same.all():
        return start[0], None
    return (start[0][same] if same.any() else None), start[:, ~same]
