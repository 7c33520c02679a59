"""Arrays of many trajectories: what their axes mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simlearn.component import ConfigError, DataError

AXES = ("system", "time", "node", "column")


@dataclass(frozen=True)
class Placed:
    """An array with the meaning of its axes."""

    array: Any
    axes: Sequence[str]

    def count(self, axis: str) -> int:
        """Length of an axis, 1 where there is none."""
        return int(self.array.shape[self.axes.index(axis)]) if axis in self.axes else 1

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


def placed(
    array: Any, t: np.ndarray | None, axes: Sequence[str] | None, where: str, name: str
) -> Placed:
    """An array with its axes as given, or as the time tells them.

    Raises:
        ConfigError: The axes are ambiguous, or those given are none.
        DataError: It holds no numbers.
    """
    shape = array.shape
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where}: {name} holds {array.dtype}; numbers are wanted.")
    if axes is not None:
        mine = list(axes)[: len(shape)]
        wrong = set(axes) - set(AXES) or len(set(axes)) < len(axes)
        if wrong or len(mine) < len(shape) or "time" not in mine:
            raise ConfigError(
                f"--axes names {', '.join(AXES)} in the order of the array, time among them; got "
                f"{', '.join(axes)} for {name} of shape {list(shape)}."
            )
        return Placed(array, mine)
    known: dict[int, list[tuple[str, ...]]] = {
        1: [("time",)],
        2: [("time", "column"), ("system", "time")],
        3: [("system", "time", "column"), ("time", "node", "column")],
        4: [AXES],
    }
    fit = [o for o in known.get(len(shape), []) if _fits(shape, o, t)]
    if len(fit) != 1:
        ways = " or ".join(f"({', '.join(one)})" for one in fit)
        told = f"fits several ways, {ways}," if fit else "does not fit the time"
        raise ConfigError(
            f"{where}: {name} with shape {list(shape)} {told}"
            f"{'' if t is None else f' of shape {list(t.shape)}'}. Say what its axes are, for "
            "example --axes system,time,node,column."
        )
    return Placed(array, fit[0])


def _fits(shape: Sequence[int], axes: Sequence[str], t: np.ndarray | None) -> bool:
    if t is None:
        return len(axes) in (1, len(AXES)) or shape[axes.index("time")] > 1
    same = shape[axes.index("time")] == t.shape[-1]
    if t.ndim == 2:
        return same and "system" in axes and shape[axes.index("system")] == t.shape[0]
    return same
