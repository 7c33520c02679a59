"""Pieces of a dataset that is being drawn, kept until it is complete: a killed draw goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simlearn.component import DataError
from simlearn.data.store import read
from simlearn.data.writer import Writer
from simlearn.state import Trajectory


class Kept:
    """Pieces in a folder beside the file in the making, each of them a complete dataset.

    A piece is taken again only where it is sound and follows from the same request.

    Args:
        path: The file in the making; who uses this holds its lock.
        request: All that the trajectories follow from, the code included, in plain JSON types.
    """

    def __init__(self, path: Path, request: Mapping[str, Any]):
        self.folder = path.with_name(f".{path.name}.pieces")
        key = json.dumps(dict(request), sort_keys=True)
        self.key = hashlib.sha256(key.encode()).hexdigest()[:16]
        self.place = self.folder / self.key
        for other in self.folder.glob("*"):
            if other != self.place:
                shutil.rmtree(other, ignore_errors=True)
        self.found = sum(1 for _ in self.place.glob("*.h5"))

    def _file(self, piece: range) -> Path:
        return self.place / f"{piece.start}-{piece.stop}.h5"

    def has(self, piece: range) -> bool:
        """Whether a sound one is there; one that is not is removed."""
        if not self._file(piece).is_file():
            return False
        try:
            self.taken(piece)
        except DataError:
            self._file(piece).unlink(missing_ok=True)
            return False
        return True

    def taken(self, piece: range) -> Sequence[Trajectory]:
        """The trajectories of a piece, verified.

        Raises:
            DataError: They are damaged, or of another request.
        """
        data = read(self._file(piece))
        if data.provenance.get("piece_of") != self.key or len(data) != len(piece):
            raise DataError(f"{self._file(piece)} is a piece of another dataset.")
        return data.trajectories

    def keep(self, piece: range, drawn: Sequence[Trajectory]) -> None:
        """Write a piece, whole or not at all."""
        with Writer(self._file(piece), overwrite=True) as writer:
            for one in drawn:
                writer.append(one)
            writer.finish({"piece_of": self.key})

    def remove(self) -> None:
        """Forget all pieces: the file is complete, or no run would end otherwise."""
        shutil.rmtree(self.folder, ignore_errors=True)
