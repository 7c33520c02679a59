"""What the dataset file is made of; shared by the side that writes and the side that reads."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from simlearn.component import DataError

FORMAT, SCHEMA = "simlearn-trajectories", 1
MOVING = ("t", "x", "derivative", "inputs", "mask")
STILL = ("edge_attr", "node_attr", "node_type", "system_attr", "inputs", "system")
CHUNK_BYTES = 1 << 17
LARGEST_CHUNK = 1 << 28  # bytes that are read to get at one number
PIECE_BYTES = 1 << 28  # of texts that are read at once
# deflate, shuffle, fletcher32, szip, nbit, scaleoffset, lzf: others are looked for in folders
FILTERS = {1, 2, 3, 4, 5, 6, 32000}
# what HDF5, numpy and JSON raise of a damaged file
DAMAGE = (
    *(OSError, LookupError, ValueError, RuntimeError),
    *(TypeError, AttributeError, ArithmeticError, SystemError),
)


def parts(file: h5py.File) -> Iterator[tuple[str, h5py.Dataset]]:
    """All datasets of the file by name, in order of their names."""
    found: list[tuple[str, h5py.Dataset]] = []

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found.append((name, item))

    file.visititems(visit)
    yield from sorted(found, key=lambda pair: pair[0])


def digest(dataset: h5py.Dataset) -> str:
    """SHA-256 of type, shape and values, read in pieces of 16 MiB."""
    hashed = hashlib.sha256(f"{dataset.dtype.str} {dataset.shape}".encode())
    if dataset.dtype.kind == "O":
        hashed.update(json.dumps([str(s) for s in texts(dataset)]).encode())
        return hashed.hexdigest()
    rows = max(1, (1 << 24) // max(1, dataset[:1].nbytes)) if dataset.shape[0] else 1
    for start in range(0, dataset.shape[0], rows):
        hashed.update(np.ascontiguousarray(dataset[start : start + rows]).tobytes())
    return hashed.hexdigest()


def texts(dataset: h5py.Dataset) -> np.ndarray:
    """The texts of a dataset ``[n]``, read in pieces: many may be one that stands there once.

    Raises:
        ValueError: They are together far larger than the file.
    """
    size = dataset.file.id.get_filesize()
    found, total, piece = [], 0, max(1, PIECE_BYTES // max(1, size))
    for start in range(0, len(dataset), piece):
        found.append(dataset.asstr()[start : start + piece])
        total += sum(map(len, found[-1].ravel()))
        if total > claimable(size):
            raise ValueError(f"the texts of {dataset.name} are larger than the file")
    return np.concatenate(found) if found else np.zeros(0, object)


def attribute(file: h5py.File, name: str) -> Any:
    """A root attribute, None where there is none.

    Raises:
        ValueError: It is no single value, or it is far larger than the file.
    """
    if name not in file.attrs:
        return None
    held = file.attrs.get_id(name)
    if held.shape != () or held.get_storage_size() > claimable(file.id.get_filesize()):
        raise ValueError(f"the attribute {name} is no single text or number")
    return file.attrs[name]


def claimable(size: int) -> int:
    """Bytes that a file of so many bytes may hold, compressed or written once for many."""
    return max(1 << 20, 64 * size)


def joined(manifest: Mapping[str, str]) -> str:
    """One digest for all parts."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def members(file: h5py.File) -> Iterator[tuple[str, str, Any]]:
    """Group, name and object of all that is no group, a link as itself.

    Every group is looked into once; None stands where one comes back.
    """
    seen, waiting = {file.id}, [file["/"]]
    while waiting:
        group = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            item = group[name] if isinstance(link, h5py.HardLink) else link
            if not isinstance(item, h5py.Group):
                yield group.name, name, item
            elif item.id in seen:
                yield group.name, name, None
            else:
                seen.add(item.id)
                waiting.append(item)


def fault(item: Any, size: int) -> str:
    """Why nothing is read from a member of a file of so many bytes; empty where it may be."""
    if item is None:
        return "is a group that stands in the file twice"
    if isinstance(item, h5py.SoftLink | h5py.ExternalLink):
        return "is a link to another place"
    if not isinstance(item, h5py.Dataset):
        return "is no dataset"
    if item.external or item.is_virtual:
        return "keeps its data in another file"
    if item.dtype.kind not in "iufb" and h5py.check_string_dtype(item.dtype) is None:
        return f"has the type {item.dtype}, not numbers"
    if item.shape is None:
        return "is empty"
    if item.nbytes > claimable(size):
        return f"claims {item.nbytes} bytes in a smaller file"
    return _fault_of_chunks(item, size)


def _fault_of_chunks(item: h5py.Dataset, size: int) -> str:
    """Why a dataset that is stored in chunks is not read."""
    if item.chunks is None:
        return ""
    held = math.prod(item.chunks) * item.dtype.itemsize
    if held > max(LARGEST_CHUNK, claimable(size)):
        return f"has chunks of {held} bytes"
    kept = item.id.get_create_plist()
    unknown = {kept.get_filter(k)[0] for k in range(kept.get_nfilters())} - FILTERS
    return f"is packed by the filter {min(unknown)}, which is not read" if unknown else ""


def refuse_foreign_storage(file: h5py.File, path: Path) -> None:
    """Refuse whatever leads out of the file or claims to be far larger than it."""
    size, total = path.stat().st_size, 0
    for group, name, item in members(file):
        wrong = fault(item, size)
        total += 0 if wrong else item.nbytes
        if total > claimable(size):
            wrong = f"and what comes before it claim {total} bytes in a smaller file"
        if wrong:
            raise DataError(f"{path}: {group.rstrip('/')}/{name} {wrong}; refused.")
