"""What the dataset file is made of; shared by the side that writes and the side that reads."""

from __future__ import annotations

import hashlib
import json
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
        hashed.update(json.dumps([str(s) for s in dataset.asstr()[()]]).encode())
        return hashed.hexdigest()
    rows = max(1, (1 << 24) // max(1, dataset[:1].nbytes)) if dataset.shape[0] else 1
    for start in range(0, dataset.shape[0], rows):
        hashed.update(np.ascontiguousarray(dataset[start : start + rows]).tobytes())
    return hashed.hexdigest()


def joined(manifest: Mapping[str, str]) -> str:
    """One digest for all parts."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def refuse_foreign_storage(file: h5py.File, path: Path) -> None:
    """Refuse whatever leads out of the file or claims to be far larger than it."""

    def look(group: h5py.Group) -> None:
        for name in group:
            link = group.get(name, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise DataError(f"{path}: {group.name}/{name} is a link to another place; refused.")
            item = group[name]
            if isinstance(item, h5py.Group):
                look(item)
            elif not isinstance(item, h5py.Dataset):
                raise DataError(f"{path}: {group.name}/{name} is no dataset; refused.")
            elif item.external or item.is_virtual:
                raise DataError(f"{path}: {item.name} keeps its data in another file; refused.")
            elif item.dtype.kind not in "iufb" and h5py.check_string_dtype(item.dtype) is None:
                raise DataError(f"{path}: {item.name} has the type {item.dtype}; numbers wanted.")
            elif item.nbytes > max(1 << 20, 64 * path.stat().st_size):
                raise DataError(
                    f"{path}: {item.name} claims {item.nbytes} bytes in a smaller file; refused."
                )

    look(file)
