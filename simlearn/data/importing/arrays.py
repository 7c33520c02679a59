"""Arrays of many trajectories: what their axes mean, and one sample for each system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simlearn.component import ConfigError, DataError
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.containers import Arrays
from simlearn.data.importing.samples import Sample

AXES = ("system", "time", "node", "column")


@dataclass(frozen=True)
class _Placed:
    """An array with the meaning of its axes."""

    array: Any
    axes: Sequence[str]

    def count(self, axis: str) -> int | None:
        return int(self.array.shape[self.axes.index(axis)]) if axis in self.axes else None

    def of(self, system: int) -> np.ndarray:
        """``[time, node, column]`` of one system."""
        axes = list(self.axes)
        if "system" in axes:
            index = [slice(None)] * len(axes)
            value = self.array[(*index[: axes.index("system")], system)]
            axes.remove("system")
        else:
            value = self.array[()]
        value = np.asarray(value, np.float64)
        order = [axis for axis in AXES[1:] if axis in axes]
        value = value.transpose([axes.index(axis) for axis in order])
        for k, axis in enumerate(AXES[1:]):
            if axis not in order:
                value = np.expand_dims(value, k)
        return value


def samples(
    group: str, arrays: Arrays, columns: Columns, path: Path, axes: Sequence[str] | None
) -> Iterator[Sample]:
    """The trajectories of one group of arrays.

    Axes are read as (time), (time, column), (system, time, column) or (system, time, node, column),
    whichever fits the time; ``axes`` says it where that is ambiguous.

    Raises:
        ConfigError: The axes are ambiguous.
        DataError: Shapes do not fit.
    """
    where = f"{path}{':' + group if group else ''}"
    t = None if columns.time is None else _time(arrays[columns.time], where, columns.time)
    placed = {
        name: _placed(arrays[name], t, axes, where, name)
        for name in (*columns.components, *columns.derivative, *columns.inputs)
    }
    first = placed[columns.state[0]]
    systems = first.count("system") or 1
    for name, one in placed.items():
        if (one.count("system") or 1) != systems or one.count("time") != first.count("time"):
            raise DataError(
                f"{where}: {name} has the shape {list(one.array.shape)}, {columns.state[0]} "
                f"{list(first.array.shape)}; systems and times must agree."
            )
    steps = int(first.count("time") or 0)
    for number in range(systems):
        yield _one(number, arrays, columns, placed, t, steps, where)


def _time(array: Any, where: str, name: str) -> np.ndarray:
    t = np.asarray(array[()], np.float64)
    if t.ndim not in (1, 2):
        raise DataError(f"{where}: the time {name} is [time] or [system, time], got {t.shape}.")
    return t


def _placed(
    array: Any, t: np.ndarray | None, axes: Sequence[str] | None, where: str, name: str
) -> _Placed:
    shape = array.shape
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: {name} holds {array.dtype}; numbers are wanted.")
    if axes is not None:
        if len(axes) < len(shape) or set(axes) - set(AXES):
            raise ConfigError(
                f"--axes names {', '.join(AXES)} in the order of the array; got {axes}."
            )
        return _Placed(array, list(axes)[: len(shape)])
    known: dict[int, list[tuple[str, ...]]] = {
        1: [("time",)],
        2: [("time", "column"), ("system", "time")],
        3: [("system", "time", "column"), ("time", "node", "column")],
        4: [AXES],
    }
    fit = [o for o in known.get(len(shape), []) if _fits(shape, o, t)]
    if len(fit) != 1:
        told = "fits several ways" if fit else "does not fit the time"
        raise ConfigError(
            f"{where}: {name} with shape {list(shape)} {told}"
            f"{'' if t is None else f' of shape {list(t.shape)}'}. Say what its axes are, for "
            "example --axes system,time,node,column."
        )
    return _Placed(array, fit[0])


def _fits(shape: Sequence[int], axes: Sequence[str], t: np.ndarray | None) -> bool:
    if t is None:
        return axes in (("time",), ("time", "column"), ("system", "time", "column"), AXES)
    same = shape[axes.index("time")] == t.shape[-1]
    if t.ndim == 2:
        return same and "system" in axes and shape[axes.index("system")] == t.shape[0]
    return same


def _one(
    number: int,
    arrays: Arrays,
    columns: Columns,
    placed: Mapping[str, _Placed],
    t: np.ndarray | None,
    steps: int,
    where: str,
) -> Sample:
    if t is None:
        assert columns.dt is not None
        times = columns.dt * np.arange(steps)
    else:
        times = t if t.ndim == 1 else t[number]
    name_of = columns.time or "time"
    place = _place(where, number)
    wrong = np.flatnonzero(~np.isfinite(times))
    if len(wrong):
        raise DataError(f"{place(int(wrong[0]), 0, name_of)}: the time is {times[wrong[0]]}.")
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        k = int(back[0]) + 1
        raise DataError(
            f"{place(k, 0, name_of)}: the time {times[k]:g} comes after {times[k - 1]:g}; times "
            "must grow."
        )

    def joined(names: Sequence[str]) -> np.ndarray:
        return np.concatenate([placed[name].of(number) for name in names], axis=2)

    parts = {"x": joined(columns.components)}
    nodes = parts["x"].shape[1]
    for part, names in (("derivative", columns.derivative), ("inputs", columns.inputs)):
        if names:
            value = joined(names)
            parts[part] = np.repeat(value, nodes, 1) if value.shape[1] < nodes else value
    labels = [str(k) for k in range(nodes)] if nodes > 1 else []
    attributes = [_parameter(arrays[name], number, where, name) for name in columns.parameters]
    system_attr = np.concatenate(attributes) if attributes else None
    return Sample(times, parts, place, system_attr, None, labels)


def _parameter(array: Any, number: int, where: str, name: str) -> np.ndarray:
    value = np.asarray(array[()], np.float64)
    value = value.reshape(1, -1) if value.ndim == 0 else value.reshape(len(value), -1)
    if number >= len(value) and len(value) != 1:
        raise DataError(f"{where}: the parameter {name} has {len(value)} systems, {number} wanted.")
    return value[number if len(value) > 1 else 0]


def _place(where: str, number: int) -> Any:
    def place(step: int, row: int, column: str) -> str:
        return f"{where}, trajectory {number}, sample {step}, node {row}, {column or 'state'}"

    return place


def widths(arrays: Arrays, columns: Columns, found: Sample) -> Columns:
    """The map with one name for each column: an array of three columns gives three names."""

    def spread(names: Sequence[str], total: int) -> list[str]:
        if len(names) == total:
            return list(names)
        each = [_columns_of(arrays[name], len(names), total) for name in names]
        return [
            f"{name}[{k}]" if width > 1 else name
            for name, width in zip(names, each, strict=True)
            for k in range(width)
        ]

    dim = found.parts["x"].shape[2]
    half = dim // 2 if columns.second else dim
    inputs = found.parts["inputs"].shape[2] if columns.inputs else 0
    state = spread(columns.state, half)
    second = spread(columns.second, dim - half)
    part = "velocity" if columns.velocity else "momentum"
    units = dict(columns.units)
    for name in columns.used():
        if name in columns.units:
            units.update({f"{name}[{k}]": columns.units[name] for k in range(dim)})
    changes: dict[str, Any] = {
        "state": state,
        part: second,
        "derivative": spread(columns.derivative, dim) if columns.derivative else (),
        "inputs": spread(columns.inputs, inputs),
        "units": units,
    }
    return replace(columns, **changes)


def _columns_of(array: Any, arrays: int, total: int) -> int:
    return int(array.shape[-1]) if total != arrays else 1
