"""Checkpoints are written whole, verified before they are read, and can run nothing."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import CheckpointIO

from simlearn.component import ArchiveError, EnvironmentFault
from simlearn.training.drift import KEPT
from simlearn.training.durable import LAST, PREVIOUS, beside, sum_of, write

# what a checkpoint of Lightning holds, and what simlearn adds
PARTS: dict[str, type] = {
    "state_dict": dict,
    "loops": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    KEPT: dict,
}


class CheckpointFiles(CheckpointIO):
    """How Lightning writes and reads checkpoints here.

    Each is read again before it is written: what a checkpoint cannot give back is refused when a
    training begins, or when it comes in, and not when it is resumed; the one before it stays.

    Args:
        spill: A folder on another disk, for a checkpoint that cannot be written where it belongs.

    Raises:
        EnvironmentFault: The disk is full or cannot be written; what was there before is intact.
        ArchiveError: Something in the checkpoint is no number, text, list or tensor; or a
            checkpoint that is read is damaged, missing, or holds more than that.
    """

    def __init__(self, spill: Path | None = None):
        self.spill = spill
        self._sound: set[Path] = set()  # what this process wrote or verified

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Write it whole, or leave what was there."""
        target, buffer = Path(path).absolute(), io.BytesIO()
        torch.save(checkpoint, buffer)
        _refuse_unreadable(checkpoint, buffer)
        body = buffer.getbuffer()
        try:
            self._write(target, body)
        except OSError as error:
            raise EnvironmentFault(self._spilled(error, target, body)) from error

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Verify, then read; only tensors and plain types, whatever was asked for."""
        found = read(path, map_location or "cpu")
        self._sound.add(Path(path).absolute())
        return found

    def remove_checkpoint(self, path: Any) -> None:
        """Remove it and its SHA-256."""
        for one in (Path(path), beside(Path(path))):
            one.unlink(missing_ok=True)

    def _write(self, target: Path, body: memoryview) -> None:
        if target.name == LAST and target.exists() and target not in self._sound:
            with contextlib.suppress(ArchiveError):  # a damaged one never replaces a sound one
                verified(target)
                self._sound.add(target)
        write(target, body, keep=target in self._sound)
        self._sound.add(target)

    def _spilled(self, error: OSError, target: Path, body: memoryview) -> str:
        """The message of a failed write, after the attempt to write elsewhere."""
        free = ""
        with contextlib.suppress(OSError):
            free = f", {shutil.disk_usage(target.parent).free} bytes are free there"
        told = (
            f"The checkpoint {target} was not written: {error.strerror or error}. It needs "
            f"{len(body)} bytes{free}. What was there before is intact."
        )
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if self.spill is None:
            hint = "Make room" if full else "Give write access"
            return f"{told} {hint}, or name a folder on another disk with --spill DIR, and resume."
        other = self.spill.absolute() / f"{target.parent.parent.name}-{target.name}"
        try:
            write(other, body)
        except OSError as second:
            return f"{told} Nor could {other} be written: {second.strerror or second}."
        return f"{told} It was saved as {other}: go on with --resume {other}."


def verified(path: Path | str) -> bytes:
    """The bytes of a checkpoint that is what was written.

    Raises:
        ArchiveError: It is missing, no local file, empty, or damaged; with the expected SHA-256 and
            the one found.
    """
    if "://" in str(path):
        raise ArchiveError(f"A checkpoint is a local file, and {path} is a URL: it is not fetched.")
    path = Path(path)
    try:
        body = path.read_bytes()
    except OSError as error:
        raise ArchiveError(
            f"The checkpoint {path} cannot be read: {error.strerror or error}."
        ) from error
    found, wanted = hashlib.sha256(body).hexdigest(), sum_of(path)
    if wanted is not None and found != wanted:
        size = "empty" if not body else f"{len(body)} bytes long"
        raise ArchiveError(
            f"The checkpoint {path} is damaged: it is {size}, its SHA-256 is {found}, and "
            f"{beside(path).name} says {wanted}."
        )
    if wanted is None and not _whole(body):
        raise ArchiveError(
            f"The checkpoint {path} is damaged or no checkpoint: it has {len(body)} bytes and the "
            f"SHA-256 {found}; none was expected, for there is no {beside(path).name}."
        )
    return body


def _whole(body: bytes) -> bool:
    """Whether the CRC-32 of every part of an archive without a SHA-256 is right."""
    try:
        return zipfile.ZipFile(io.BytesIO(body)).testzip() is None
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, RuntimeError):
        return False


def read(path: Path | str, device: Any = "cpu") -> dict[str, Any]:
    """A verified checkpoint; nothing in it can import or run anything.

    Raises:
        ArchiveError: It is damaged, or holds more than tensors and plain types.
    """
    body = verified(path)
    try:
        found = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    except Exception as error:
        raise ArchiveError(
            f"The checkpoint {path} holds more than weights and plain types "
            f"({type(error).__name__}); it was not loaded. Take one that simlearn wrote."
        ) from error
    if not isinstance(found, dict) or "state_dict" not in found:
        raise ArchiveError(f"{path} is no checkpoint of a training.")
    for name, kind in PARTS.items():
        if not isinstance(found.get(name, kind()), kind):
            raise ArchiveError(
                f"{path} is no checkpoint of a training: its {name} is a "
                f"{type(found[name]).__name__}, and wanted is a {kind.__name__}."
            )
    return found


def newest(folder: Path, tell: Callable[[str], None]) -> Path | None:
    """The newest checkpoint of a folder that is sound; None where there is none at all.

    ``last.ckpt`` and ``previous.ckpt`` come first: other callbacks take theirs in the middle of
    Lightning's bookkeeping, and a training does not go on from there to the same bits.

    Args:
        folder: Where they are.
        tell: Hears which were skipped, and why.

    Raises:
        ArchiveError: All of them are damaged.
    """
    others = [path for path in folder.glob("*.ckpt") if path.name not in (LAST, PREVIOUS)]
    others.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    there = [folder / LAST, folder / PREVIOUS, *others]
    faults = []
    for path in there:
        if path.exists():
            try:
                read(path)
            except ArchiveError as error:
                faults.append(str(error))
                continue
            for fault in faults:
                tell(f"skipped: {fault}")
            return path
    if faults:
        raise ArchiveError(" ".join([*faults, f"No other checkpoint in {folder} is sound."]))
    return None


def _refuse_unreadable(checkpoint: dict[str, Any], buffer: io.BytesIO) -> None:
    buffer.seek(0)
    try:
        torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ArchiveError(
            f"A checkpoint of this training could not be read again: {_culprit(checkpoint)} keeps "
            "something that is no number, text, list or tensor. A callback, an optimizer or a "
            "schedule keeps plain types in its state_dict."
        ) from error


def _culprit(part: Any, name: str = "the checkpoint") -> str:
    """Where in a checkpoint the first thing stands that cannot be read again."""
    if isinstance(part, dict):
        items = [(key, value) for key, value in part.items()]
    elif isinstance(part, list | tuple):
        items = list(enumerate(part))
    else:
        return name
    for key, value in items:
        buffer = io.BytesIO()
        try:
            torch.save(value, buffer)
            torch.load(io.BytesIO(buffer.getvalue()), map_location="cpu", weights_only=True)
        except Exception:
            return _culprit(value, f"{name}[{key!r}]" if name != "the checkpoint" else str(key))
    return name
