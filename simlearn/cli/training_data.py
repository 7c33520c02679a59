"""The data a simulator was trained on, found again for the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simlearn.catalog import Catalog
from simlearn.component import SimlearnError, build
from simlearn.data.generate import DatasetGenerator, sample_times
from simlearn.data.store import read
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.record import ranges


def training_data(
    given: str | None,
    simulator: Simulator,
    known: Catalog,
    wanted: bool,
    tell: Callable[[str], None],
) -> Sequence[Trajectory]:
    """What was named, or what the archive says it was trained on: its file, or drawn anew.

    Only data whose SHA-256 is that of the training are taken. Nothing is looked for where no check
    asks for it, and nothing is raised: a check that cannot do without says so itself.
    """
    if given is not None:
        return read(given).trajectories
    kept = simulator.provenance.get("data", {})
    if not wanted or not isinstance(kept, Mapping):
        return ()
    try:
        found = _found(kept, known, tell)
    except SimlearnError:
        return ()
    told = simulator.provenance.get("training", {})
    found = found[: int(told.get("trajectories", 0))]  # what was held out comes last
    if not found or ranges(found)["sha256"] != told.get("sha256"):
        return ()
    return found


def _found(
    kept: Mapping[str, Any], known: Catalog, tell: Callable[[str], None]
) -> Sequence[Trajectory]:
    if "file" in kept:
        path = Path(str(kept["file"]))
        if not path.is_file():
            return ()
        tell(f"training data: {path}")
        return list(read(path).trajectories)
    if not isinstance(kept.get("generator"), Mapping):
        return ()
    generator = build(kept["generator"], known.find)
    if not isinstance(generator, DatasetGenerator):
        return ()
    tell(f"training data: drawn anew by {type(generator).__name__}, as for the training")
    times = sample_times(int(kept["steps"]), float(kept["dt"]))
    return list(generator.draw(range(int(kept["count"])), times, int(kept["seed"])))
