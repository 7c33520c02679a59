"""The file below HDF5, which is never told that a write has failed."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simlearn.component import EnvironmentFault


class Disk(io.FileIO):
    """A file for ``h5py.File``; after the first write that fails, memory takes its place.

    HDF5 cannot close a file whose writes fail: the process crashes when it ends. So what the disk
    refuses is kept for HDF5 to read again, and `telling` raises what happened.

    Args:
        path: The file, made anew.
        name: What a message calls it.
    """

    def __init__(self, path: Path, name: Path):
        super().__init__(path, "w+")
        self.called = name
        self.fault: OSError | None = None
        self.refused: list[tuple[int, bytes]] = []

    def write(self, body: Any) -> int:
        """Write all of it, or keep it."""
        view = memoryview(body).cast("B")
        place, done = self.tell(), 0
        try:
            while self.fault is None and done < len(view):
                done += super().write(view[done:]) or 0
        except OSError as error:
            self.fault = error
        if self.fault is not None:
            self.refused.append((place, bytes(view)))
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read what is there, and what should be; zeros beyond."""
        view = memoryview(buffer).cast("B")
        place = self.tell()
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        for start, body in self.refused:
            low, high = max(place, start), min(place + len(view), start + len(body))
            if low < high:
                view[low - place : high - place] = body[low - start : high - start]
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the size, which may need room, too."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.fault = self.fault or error
            return size or 0

    def sync(self) -> None:
        """Flush to the disk, which may find only now that it is full."""
        try:
            os.fsync(self.fileno())
        except OSError as error:
            self.fault = self.fault or error

    @contextmanager
    def telling(self) -> Iterator[None]:
        """What is written inside is on its way to the disk.

        Raises:
            EnvironmentFault: The disk refused some of it.
        """
        try:
            yield
        finally:
            if self.fault is not None:
                raise EnvironmentFault(
                    f"Cannot write {self.called}: {self.fault.strerror}. Free space there, or "
                    "write elsewhere."
                ) from self.fault
