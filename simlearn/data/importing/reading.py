"""From files to checked trajectories, whatever the files are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from simlearn.component import ConfigError, DataError
from simlearn.data.importing import arrays, containers, samples, units
from simlearn.data.importing.binary import open_parquet
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.edges import Edges
from simlearn.data.importing.flat import flat
from simlearn.data.importing.graphs import connect
from simlearn.data.importing.missing import Policy
from simlearn.data.importing.samples import Sample
from simlearn.data.importing.settled import Settled
from simlearn.data.importing.sources import TABLES
from simlearn.data.importing.tables import Source, tables
from simlearn.data.importing.texts import Format, open_csv
from simlearn.state import Topology


@dataclass(frozen=True)
class Wish:
    """What was asked for besides the columns."""

    columns: Columns
    written: Format
    policy: Policy
    edges: Edges | None
    complete: bool
    axes: Sequence[str] | None
    settled: Settled = field(default_factory=Settled)


def found(path: Path, wish: Wish) -> Iterator[tuple[Sample, Columns]]:
    """The trajectories of a file as they were found, with the completed column map."""
    if path.suffix.lower() in TABLES:
        binary = path.suffix.lower() in (".parquet", ".pq")
        yield from _of_table(open_parquet(path) if binary else open_csv(path, wish.written), wish)
        return
    with containers.open_arrays(path) as groups:
        for group, held in groups:
            yield from _of_group(path, group, held, wish)


def _of_group(
    path: Path, group: str, held: containers.Arrays, wish: Wish
) -> Iterator[tuple[Sample, Columns]]:
    """The trajectories of one group of arrays; none of a group that holds nothing to read."""
    where = f"{path}{':' + group if group else ''}"
    there = containers.usable(held, set(wish.columns.used()))
    if not there:
        return
    try:
        columns = wish.settled.columns_of(wish.columns, there, where)
    except ConfigError as error:
        aside = [one.reason for one in held.values() if isinstance(one, containers.Foreign)]
        if not aside or wish.columns.state:
            raise
        raise DataError(f"{error} Left aside: {aside[0]}.") from error
    containers.ready(held, list(columns.used()), path)
    units.checked(columns, where)
    wish.settled.units_of(columns, where)
    if columns.system is None:
        yield from arrays.samples(where, held, columns, path, wish.axes)
        return
    source, columns = flat(held, columns, path, where)
    yield from _rows(source, columns, wish)


def _of_table(source: Source, wish: Wish) -> Iterator[tuple[Sample, Columns]]:
    raw = dict(zip(source.raw, source.names, strict=True))
    asked = _without_units(wish.columns, raw)
    columns = wish.settled.columns_of(asked, source.names, str(source.path)).counted()
    columns = replace(columns, units=units.merged(columns.units, source.units))
    units.checked(columns, str(source.path))
    wish.settled.units_of(columns, str(source.path))
    yield from _rows(source, columns, wish)


def _rows(source: Source, columns: Columns, wish: Wish) -> Iterator[tuple[Sample, Columns]]:
    for table in tables(source, columns):
        for one in samples.samples(table, columns, wish.settled):
            yield one, columns


def _without_units(columns: Columns, raw: Mapping[str, str]) -> Columns:
    """A column may be named as it stands in the header, unit and all."""
    changes: dict[str, Any] = {}
    for part, value in vars(columns).items():
        if isinstance(value, str):
            changes[part] = raw.get(value, value)
        elif isinstance(value, tuple):
            changes[part] = tuple(raw.get(name, name) for name in value)
    return replace(columns, **changes)


def topology_of(sample: Sample, wish: Wish, known: dict[Any, Topology]) -> Topology:
    """The topology of a sample; one object for all that are alike."""
    labels = tuple(sample.nodes)
    if wish.edges is not None and not labels:
        raise ConfigError("A graph was given, but the data have no nodes: name them with --node.")
    if labels not in known:
        known[labels] = connect(wish.edges, labels, wish.complete)
    base = known[labels]
    changes = {}
    if sample.system_attr is not None:
        changes["system_attr"] = torch.from_numpy(np.array(sample.system_attr))[None]
    if sample.node_attr is not None:
        changes["node_attr"] = torch.from_numpy(np.array(sample.node_attr))
    if not changes:
        return base
    key = (labels, *(value.numpy().tobytes() for value in changes.values()))
    if key not in known:
        known[key] = base.replace(**changes)
    return known[key]
