"""Writing the dataset file.

Appended trajectory by trajectory, under its final name only when complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from simlearn.component import DataError, EnvironmentFault
from simlearn.data.disk import Disk
from simlearn.data.layout import CHUNK_BYTES, FORMAT, MOVING, SCHEMA, STILL, digest, joined, parts
from simlearn.data.ragged import Ragged
from simlearn.lock import Lock
from simlearn.state import Topology, Trajectory


class Writer:
    """Writes trajectories one after another into ``path``.

    Nothing is there under that name until `finish`, and nobody else writes it meanwhile.

    Raises:
        DataError: The file exists already.
        EnvironmentFault: The folder cannot be written, or another process writes the file.
    """

    def __init__(self, path: Path | str, overwrite: bool = False):
        self.path = Path(path)
        self.partial = self.path.with_name(f".{self.path.name}.partial")
        self._lock = Lock(self.path.with_name(f".{self.path.name}.lock"), f"The file {self.path}")
        self.disk = self._opened(overwrite)
        self.file = h5py.File(self.disk, "w")
        self.moving = {
            name: Ragged(self.file, f"trajectories/{name}", name not in ("t", "mask"))
            for name in MOVING
        }
        self.still = {n: Ragged(self.file, f"topologies/{n}") for n in STILL}
        self.edges = Ragged(self.file, "graphs/edge_index")
        self.graphs: dict[str, int] = {}
        self.rows: list[int] = []
        self.known: dict[int, tuple[int, Topology]] = {}
        self.numbers: dict[bytes, int] = {}
        self.topologies: list[tuple[int, int, str]] = []
        self.of: list[tuple[int, str, int]] = []

    def _opened(self, overwrite: bool) -> Disk:
        """The file in the making, under the lock; what a killed process left is written anew."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"Cannot write into {self.path.parent}: {error}.") from error
        self._lock.__enter__()
        try:
            if self.path.exists() and not overwrite:
                raise DataError(
                    f"{self.path} exists already. Choose another --out, or replace it with "
                    "--overwrite."
                )
            return Disk(self.partial, self.path)
        except BaseException as error:
            self._lock.__exit__()
            if isinstance(error, OSError):
                told = f"Cannot write into {self.path.parent}: {error}."
                raise EnvironmentFault(told) from error
            raise

    def append(self, trajectory: Trajectory) -> None:
        """Add a trajectory; graphs and topologies that were there before are stored once."""
        with self.disk.telling():
            for name, ragged in self.moving.items():
                ragged.append(getattr(trajectory, name))
            topology = self._topology(trajectory.topology)
        self.of.append((topology, trajectory.status, trajectory.finite_steps))

    def extend(self, more: Trajectory) -> None:
        """Let the last trajectory go on: a long one is written in pieces, and kept nowhere."""
        with self.disk.telling():
            for name, ragged in self.moving.items():
                ragged.extend(getattr(more, name))
        topology, _, finite = self.of[-1]
        self.of[-1] = (topology, more.status, finite + more.finite_steps)

    def beside(self, name: str, values: np.ndarray, **attributes: str | float | int) -> None:
        """Rows of an array that belongs to the data, under ``name``; written in pieces, if need be.

        Readers of the format leave it aside, and digests cover it.

        Args:
            name: Its place in the file, outside of the groups of the format.
            values: ``[rows, ...]``; a second piece goes on where the first ends.
            attributes: What it says of itself.
        """
        if name not in self.file:
            shape, most = (0, *values.shape[1:]), (None, *values.shape[1:])
            row = max(1, values[:1].nbytes)
            chunk = (max(1, min(CHUNK_BYTES // row, len(values))), *values.shape[1:])
            made = self.file.create_dataset(
                name, shape, values.dtype, maxshape=most, chunks=chunk, fletcher32=True
            )
            made.attrs.update(attributes)
        with self.disk.telling():
            held = self.file[name]
            held.resize(len(held) + len(values), axis=0)
            held[len(held) - len(values) :] = values

    def _topology(self, topology: Topology) -> int:
        if id(topology) not in self.known:
            content = _content(topology)
            if content not in self.numbers:
                self.numbers[content] = self._add(topology)
            # the topology is kept alive, so that its id stays its own
            self.known[id(topology)] = (self.numbers[content], topology)
        return self.known[id(topology)][0]

    def _add(self, topology: Topology) -> int:
        graph = topology.graph
        if graph.key not in self.graphs:
            self.graphs[graph.key] = len(self.graphs)
            self.edges.append(graph.edge_index.T)
            self.rows.append(graph.rows)
        for name, ragged in self.still.items():
            ragged.append(getattr(topology, name))
        names = json.dumps(list(topology.node_names))
        self.topologies.append((self.graphs[graph.key], topology.num_systems, names))
        return len(self.topologies) - 1

    def finish(self, provenance: Mapping[str, Any]) -> str:
        """Complete the file and give it its name; returns the digest of the data."""
        whole = self.complete(provenance)
        self.settle()
        return whole

    def complete(self, provenance: Mapping[str, Any]) -> str:
        """Write offsets, digests and provenance, and flush to disk; `settle` gives it its name.

        Returns the digest of the data.
        """
        with self.disk.telling():
            self._arrays()
            self.file.flush()
        with self.disk.telling():
            whole = self._sealed(provenance)
            self.file.close()
            self.disk.sync()
        return whole

    def _arrays(self) -> None:
        """What stands beside the numbers."""
        for ragged in (*self.moving.values(), *self.still.values(), self.edges):
            ragged.finish()
        text = h5py.string_dtype()
        put = self.file.create_dataset
        put("graphs/rows", data=np.asarray(self.rows, np.int64))
        put("topologies/graph", data=np.asarray([t[0] for t in self.topologies], np.int64))
        put("topologies/num_systems", data=np.asarray([t[1] for t in self.topologies], np.int64))
        put("topologies/node_names", data=[t[2] for t in self.topologies], dtype=text)
        put("trajectories/topology", data=np.asarray([o[0] for o in self.of], np.int64))
        put("trajectories/status", data=[o[1] for o in self.of], dtype=text)
        put("trajectories/finite_steps", data=np.asarray([o[2] for o in self.of], np.int64))

    def _sealed(self, provenance: Mapping[str, Any]) -> str:
        """Say what is in the file, where it comes from, and that it is complete."""
        manifest = {name: digest(part) for name, part in parts(self.file)}
        whole, told = joined(manifest), json.dumps(dict(provenance), sort_keys=True)
        self.file.attrs.update(
            {
                "format": FORMAT,
                "schema": SCHEMA,
                "written_by": f"simlearn {version('simlearn')}",
                "manifest": json.dumps(manifest, sort_keys=True),
                "provenance": told,
                "provenance_sha256": hashlib.sha256(told.encode()).hexdigest(),
                "digest": whole,
                "complete": True,
            }
        )
        return whole

    def settle(self) -> None:
        """Give the complete file its name."""
        _settle(self.partial, self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self.file.close()
        try:
            self.disk.close()
            self.partial.unlink(missing_ok=True)
        finally:
            self._lock.__exit__()


def _content(topology: Topology) -> bytes:
    """A digest of all that a topology holds: topologies of one content are stored once."""
    head = [topology.graph.key, topology.num_systems, list(topology.node_names)]
    digest = hashlib.sha256(json.dumps(head).encode())
    for name in STILL:
        value = getattr(topology, name)
        if value is not None:
            array = value.detach().cpu().contiguous().numpy()
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(array.tobytes())
    return digest.digest()


def _settle(partial: Path, path: Path) -> None:
    """Give a file that is on the disk its name."""
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
