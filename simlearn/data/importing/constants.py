"""Constants in arrays: those of a system and those of its nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simlearn.component import ConfigError, DataError

MEANT = ("system", "node", "column")


def parameter(
    array: Any, counts: tuple[int, int], axes: Sequence[str] | None, where: str, name: str
) -> np.ndarray:
    """Constants ``[systems, a]``, or ``[systems, nodes, a]`` where there is one for each node.

    Args:
        array: A number, or ``[systems, nodes, a]`` with some axes left out or of length 1.
        counts: Systems and nodes.
        axes: Axes of the arrays as given; without the time those of constants.
        where: File and group.
        name: Of the array.

    Raises:
        ConfigError: Several readings fit.
        DataError: None fits, or a number is missing.
    """
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: the parameter {name} holds {array.dtype}; numbers are wanted.")
    value = np.asarray(array[()], np.float64)
    _finite(value, where, name)
    (systems, nodes), shape = counts, list(value.shape)
    fit = [order for order in _orders(value.ndim) if _fits(value.shape, order, counts)]
    if len(fit) > 1 and axes is not None:
        fit = [order for order in fit if order == _told(axes, value.ndim)] or fit
    if len(fit) > 1 and systems == 1:
        fit = fit[:1]  # of a single system: one for each node
    if len(fit) > 1:
        ways = " or ".join(f"({', '.join(order)})" for order in fit)
        raise ConfigError(
            f"{where}: the parameter {name} with shape {shape} is ambiguous, {ways}: there are "
            f"{systems} systems of {nodes} nodes. Say it with --axes system,time,node,column "
            "(constants have these axes without the time), or save it as [systems, 1, k] or "
            "[1, nodes, k]."
        )
    if not fit:
        raise DataError(
            f"{where}: the parameter {name} has the shape {shape}; wanted are {systems} "
            f"systems{f' or {nodes} nodes' if nodes > 1 else ''}."
        )
    return _placed(value, fit[0], systems, nodes)


def _told(axes: Sequence[str], rank: int) -> tuple[str, ...]:
    return tuple(axis for axis in axes if axis != "time")[:rank]


def _finite(value: np.ndarray, where: str, name: str) -> None:
    if not np.isfinite(value).all():
        k = tuple(map(int, np.argwhere(~np.isfinite(value))[0]))
        raise DataError(f"{where}: the parameter {name}{list(k)} is {value[k]}.")


def _orders(rank: int) -> list[tuple[str, ...]]:
    """Readings of an array of constants, those for each node first."""
    known: dict[int, list[tuple[str, ...]]] = {
        0: [()],
        1: [("node",), ("system",), ("column",)],
        2: [("system", "node"), ("node", "column"), ("system", "column")],
        3: [MEANT],
    }
    return known.get(rank, [])


def _fits(shape: Sequence[int], order: Sequence[str], counts: tuple[int, int]) -> bool:
    systems, nodes = counts
    sizes = dict(zip(order, shape, strict=True))
    alone = sizes.get("system", 1) in (1, systems) and sizes.get("node", 1) in (1, nodes)
    if len(order) == len(MEANT):
        return alone
    if "node" in sizes:
        return nodes > 1 and sizes["node"] == nodes and alone
    if order == ("column",):  # of the only system, or one number for all
        return shape[0] != systems and (systems == 1 or shape[0] == 1) and shape[0] != nodes
    return alone


def _placed(value: np.ndarray, order: Sequence[str], systems: int, nodes: int) -> np.ndarray:
    """``[systems, a]`` or ``[systems, nodes, a]``."""
    for k, axis in enumerate(MEANT):
        if axis not in order:
            value = np.expand_dims(value, k)
    if nodes > 1 and value.shape[1] == nodes:
        return np.broadcast_to(value, (systems, *value.shape[1:]))
    return np.broadcast_to(value, (systems, *value.shape[1:])).reshape(systems, -1)
