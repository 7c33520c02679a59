"""Files of arrays: npz, HDF5, and HDF5 groups of one trajectory each."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from simlearn.component import DataError
from simlearn.data.importing import memory
from simlearn.data.importing.npz import Npy, headers
from simlearn.data.layout import DAMAGE, FORMAT, attribute, fault, members

Arrays = Mapping[str, Any]


@dataclass(frozen=True)
class Foreign:
    """A member of a file that no import reads, and why."""

    reason: str
    ndim: int = 0


@contextmanager
def open_arrays(path: Path) -> Iterator[list[tuple[str, Arrays]]]:
    """The arrays of a file by name; of an HDF5 file with groups, one mapping for each group.

    Raises:
        DataError: The file is no npz or HDF5, or it is damaged.
    """
    if path.suffix.lower() == ".npz":
        yield [("", headers(path))]
        return
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is no HDF5 file that can be read: {error}.") from error
    with file:
        try:
            if attribute(file, "format") == FORMAT:
                raise DataError(f"{path} is a dataset of simlearn already: use it as it is.")
            groups = _groups(file, path)
        except DAMAGE as error:
            raise DataError(f"{path} is damaged and cannot be read: {error}.") from error
        try:
            yield groups
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path} is damaged and cannot be read: {error}.") from error


def _groups(file: h5py.File, path: Path) -> list[tuple[str, Arrays]]:
    """Every group that holds arrays, with their short names."""
    found: dict[str, dict[str, Any]] = {}
    size = path.stat().st_size
    for group, name, item in members(file):
        wrong = fault(item, size)
        held = Foreign(f"{group.rstrip('/')}/{name} {wrong}") if wrong else item
        found.setdefault(group.strip("/"), {})[name] = held
    return sorted(found.items(), key=lambda pair: _natural(pair[0]))


def usable(arrays: Arrays, named: Collection[str]) -> list[str]:
    """Names of the arrays that may play a part: those with axes, and those that were named."""
    return [name for name, held in arrays.items() if held.ndim or name in named]


def ready(arrays: Arrays, names: Collection[str], path: Path) -> None:
    """Refuse arrays in use that cannot be read, before anything is read.

    Raises:
        DataError: One is foreign, or its header lies.
        EnvironmentFault: They would not fit into memory.
    """
    size = 0
    for held in (arrays[name] for name in names):
        if isinstance(held, Foreign):
            raise DataError(f"{path}: {held.reason}; refused.")
        if isinstance(held, Npy):
            if wrong := held.fault():
                raise DataError(f"{path}: {held.entry} {wrong}.")
            size += held.bytes
    if memory.COPIES * size > memory.budget():
        memory.refuse(path, memory.COPIES * size, memory.budget(), "the arrays")


def _natural(name: str) -> list[tuple[int, str]]:
    """run2 comes before run10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
