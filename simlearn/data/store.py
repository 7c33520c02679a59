"""The dataset file: HDF5, schema 1 (docs/dataset-format.md).

Complete or absent, checked by digest when read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.data.layout import (
    DAMAGE,
    FORMAT,
    MOVING,
    SCHEMA,
    STILL,
    attribute,
    claimable,
    digest,
    joined,
    parts,
    refuse_foreign_storage,
    texts,
)
from simlearn.data.schema import Migration, migrations
from simlearn.data.sound import refuse_unsound, told
from simlearn.data.writer import Writer
from simlearn.state import Graph, Topology, Trajectory

MIGRATIONS: dict[int, Migration] = {}  # of an open file, from a schema to the next one


@dataclass(frozen=True)
class Dataset:
    """Trajectories with where they come from.

    Attributes:
        trajectories: In the order of the file.
        provenance: Generator, arguments, seed, versions, measured error.
        digest: SHA-256 over the digests of all parts: two files with the same digest hold the same
            data.
    """

    trajectories: tuple[Trajectory, ...]
    provenance: Mapping[str, Any]
    digest: str

    def __len__(self) -> int:
        return len(self.trajectories)

    def __iter__(self) -> Iterator[Trajectory]:
        return iter(self.trajectories)

    def __getitem__(self, index: int) -> Trajectory:
        return self.trajectories[index]


def write(
    path: Path | str, trajectories: Iterable[Trajectory], provenance: Mapping[str, Any]
) -> str:
    """Write a whole dataset; returns its digest."""
    with Writer(path) as writer:
        for trajectory in trajectories:
            writer.append(trajectory)
        return writer.finish(provenance)


def read(path: Path | str) -> Dataset:
    """Read a dataset and verify it.

    Raises:
        DataError: The file is missing, truncated, incomplete, of another format or schema, links
            to other files, or a part of it does not have the digest that was written.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"There is no dataset {path}. Make one with `simlearn generate` or `simlearn "
            "data import`."
        )
    with path.open("rb") as handle:
        if handle.read(4) not in (b"\x89HDF", b""):
            raise DataError(
                f"{path} is no HDF5 file. Make a dataset of it with `simlearn data import`."
            )
    try:
        with h5py.File(path, "r") as file:
            todo, manifest = _migrations(file, path), _verified(file, path)
            with _migrated(file, path, todo) as now:
                provenance = told(json.loads(now.attrs["provenance"]))
                return Dataset(tuple(_trajectories(now)), provenance, joined(manifest))
    except DataError as error:
        if str(path) in str(error):
            raise
        raise DataError(f"{path}: {error}") from error
    except DAMAGE as error:
        raise DataError(
            f"{path} is truncated or damaged ({error}). Make it anew, or fetch an intact copy."
        ) from error


def _migrations(file: h5py.File, path: Path) -> list[Migration]:
    """What brings the file to the schema of today."""
    kind, schema = attribute(file, "format"), attribute(file, "schema")
    if kind != FORMAT:
        raise DataError(
            f"{path} is an HDF5 file of another origin: its `format` is "
            f"{'missing' if kind is None else repr(kind)}, wanted {FORMAT!r}."
        )
    wrote = attribute(file, "written_by")
    return migrations(schema, SCHEMA, MIGRATIONS, str(path), wrote, DataError)


@contextmanager
def _migrated(file: h5py.File, path: Path, todo: Sequence[Migration]) -> Iterator[h5py.File]:
    """The file, or a copy of it in memory in the schema of today."""
    if not todo:
        yield file
        return
    with h5py.File(io.BytesIO(path.read_bytes()), "r+") as copy:
        for migration in todo:
            migration(copy)
        yield copy


def _verified(file: h5py.File, path: Path) -> dict[str, str]:
    if not isinstance(done := attribute(file, "complete"), bool | np.bool_) or not done:
        raise DataError(f"{path} was never finished: it has no `complete` mark. Make it anew.")
    refuse_foreign_storage(file, path)
    manifest: dict[str, str] = json.loads(attribute(file, "manifest"))
    found = hashlib.sha256(attribute(file, "provenance").encode()).hexdigest()
    signed = attribute(file, "provenance_sha256")
    if found != signed or joined(manifest) != attribute(file, "digest"):
        raise DataError(f"{path}: manifest or provenance was changed after it was written.")
    present = dict(parts(file))
    if set(present) != set(manifest):
        raise DataError(
            f"{path} holds other parts than its manifest: {sorted(set(present) ^ set(manifest))}."
        )
    for name, dataset in present.items():
        if digest(dataset) != manifest[name]:
            raise DataError(
                f"{path}: {name} does not have the digest it was written with. The file was "
                "changed."
            )
    return manifest


def _slices(group: h5py.Group) -> Iterator[Tensor | None]:
    offsets, shapes = group["offsets"][()], group["shapes"][()]
    values = group["values"][()] if "values" in group else None
    for start, stop, shape in zip(offsets, offsets[1:], shapes, strict=False):
        if values is None or shape.size == 0 or shape[0] < 0:
            yield None
        else:
            yield torch.from_numpy(values[start:stop].reshape(shape).copy())


def _trajectories(file: h5py.File) -> Iterator[Trajectory]:
    rows, of, kind = file["graphs/rows"][()], file["trajectories"], file["topologies"]
    _refuse_absurd(rows[kind["graph"][()][of["topology"][()]]], file)
    edges = list(_slices(file["graphs/edge_index"]))
    none = torch.zeros((0, 2), dtype=torch.int64)
    graphs = [
        Graph((none if e is None else e).T.contiguous(), int(n))
        for e, n in zip(edges, rows, strict=True)
    ]
    still = zip(*(_slices(file[f"topologies/{n}"]) for n in STILL), strict=True)
    heads = zip(kind["graph"], kind["num_systems"], texts(kind["node_names"]), strict=True)
    topologies = [
        Topology(
            graphs[int(graph)],
            num_systems=int(systems),
            node_names=_list(names),
            **dict(zip(STILL, values, strict=True)),
        )
        for (graph, systems, names), values in zip(heads, still, strict=True)
    ]
    moving = zip(*(_slices(file[f"trajectories/{n}"]) for n in MOVING), strict=True)
    heads = zip(of["topology"], texts(of["status"]), of["finite_steps"], strict=True)
    for number, ((index, status, finite), values) in enumerate(zip(heads, moving, strict=True)):
        moved = dict(zip(MOVING, values, strict=True))
        one = Trajectory(
            topology=topologies[int(index)], status=status, finite_steps=int(finite), **moved
        )
        refuse_unsound(one, f"{file.filename}, trajectory {number}")
        yield one


def _list(text: str) -> tuple[Any, ...]:
    names = json.loads(text)
    if not isinstance(names, list):
        raise ValueError("names of nodes are no list")
    return tuple(names)


def _refuse_absurd(rows: Any, file: h5py.File) -> None:
    """Every row of every trajectory has a number in the file."""
    if rows.size and (rows.min() < 0 or sum(map(int, rows)) > claimable(file.id.get_filesize())):
        raise ValueError("its graphs have more rows than a file of this size can hold")
