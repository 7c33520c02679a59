"""Which files an import writes, and which of them it must not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py

from simlearn.component import ConfigError, DataError
from simlearn.data.importing.sources import sha256
from simlearn.data.layout import DAMAGE, FORMAT, attribute


def targets(out: Path, sources: Sequence[Path], held_out: float) -> list[Path]:
    """The dataset to write, and the held-out one after it.

    Raises:
        ConfigError: One of them is a source, or no FILE.h5.
        DataError: A held-out file of an earlier import would hold what is training data now.
    """
    test = out.with_name(f"{out.stem}-test{out.suffix}")
    found = [out, test] if held_out else [out]
    read = {path.resolve() for path in sources}
    for path in found:
        if path.resolve() in read:
            raise ConfigError(f"{path} is one of the sources; choose another --out.")
    if out.suffix.lower() not in (".h5", ".hdf5"):
        raise ConfigError(f"--out is a dataset, FILE.h5; got {out}.")
    if not held_out and test.resolve() not in read and _stale(test, out, sources):
        raise DataError(
            f"{test} holds out trajectories of these sources, from an earlier import; without "
            f"--held-out they would be training data in {out} as well. Remove {test}, keep "
            "--held-out, or choose another --out."
        )
    return found


def _stale(test: Path, out: Path, sources: Sequence[Path]) -> bool:
    """Whether a file holds out trajectories of these sources, or of what ``out`` was so far."""
    told = _provenance(test)
    if told is None:
        return False
    kept = {one.get("sha256") for one in told.get("imported", {}).get("files", [])}
    return told == _provenance(out) or bool(kept & {sha256(path) for path in sources})


def _provenance(path: Path) -> dict[str, Any] | None:
    """Where an imported dataset comes from; None where it is none."""
    if not path.is_file():
        return None
    try:
        with h5py.File(path, "r") as file:
            ours = attribute(file, "format") == FORMAT
            told = json.loads(attribute(file, "provenance")) if ours else None
    except DAMAGE:
        return None
    return told if isinstance(told, dict) and "imported" in told else None
