"""npz files: headers first, numbers of an array when somebody asks for them."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np

from simlearn.component import DataError

HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


@dataclass
class Npy:
    """An array of an npz file that is not loaded yet.

    Attributes:
        path: The file.
        entry: Its entry in the file.
        shape: As its header says.
        dtype: As its header says.
        bytes: What the entry holds besides the header.
    """

    path: Path
    entry: str
    shape: tuple[int, ...]
    dtype: np.dtype
    bytes: int

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.shape)

    def fault(self) -> str:
        """Why it cannot be loaded; empty where it can."""
        if self.dtype.hasobject:
            return "holds objects, which are never loaded. Save plain numbers"
        if min(self.shape, default=0) < 0:
            return f"claims the shape {list(self.shape)}"
        wanted = math.prod(self.shape) * self.dtype.itemsize
        if wanted != self.bytes:
            return (
                f"claims the shape {list(self.shape)} of {self.dtype}, {wanted} bytes, but the "
                f"file holds {self.bytes} bytes of it. Save it anew"
            )
        return ""

    @cached_property
    def values(self) -> np.ndarray:
        """All its numbers."""
        with (
            readable(self.path),
            zipfile.ZipFile(self.path) as archive,
            archive.open(self.entry) as handle,
        ):
            return np.asarray(np.lib.format.read_array(handle, allow_pickle=False))

    def __getitem__(self, index: Any) -> Any:
        return self.values[index]

    def __len__(self) -> int:
        return self.shape[0]


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Errors of a damaged file in one form.

    Raises:
        DataError: There was one.
    """
    try:
        yield
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is no npz file that can be read: {error}.") from error
    except (
        *(ValueError, OSError, EOFError, LookupError, TypeError, SyntaxError),
        *(NotImplementedError, RuntimeError, zlib.error),
    ) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


def headers(path: Path) -> dict[str, Npy]:
    """The arrays of a file by name.

    Raises:
        DataError: It is no npz file, or a header cannot be read.
    """
    found: dict[str, Npy] = {}
    with readable(path), zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as handle:
                    shape, dtype = _header(handle)
                    rest = entry.file_size - handle.tell()
                name = entry.filename.removesuffix(".npy")
                found[name] = Npy(path, entry.filename, shape, dtype, rest)
    return found


def _header(handle: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(handle)
    if version not in HEADERS:
        raise ValueError(f"an array of the npy version {version} is not known")
    shape, _, dtype = HEADERS[version](handle)
    return shape, dtype
