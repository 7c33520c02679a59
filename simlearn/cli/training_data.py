"""The data a simulator was trained on, found again for the gate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simlearn.catalog import Catalog
from simlearn.component import DataError, SimlearnError, build
from simlearn.data.fresh import fresh
from simlearn.data.generate import DatasetGenerator
from simlearn.data.layout import DAMAGE
from simlearn.data.store import read
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.record import ranges


def training_data(
    given: Path | str | None,
    simulator: Simulator,
    known: Catalog,
    wanted: bool,
    tell: Callable[[str], None],
) -> Sequence[Trajectory]:
    """What was named, or what the archive says it was trained on: its file, or drawn anew.

    Only data whose SHA-256 is that of the training are taken. Nothing is looked for where no check
    asks for it. Where nothing is found, the reason is told and nothing is raised: a check that
    cannot do without says so itself.
    """
    if given is not None:
        return read(given).trajectories
    if not wanted:
        return ()
    try:
        return _found(simulator, known, tell)
    except (SimlearnError, *DAMAGE) as error:  # the archive may come from anybody
        tell(f"training data not found again: {error} --training-data FILE.h5 brings them.")
        return ()


def _found(
    simulator: Simulator, known: Catalog, tell: Callable[[str], None]
) -> Sequence[Trajectory]:
    """The data that the archive names, if they are those of the training."""
    kept, told = (simulator.provenance.get(name) for name in ("data", "training"))
    if not isinstance(kept, Mapping) or not isinstance(told, Mapping) or "sha256" not in told:
        raise DataError("The archive does not say what it was trained on.")
    found = _read(kept, tell) if "file" in kept else _drawn(kept, known, tell)
    found = found[: int(told.get("trajectories", 0))]  # what was held out comes last
    if not found or ranges(found)["sha256"] != told["sha256"]:
        raise DataError("These are not the data of the training: their SHA-256 is another.")
    return found


def _read(kept: Mapping[str, Any], tell: Callable[[str], None]) -> Sequence[Trajectory]:
    path = Path(str(kept["file"]))
    if not path.is_file():
        raise DataError(f"It was trained on {path}, which is not here.")
    tell(f"training data: {path}")
    return list(read(path).trajectories)


def _drawn(
    kept: Mapping[str, Any], known: Catalog, tell: Callable[[str], None]
) -> Sequence[Trajectory]:
    if not isinstance(kept.get("generator"), Mapping):
        raise DataError("The archive names neither a file nor a generator of its data.")
    generator = build(kept["generator"], known.find)
    if not isinstance(generator, DatasetGenerator):
        raise DataError(f"{type(generator).__name__} is no generator of data.")
    tell(f"training data: drawn anew by {type(generator).__name__}, as for the training")
    count, steps, seed = (int(kept[name]) for name in ("count", "steps", "seed"))
    return fresh(generator, count, steps, float(kept["dt"]), seed, float(kept.get("noise", 0)))
