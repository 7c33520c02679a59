"""Files of arrays: npz, HDF5, and HDF5 groups of one trajectory each."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from simlearn.component import DataError
from simlearn.data.importing import memory
from simlearn.data.layout import FORMAT, refuse_foreign_storage

Arrays = Mapping[str, Any]


@contextmanager
def open_arrays(path: Path) -> Iterator[list[tuple[str, Arrays]]]:
    """The arrays of a file by name; of an HDF5 file with groups, one mapping for each group.

    Raises:
        DataError: The file is no npz or HDF5, holds objects, or leads to other files.
        EnvironmentFault: It would not fit into memory.
    """
    if path.suffix.lower() == ".npz":
        yield [("", _npz(path))]
        return
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise DataError(f"{path} is no HDF5 file that can be read: {error}.") from error
    with file:
        if file.attrs.get("format") == FORMAT:
            raise DataError(f"{path} is a dataset of simlearn already: use it as it is.")
        refuse_foreign_storage(file, path)
        try:
            yield _groups(file)
        except (OSError, RuntimeError) as error:
            raise DataError(f"{path} is damaged and cannot be read: {error}.") from error


def _npz(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if memory.COPIES * size > memory.budget():
            memory.refuse(path, memory.COPIES * size, memory.budget(), "the arrays")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is no npz file that can be read: {error}.") from error
    except (ValueError, OSError, EOFError, KeyError, NotImplementedError, zlib.error) as error:
        hint = " Save plain numbers: objects are never loaded." if "pickle" in str(error) else ""
        raise DataError(f"{path} cannot be read: {error}.{hint}") from error


def _groups(file: h5py.File) -> list[tuple[str, Arrays]]:
    """Every group that holds arrays, with their short names."""
    found: dict[str, dict[str, Any]] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            group, _, short = name.rpartition("/")
            found.setdefault(group, {})[short] = item

    file.visititems(visit)
    return sorted(found.items(), key=lambda pair: _natural(pair[0]))


def _natural(name: str) -> list[tuple[int, str]]:
    """run2 comes before run10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
