"""One writer at a time: a lock file that names who holds it.

The kernel holds the lock (`flock`), so a process that is killed leaves none behind: a lock file
that nobody holds is taken over. Where the file system knows no locks, the holder's process id
decides, on the same machine only.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from pathlib import Path
from typing import Any, Self

import psutil

from simlearn.component import EnvironmentFault

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class Lock:
    """Holds ``path`` while the block runs, and removes it afterwards.

    Args:
        path: The lock file.
        what: What is locked, as a sentence begins: "The run folder runs/x".

    Raises:
        EnvironmentFault: Another process holds it; the message names process, host and time.
    """

    def __init__(self, path: Path, what: str):
        self.path, self.what = path, what
        self._file: int | None = None

    def __enter__(self) -> Self:
        try:
            self._file = self._opened()
            self._sign(self._file)
        except OSError as error:
            self.__exit__()
            raise EnvironmentFault(f"Cannot write the lock {self.path}: {error}.") from error
        return self

    def _sign(self, file: int) -> None:
        """Write down who holds it."""
        began = psutil.Process().create_time()
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "began": began}
        holder["since"] = time.strftime("%Y-%m-%d %H:%M:%S")
        os.ftruncate(file, 0)
        os.write(file, json.dumps(holder).encode())

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):  # Windows removes no open file
                self.path.unlink()
            os.close(self._file)
            self._file = None

    def _opened(self) -> int:
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if self._taken(file):
                    raise EnvironmentFault(_held(self.what, self.path))
                # a holder that just finished has removed the file that was opened here
                if _same(file, self.path):
                    return file
            except BaseException:
                os.close(file)
                raise
            os.close(file)

    def _taken(self, file: int) -> bool:
        """Whether somebody else holds it; if not, it is ours now."""
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno in HELD:
                    return True
            else:
                return False
        return _lives(holder_of(self.path))


def holder_of(path: Path) -> dict[str, Any]:
    """Who wrote a lock file; empty where nobody or nothing legible stands in it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _held(what: str, path: Path) -> str:
    holder = holder_of(path)
    who = "another process"
    if holder:
        who = f"process {holder.get('pid')} on {holder.get('host')} since {holder.get('since')}"
    return f"{what} is in use by {who}. Wait until it ends, stop it, or choose another name."


def _same(file: int, path: Path) -> bool:
    try:
        there, ours = path.stat(), os.fstat(file)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _lives(holder: dict[str, Any]) -> bool:
    if holder.get("host") != socket.gethostname():
        return bool(holder)
    try:
        process = psutil.Process(int(holder["pid"]))
        return abs(process.create_time() - float(holder["began"])) < 1.0
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
