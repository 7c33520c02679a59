"""Arrays of varying lengths in one HDF5 group, as the dataset file stores them."""

from __future__ import annotations

import math

import h5py
import numpy as np
from torch import Tensor

from simlearn.component import DataError
from simlearn.data.layout import CHUNK_BYTES

BUFFER_BYTES = 1 << 21  # small arrays are collected up to this size


class Ragged:
    """Arrays of one rank and varying lengths.

    Values end to end, offsets as in CSR, and their shapes.
    """

    def __init__(self, parent: h5py.Group, name: str, columns: bool = True):
        self.columns = columns
        self.group = parent.create_group(name)
        self.offsets, self.shapes = [0], list[tuple[int, ...] | None]()
        self.values: h5py.Dataset | None = None
        self.kind: tuple[np.dtype, tuple[int, ...]] = np.dtype(float), ()
        self.pending: list[np.ndarray] = []
        self.held = 0

    def append(self, value: Tensor | None) -> None:
        """Add an array, or the place of one that is not there."""
        if value is None:
            self.offsets.append(self.offsets[-1])
            self.shapes.append(None)
            return
        array = value.detach().cpu().contiguous().numpy()
        columns = array.shape[-1:] if self.columns and array.ndim > 1 else ()
        flat = array.reshape(math.prod(array.shape[: array.ndim - len(columns)]), *columns)
        if self.values is None:
            self.values = self._create(flat)
            self.kind = flat.dtype, flat.shape[1:]
        dtype, width = self.kind
        if flat.shape[1:] != width:
            raise DataError(
                f"{self.group.name}: a file holds arrays of one width, got {flat.shape[1:]} "
                f"after {width}."
            )
        if flat.dtype != dtype:
            raise DataError(
                f"{self.group.name}: a file holds arrays of one type, got {flat.dtype} after "
                f"{dtype}."
            )
        self.offsets.append(self.offsets[-1] + len(flat))
        self.shapes.append(array.shape)
        self.pending.append(flat if flat.nbytes > BUFFER_BYTES else flat.copy())
        self.held += flat.nbytes
        if self.held > BUFFER_BYTES:
            self._flush()

    def _create(self, flat: np.ndarray) -> h5py.Dataset:
        row = max(1, flat[:1].nbytes)
        chunk = (max(1, min(CHUNK_BYTES // row, max(1, len(flat)))), *flat.shape[1:])
        return self.group.create_dataset(
            "values",
            shape=(0, *flat.shape[1:]),
            maxshape=(None, *flat.shape[1:]),
            chunks=tuple(max(1, n) for n in chunk),
            dtype=flat.dtype,
            fletcher32=True,
        )

    def _flush(self) -> None:
        """Write what was collected: many small arrays at once, a large one as it is."""
        if self.values is not None and self.pending:
            joined = self.pending[0] if len(self.pending) == 1 else np.concatenate(self.pending)
            self.values.resize(self.offsets[-1], axis=0)
            self.values[self.offsets[-1] - len(joined) :] = joined
        self.pending, self.held = [], 0

    def extend(self, value: Tensor | None) -> None:
        """Let the last array go on, along its first axis."""
        if value is None:
            return
        before = self.shapes.pop()
        start = self.offsets.pop(-2)
        assert before is not None  # an array that was begun
        self.append(value)
        stop = self.offsets.pop()
        self.offsets[-1:] = [start, stop]
        self.shapes[-1] = (before[0] + value.shape[0], *before[1:])

    def finish(self) -> None:
        """Write what is pending, and where every array begins."""
        self._flush()
        ranks = {len(s) for s in self.shapes if s is not None}
        if len(ranks) > 1:
            raise DataError(f"{self.group.name}: a file holds arrays of one rank, got {ranks}.")
        rank = ranks.pop() if ranks else 0
        shapes = [s if s is not None else (-1,) * rank for s in self.shapes]
        self.group.create_dataset(
            "offsets", data=np.asarray(self.offsets, np.int64), fletcher32=True
        )
        self.group.create_dataset(
            "shapes",
            data=np.asarray(shapes, np.int64).reshape(len(shapes), rank),
            fletcher32=bool(rank and shapes),
        )
