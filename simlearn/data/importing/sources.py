"""Which files an import reads, and what is kept of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from simlearn.component import DataError

TABLES = (".csv", ".tsv", ".txt", ".dat", ".parquet", ".pq")


ARRAYS = (".npz", ".h5", ".hdf5")


def sources_in(given: Sequence[Path | str] | Path | str) -> list[Path]:
    """The files, those of folders in the order of their names.

    Raises:
        DataError: One is not there, or a folder holds no data.
    """
    found: list[Path] = []
    for path in map(Path, [given] if isinstance(given, str | Path) else given):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if _is_data(p))
            if not inside:
                raise DataError(f"The folder {path} holds no {', '.join(TABLES + ARRAYS)} file.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise DataError(f"There is no file {path}.")
    for path in found:
        if path.suffix.lower() not in TABLES + ARRAYS:
            raise DataError(
                f"{path}: the ending {path.suffix or '(none)'} is not known; data come as "
                f"{', '.join(TABLES + ARRAYS)}."
            )
        if path.stat().st_size == 0:
            raise DataError(f"{path} is empty.")
        if found.count(path) > 1:
            raise DataError(f"{path} was given twice.")
    return found


def _is_data(path: Path) -> bool:
    return path.suffix.lower() in TABLES + ARRAYS and not path.name.startswith(".")


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
