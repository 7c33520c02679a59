"""Real processes that can be killed, cheap enough for many."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).parent


@dataclasses.dataclass
class Process:
    """A child that runs simlearn."""

    server: object
    pid: int
    log: pathlib.Path
    note: pathlib.Path

    def wait(self):
        """Its exit code; -9 where it was killed."""
        return self.server.ask(wait=self.pid)

    def said(self):
        """All it wrote."""
        return self.log.read_text(encoding="utf-8") if self.log.exists() else ""

    def seen(self):
        """Where it was killed, or which events belonged to which phase."""
        return json.loads(self.note.read_text())

    def until(self, condition, seconds=120):
        """Wait until something is true of what it does."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"nothing happened: {self.said()}"
            os.kill(self.pid, 0)
            time.sleep(0.005)


class Forks:
    """The server; `start` runs simlearn in a child, `run` waits for it."""

    def __init__(self, process):
        self.process, self.count = process, 0

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the server ended with {self.process.wait()}"
        return int(answer)

    def start(self, cwd, *argv, kill=None, counted=False, limit=None, **environment):
        self.count += 1
        log, note = (cwd / f"{self.count}.{name}" for name in ("log", "note"))
        pid = self.ask(
            cwd=str(cwd), argv=[str(a) for a in argv], log=str(log), note=str(note), kill=kill,
            counted=counted or kill is not None, limit=limit, environment=environment,
        )  # fmt: skip
        return Process(self, pid, log, note)

    def run(self, cwd, *argv, **how):
        process = self.start(cwd, *argv, **how)
        return process.wait(), process


@contextlib.contextmanager
def served():
    """The server while the block runs."""
    process = subprocess.Popen(
        [sys.executable, HERE / "crashes.py"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    )
    yield Forks(process)
    process.stdin.close()
    process.wait(timeout=30)
