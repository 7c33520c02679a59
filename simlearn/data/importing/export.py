"""Trajectories as a table that every program reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simlearn.component import EnvironmentFault
from simlearn.data.importing.columns import state_names
from simlearn.state import Trajectory


def write_csv(
    path: Path, trajectories: Sequence[Trajectory], provenance: Mapping[str, Any]
) -> None:
    """One line for each sample of each row: system, time, node, state; whole or not at all.

    Columns are called as in the file that was imported, where one was, with their units as in
    ``q [m]``.

    Raises:
        EnvironmentFault: The file cannot be written.
    """
    import pandas as pd

    columns = provenance.get("columns", {})
    time, system = columns.get("time") or "t", columns.get("system") or "system"
    frames = []
    for number, one in enumerate(trajectories):
        rows, steps = one.topology.rows, one.steps
        frame = pd.DataFrame(
            one.x.reshape(steps * rows, -1).numpy(), columns=state_names(columns, one.dim)
        )
        t = one.t if one.t.ndim == 1 else one.t[:, 0]
        frame.insert(0, time, t.repeat_interleave(rows).numpy())
        if rows > 1:
            frame.insert(0, columns.get("node") or "node", _labels(one) * steps)
        frame.insert(0, system, number)
        frames.append(frame.rename(columns=_with_units(columns.get("units") or {})))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.concat(frames).to_csv(partial, index=False)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise EnvironmentFault(f"Cannot write {path}: {error}.") from error


def _with_units(units: Mapping[str, str]) -> dict[str, str]:
    return {name: f"{name} [{unit}]" for name, unit in units.items() if unit}


def _labels(one: Trajectory) -> list[str]:
    topology = one.topology
    if topology.node_type is not None and topology.node_names:
        return [topology.node_names[k] for k in topology.node_type.tolist()]
    return [str(k) for k in range(topology.rows)]
