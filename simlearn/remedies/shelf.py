"""What the search leaves behind: the table, the simulators, the winner's config and run."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from simlearn import archive
from simlearn.component import EnvironmentFault
from simlearn.remedies.config import FILE, written
from simlearn.remedies.trial import Trial, Trials
from simlearn.stability.tables import printable


@dataclass
class Shelf:
    """Folder of a report, in which remedies are kept as they are found.

    Attributes:
        out: The folder; None keeps nothing.
        run: The run, or archive, that failed; the winner's run is put beside it.
    """

    out: Path | None
    run: Path | None
    _rooms: Path | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)

    def room(self, row: Trial) -> Path | None:
        """A folder for a try, not there yet; None where nothing is kept."""
        if self.out is None:
            return None
        self._rooms = self._rooms or _unused(self.out / "remedies")
        self._count += 1
        slug = re.sub(r"[^a-z0-9]+", "-", row.change.lower()).strip("-")[:60]
        return self._rooms / f"{self._count}-{slug}"

    def store(self, row: Trial, room: Path | None) -> Trial:
        """The simulator of a try and what trains it, as a run folder."""
        if room is None or row.simulator is None:
            return row
        if not (room / "simulator").exists():
            archive.save(row.simulator, room / "simulator")
        if row.config is not None:
            _write(room / FILE, written(row.config, self._comment(row)))
        return replace(row, folder=room)

    def put(self, found: Trials) -> Trials:
        """The table as it is now."""
        if self.out is None:
            return found
        files = {name: self.out / name for name in ("remedies.json", "remedies.md")}
        if self._rooms is not None and self._rooms.exists():
            files["tries"] = self._rooms
        found = replace(found, files={**found.files, **files})
        _write(files["remedies.json"], found.to_json())
        _write(files["remedies.md"], found.to_markdown())
        return found

    def finish(self, found: Trials) -> Trials:
        """The winner moves beside the run that failed; its config lies by the table."""
        winner = found.winner
        if self.out is None:
            return found
        if winner is not None and winner.folder is not None:
            run = self.run or self.out / "simulator"
            place = _unused(run.with_name(f"{run.name}-remedied"))
            new = replace(winner, folder=_moved(winner.folder, place))
            rows = tuple(new if row is winner else row for row in found.rows)
            files = {**found.files, "run": place}
            if new.config is not None:
                files["remedied.yaml"] = _unused(self.out / "remedied.yaml")
                _write(files["remedied.yaml"], written(new.config, self._comment(new)))
            found = replace(found, rows=rows, winner=new, files=files)
        for row in found.rows:
            if row.folder is not None and row is not found.winner:
                shutil.rmtree(row.folder / "checkpoints", ignore_errors=True)
        return self.put(found)

    def _comment(self, row: Trial) -> str:
        whose = f" of {self.run}" if self.run else ""
        how = (
            f"The training{whose}, with this change."
            if row.trained
            else f"The weights{whose} are used as they are; this config would train such ones anew."
        )
        return printable(f"{row.change}: {row.remedy}\n{how}")


def _unused(path: Path) -> Path:
    """The path itself, or with -2, -3, ... appended where it is taken."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def _moved(folder: Path, place: Path) -> Path:
    try:
        shutil.move(folder, place)
    except OSError as error:
        raise EnvironmentFault(f"The winner lies in {folder}, not in {place}: {error}.") from error
    return place


def _write(path: Path, text: str) -> None:
    """A text, whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise EnvironmentFault(f"Cannot write {path}: {error}.") from error
