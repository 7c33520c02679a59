"""Whether what a dataset file says of itself fits together, before anybody computes with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.state import Trajectory
from simlearn.state.trajectory import Status

LISTS = ("state", "velocity", "momentum", "derivative", "inputs", "parameters")
Shape = tuple[Any, ...]  # None: any number; three dots: whatever follows


def told(given: Any) -> dict[str, Any]:
    """The provenance of a dataset, whose parts are of the kinds that are read of them.

    Raises:
        ValueError: One is of another.
    """
    if not isinstance(given, dict):
        raise ValueError("its provenance is no mapping")
    for name in ("columns", "units"):
        if not isinstance(given.get(name, {}), dict):
            raise ValueError(f"{name} of its provenance is no mapping")
    _names(given.get("columns", {}))
    for units in (given.get("units", {}), given.get("columns", {}).get("units", {})):
        if not isinstance(units, dict) or not all(isinstance(u, str) for u in units.values()):
            raise ValueError("units of its provenance are no texts by name")
    return given


def _names(columns: Mapping[str, Any]) -> None:
    for name in LISTS:
        value = columns.get(name) or []
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise ValueError(f"the columns {name} of its provenance are no list of names")
    for name in ("time", "node", "system"):
        if not isinstance(columns.get(name), str | None):
            raise ValueError(f"the column {name} of its provenance is no name")


def refuse_unsound(one: Trajectory, where: str) -> None:
    """Refuse a trajectory whose parts have other shapes or types than the format says.

    Raises:
        DataError: One has.
    """
    steps, rows, _ = one.x.shape
    topology = one.topology
    edges, systems = topology.graph.edge_index.shape[1], topology.num_systems
    per_system: Shape = (steps,) if one.t.ndim == 1 else (steps, systems)
    for name, value, shape, kind in (
        ("t", one.t, per_system, "real"),
        ("x", one.x, (None, rows, None), "real"),
        ("derivative", one.derivative, tuple(one.x.shape), "real"),
        ("inputs", one.inputs, (steps, rows, None), "any"),
        ("mask", one.mask, (steps, rows), "bool"),
        ("edge_attr", topology.edge_attr, (edges, ...), "any"),
        ("node_attr", topology.node_attr, (rows, ...), "any"),
        ("node_type", topology.node_type, (rows,), "whole"),
        ("system_attr", topology.system_attr, (systems, ...), "any"),
        ("topology inputs", topology.inputs, (rows, ...), "any"),
        ("system", topology.system, (rows,), "whole"),
    ):
        if value is not None and (wrong := _fault(value, shape, kind)):
            raise DataError(f"{where}: {name} {wrong}. The file was made by something else.")
    _refuse_places(one, where)


def _fault(value: Tensor, shape: Shape, kind: str) -> str:
    open_ended = shape[-1] is ...
    fixed = shape[:-1] if open_ended else shape
    sizes = value.shape[: len(fixed)] if open_ended else value.shape
    if len(sizes) != len(fixed) or any(
        wanted not in (None, size) for wanted, size in zip(fixed, sizes, strict=True)
    ):
        wanted_shape = ["any" if n is None else n for n in fixed]
        return f"has the shape {list(value.shape)}, wanted {wanted_shape}"
    fits = {
        "any": True,
        "real": value.is_floating_point(),
        "bool": value.dtype == torch.bool,
        "whole": value.dtype == torch.int64,
    }
    return "" if fits[kind] else f"holds {value.dtype}, not {kind} numbers"


def _refuse_places(one: Trajectory, where: str) -> None:
    """Refuse numbers of systems and kinds that are not there."""
    topology = one.topology
    if not 0 < topology.num_systems <= max(1, topology.rows):
        raise DataError(f"{where}: {topology.num_systems} systems of {topology.rows} rows.")
    names, kinds = topology.node_names, topology.node_type
    if not all(isinstance(name, str) for name in names):
        raise DataError(f"{where}: a name of a node is no text.")
    last = len(names) if names else None
    for name, value, count in (("system", topology.system, topology.num_systems),
                               ("node_type", kinds, last)):  # fmt: skip
        if value is None or not value.numel():
            continue
        low, high = int(value.min()), int(value.max())
        if low < 0 or (count is not None and high >= count):
            raise DataError(f"{where}: {name} goes from {low} to {high}, there are {count}.")
    if one.status not in get_args(Status):
        raise DataError(f"{where}: the status {one.status!r} is none of {get_args(Status)}.")
