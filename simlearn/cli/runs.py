"""Run folders: runs/NAME, never overwritten, and runs/latest."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simlearn.component import ArchiveError, ConfigError, EnvironmentFault
from simlearn.lock import Lock

RUNS = Path("runs")
FOLDER = "SIMLEARN_RUN_FOLDER"  # how a process tells its children where the run is


def named(name: str) -> Path:
    """The folder of a run.

    Raises:
        ConfigError: The name is no plain name.
    """
    plain = name.isprintable() and Path(name).name == name
    if not name or not plain or name in (".", "..", "latest"):
        raise ConfigError(f"--run is a plain name for a folder below {RUNS}/, got {name!r}.")
    return RUNS / name


def unused(path: Path) -> Path:
    """The path itself, or with -2, -3, ... appended where it is taken."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return candidate


def claim(path: Path) -> Path:
    """Make a folder that nobody has: the path, or with -2, -3, ... appended; two never get one."""
    number, candidate = 1, path
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            candidate.mkdir()
        except FileExistsError:
            number += 1
            candidate = path.with_name(f"{path.name}-{number}")
        else:
            return candidate


def launched() -> tuple[int, str] | None:
    """Rank of this process and a key that all of them share, where torchrun or SLURM began several.

    Processes that Lightning starts itself get their folder handed down instead.
    """
    env = os.environ
    if "TORCHELASTIC_RUN_ID" in env and int(env.get("WORLD_SIZE", 1)) > 1:
        alone = env.get("LOCAL_WORLD_SIZE") == env["WORLD_SIZE"]
        parts = [env["TORCHELASTIC_RUN_ID"], env.get("MASTER_PORT", "")]
        parts += [env.get("TORCHELASTIC_RESTART_COUNT", ""), str(os.getppid()) if alone else ""]
        return int(env["RANK"]), "-".join(parts)
    if "SLURM_PROCID" in env and int(env.get("SLURM_NTASKS", 1)) > 1:
        return int(env["SLURM_PROCID"]), f"{env['SLURM_JOB_ID']}-{env.get('SLURM_STEP_ID', 0)}"
    return None


def first_process() -> bool:
    """Whether this is the process that writes: the only one, or the one of rank 0."""
    rank = os.environ.get("RANK") or os.environ.get("SLURM_PROCID") or os.environ.get("LOCAL_RANK")
    return rank in (None, "0")


@contextmanager
def shared(path: Path) -> Iterator[Path]:
    """A new folder for a run; the processes of one training all get the one that rank 0 claims.

    Raises:
        EnvironmentFault: Rank 0 claims none within a minute.
    """
    given = os.environ.get(FOLDER)
    if given:
        yield Path(given)
        return
    place = launched()
    if place is None:
        yield claim(path)
        return
    rank, key = place
    note = path.with_name(f".{path.name}.{key}.run")
    if rank == 0:
        folder = claim(path)
        partial = note.with_suffix(".partial")
        partial.write_text(folder.name, encoding="utf-8")
        partial.replace(note)
    else:
        folder = path.with_name(_read_note(note))
    try:
        yield folder
    finally:
        if rank == 0:
            note.unlink(missing_ok=True)


def _read_note(note: Path) -> str:
    began, end = time.time(), time.monotonic() + 60
    while time.monotonic() < end:
        # a note that is older than the launch was left by a training that was killed
        if note.exists() and note.stat().st_mtime > began - 120:
            return note.read_text(encoding="utf-8")
        time.sleep(0.05)
    raise EnvironmentFault(
        f"The first process of this training claimed no run folder (no {note}) in a minute. All "
        "processes need the same working directory on a disk that they share."
    )


def set_latest(folder: Path) -> None:
    """Let runs/latest lead to the newest run."""
    link = RUNS / "latest"
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(folder.name, target_is_directory=True)
    except OSError as error:
        print(f"simlearn: {link} could not be set to {folder.name}: {error}", file=sys.stderr)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A run folder in which this training alone writes; made, if it is not there.

    Raises:
        EnvironmentFault: Another one does; process and host are named.
    """
    if not first_process():
        yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make the run folder {folder}: {error}.") from error
    with Lock(folder / ".lock", f"The run folder {folder}"):
        from simlearn.training.durable import tidy

        tidy(folder)
        yield


def lead(run: Path, kept: Path) -> None:
    """Let ``checkpoints`` of a run lead to where a config keeps them; there --resume finds them.

    Raises:
        ConfigError: The run keeps its own elsewhere already.
        EnvironmentFault: No link can be made.
    """
    link, kept = run / "checkpoints", kept.absolute()
    if link.absolute() == kept or not first_process():
        return
    if link.exists() or link.is_symlink():
        if link.resolve() != kept.resolve():
            raise ConfigError(
                f"{run} keeps its checkpoints in {link.resolve()}, and the config names {kept}. "
                "Name that folder, or go on as another run: "
                f"--run NAME --resume {link / 'last.ckpt'}"
            )
        return
    try:
        kept.mkdir(parents=True, exist_ok=True)
        link.symlink_to(kept, target_is_directory=True)
    except OSError as error:
        raise EnvironmentFault(
            f"Cannot keep the checkpoints of {run} in {kept}: {error.strerror or error}. Give "
            "write access, or name no folder for them."
        ) from error


def checkpoint(resume: str | None, folder: Path) -> Path | None:
    """The checkpoint that --resume names, verified; None where "last" finds none at all.

    Raises:
        ArchiveError: It is missing or damaged; a sound one beside it is named.
    """
    if resume is None:
        return None
    from simlearn.training.checkpoint import newest, read

    kept = folder / "checkpoints"
    if resume == "last":
        if kept.is_symlink() and not kept.exists():
            raise ArchiveError(
                f"{folder} keeps its checkpoints in {kept.readlink()}, which is not there. Is its "
                "disk mounted?"
            )
        return newest(kept, _say)
    try:
        read(resume)
    except ArchiveError as error:
        others = []
        for place in (Path(resume).parent, kept):
            with suppress(ArchiveError, OSError):
                others.append(newest(place, lambda line: None))
        sound = next(filter(None, others), None)
        if sound is None:
            raise
        raise ArchiveError(f"{error} A sound one: --resume {sound}") from error
    return Path(resume)


def _say(line: str) -> None:
    if first_process():
        print(f"simlearn: {line}", file=sys.stderr)
