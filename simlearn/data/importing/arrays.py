"""Arrays of many trajectories: one sample for each system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simlearn.component import ConfigError, DataError
from simlearn.data.importing import memory
from simlearn.data.importing.axes import Placed, placed
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.constants import parameter
from simlearn.data.importing.containers import Arrays
from simlearn.data.importing.samples import Sample


def samples(
    where: str, arrays: Arrays, columns: Columns, path: Path, axes: Sequence[str] | None
) -> Iterator[tuple[Sample, Columns]]:
    """The trajectories of one group of arrays, with one name for each of their columns.

    Axes are read as (time), (time, column), (system, time, column) or (system, time, node, column),
    whichever fits the time; ``axes`` says it where that is ambiguous.

    Raises:
        ConfigError: The axes are ambiguous.
        DataError: Shapes do not fit.
        EnvironmentFault: A single trajectory does not fit into memory.
    """
    if columns.wide:
        raise ConfigError(f"{where}: wide is for tables; of arrays say --axes system,time,node.")
    t = None if columns.time is None else _time(arrays[columns.time], where, columns.time)
    held = {
        name: placed(arrays[name], t, axes, where, name)
        for name in (*columns.components, *columns.derivative, *columns.inputs)
    }
    systems, steps, nodes = _agree(held, t, columns, where)
    size = sum(8 * int(np.prod(one.array.shape)) // one.count("system") for one in held.values())
    if memory.COPIES * size > memory.budget():
        memory.refuse(path, memory.COPIES * size, memory.budget(), "one trajectory")
    named = _widened(columns, held)
    constants = [parameter(arrays[n], (systems, nodes), axes, where, n) for n in columns.parameters]
    for number in range(systems):
        times = t if t is None or t.ndim == 1 else t[number]
        if times is None:
            assert columns.dt is not None
            times = columns.dt * np.arange(steps)
        place = _place(where, number)
        _growing(times, place, columns.time or "time")
        parts = _parts(held, columns, number, nodes)
        own = [value[number] for value in constants]
        yield _sample(times, parts, place, own, nodes), named


def _agree(
    held: Mapping[str, Placed], t: np.ndarray | None, columns: Columns, where: str
) -> tuple[int, int, int]:
    """Systems, times and nodes of all arrays.

    Raises:
        DataError: They do not agree, or there is nothing.
    """
    first = held[columns.state[0]]
    systems, steps, nodes = (first.count(axis) for axis in ("system", "time", "node"))
    for name, one in held.items():
        fits = one.count("system") == systems and one.count("time") == steps
        rows = one.count("node")
        if not fits or not (rows == nodes or (name in columns.inputs and rows == 1)):
            raise DataError(
                f"{where}: {name} has the shape {list(one.array.shape)}, {columns.state[0]} "
                f"{list(first.array.shape)}; systems, times and nodes must agree."
            )
    if t is not None and (t.shape[-1] != steps or (t.ndim == 2 and len(t) != systems)):
        raise DataError(
            f"{where}: the time {columns.time} has the shape {list(t.shape)}, {columns.state[0]} "
            f"has {systems} systems of {steps} samples."
        )
    if 0 in (systems, steps, nodes):
        raise DataError(f"{where}: {columns.state[0]} is empty: {list(first.array.shape)}.")
    return systems, steps, nodes


def _time(array: Any, where: str, name: str) -> np.ndarray:
    if array.dtype.kind not in "iuf" or len(array.shape) not in (1, 2):
        raise DataError(
            f"{where}: the time {name} is numbers [time] or [system, time], got {array.dtype} "
            f"{list(array.shape)}."
        )
    return np.asarray(array[()], np.float64)


def _growing(times: np.ndarray, place: Any, name: str) -> None:
    wrong = np.flatnonzero(~np.isfinite(times))
    if len(wrong):
        told = "missing" if np.isnan(times[wrong[0]]) else "infinite"
        raise DataError(f"{place(int(wrong[0]), 0, name)}: the time is {told}.")
    back = np.flatnonzero(np.diff(times) <= 0)
    if len(back):
        before, now = map(float, times[back[0] : back[0] + 2])
        how = "occurs twice" if now == before else f"comes after {before!r}"
        raise DataError(
            f"{place(int(back[0]) + 1, 0, name)}: the time {now!r} {how}; times must grow."
        )


def _parts(
    held: Mapping[str, Placed], columns: Columns, number: int, nodes: int
) -> dict[str, np.ndarray]:
    def joined(names: Sequence[str]) -> np.ndarray:
        values = [held[name].of(number) for name in names]
        values = [np.repeat(v, nodes, 1) if v.shape[1] < nodes else v for v in values]
        return values[0] if len(values) == 1 else np.concatenate(values, axis=2)

    parts = {"x": columns.components, "derivative": columns.derivative, "inputs": columns.inputs}
    return {part: joined(names) for part, names in parts.items() if names}


def _sample(
    times: np.ndarray,
    parts: dict[str, np.ndarray],
    place: Any,
    constants: Sequence[np.ndarray],
    nodes: int,
) -> Sample:
    of_system = [value for value in constants if value.ndim == 1]
    of_nodes = [value for value in constants if value.ndim == 2]
    return Sample(
        times,
        parts,
        place,
        np.concatenate(of_system) if of_system else None,
        np.concatenate(of_nodes, axis=1) if of_nodes else None,
        [str(k) for k in range(nodes)] if nodes > 1 else [],
    )


def _place(where: str, number: int) -> Any:
    def place(step: int, row: int, column: str) -> str:
        return f"{where}, trajectory {number}, sample {step}, node {row}, {column or 'state'}"

    return place


def _widened(columns: Columns, held: Mapping[str, Placed]) -> Columns:
    """The map with one name for each column: an array of three columns gives three names."""

    def spread(names: Sequence[str]) -> list[str]:
        each = [(name, held[name].count("column")) for name in names]
        return [f"{n}[{k}]" if width > 1 else n for n, width in each for k in range(width)]

    parts = ("state", "velocity", "momentum", "derivative", "inputs")
    changes: dict[str, Any] = {part: spread(getattr(columns, part)) for part in parts}
    told = {wide: u for n, u in columns.units.items() if n in held for wide in spread([n])}
    return replace(columns, units={**columns.units, **told}, **changes).counted()
