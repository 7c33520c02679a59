"""What the dataset file is made of; shared by the side that writes and the side that reads."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

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
