"""Writing a checkpoint so that no moment is without a whole one.

A file is written under a temporary name in its own folder, flushed to the disk, and then renamed.
``last.ckpt`` becomes ``previous.ckpt`` when a new one comes, and every ``NAME.ckpt`` has its
``NAME.ckpt.sha256`` as `sha256sum` writes it. The renames are in such an order that between any two
of them one whole checkpoint is there with its own SHA-256.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

LAST, PREVIOUS, BESIDE = "last.ckpt", "previous.ckpt", ".sha256"


def beside(path: Path) -> Path:
    """The file that holds the SHA-256 of another."""
    return path.with_name(path.name + BESIDE)


def write(target: Path, body: memoryview | bytes, keep: bool = False) -> None:
    """Write a checkpoint and its SHA-256.

    Args:
        target: Its path; the folder is made.
        body: What is written.
        keep: Whether the file that is there becomes the previous one (``last.ckpt`` only).
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    keep = keep and target.name == LAST and target.exists()
    older = target.with_name(PREVIOUS)
    with contextlib.ExitStack() as left:
        new = left.enter_context(_flushed(target, body))
        told = left.enter_context(_flushed(beside(target), _line(body, target)))
        if keep:
            # first the sum, then the file: meanwhile the last one is sound, then the previous one
            before = sum_of(target)
            if before is None:
                beside(older).unlink(missing_ok=True)
            else:
                line = f"{before}  {older.name}\n".encode()
                left.enter_context(_flushed(beside(older), line)).replace(beside(older))
            target.replace(older)
        elif target.name != LAST:
            beside(target).unlink(missing_ok=True)  # a file with none is verified by its CRCs
        told.replace(beside(target))
        new.replace(target)
    flush_folder(target.parent)


def put(target: Path, body: bytes) -> None:
    """Write one file that is under its name only when it is whole; the folder is made."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with _flushed(target, body) as new:
        new.replace(target)
    flush_folder(target.parent)


@contextlib.contextmanager
def _flushed(target: Path, body: memoryview | bytes) -> Iterator[Path]:
    """A file beside its target, on the disk; removed afterwards, unless it was renamed."""
    path = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with path.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Let the names in a folder be on the disk."""
    if hasattr(os, "O_DIRECTORY"):
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)


def _line(body: memoryview | bytes, target: Path) -> bytes:
    return f"{hashlib.sha256(body).hexdigest()}  {target.name}\n".encode()


def sum_of(path: Path) -> str | None:
    """The SHA-256 that stands beside a checkpoint."""
    try:
        return beside(path).read_text(encoding="ascii").split()[0]
    except (OSError, ValueError, IndexError):
        return None


def tidy(folder: Path) -> None:
    """Remove what a writer left that was killed; nobody else may be writing."""
    for path in folder.glob(".*.partial"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
