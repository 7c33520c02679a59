"""Signals that ask a training to stop: it is saved at the next step and ends with its exit code."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Any, NoReturn, Self

from lightning.pytorch import Trainer
from lightning.pytorch.plugins.environments import SLURMEnvironment

from simlearn.cli.runs import first_process
from simlearn.component import SimlearnError
from simlearn.training.resume import Listener

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
if hasattr(signal, "SIGUSR1"):
    CODES[signal.SIGUSR1] = 143  # what SLURM sends before the time is up


class Stopped(SimlearnError):
    """Somebody asked for an end."""

    def __init__(self, number: int):
        super().__init__("interrupted" if number == signal.SIGINT else "terminated")
        self.exit_code = CODES[signal.Signals(number)]


class Signals(Listener):
    """Hears SIGTERM, SIGINT and SIGUSR1 while the block runs.

    While a training runs, the first one is remembered until the next step boundary, and a second
    one ends the process at once. At other times there is nothing to save, so the first one ends it.
    Whenever SLURM's time is up, the job is queued again.
    """

    def __init__(self) -> None:
        self.caught: int | None = None
        self.training = False
        self.trainer: Trainer | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # what was ignored by whoever started this stays ignored
            before = {number: signal.getsignal(number) for number in CODES}
            self._before = {n: h for n, h in before.items() if h is not signal.SIG_IGN}
            self._install()
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def begin(self, trainer: Trainer) -> None:
        """A training begins; Lightning has put handlers of its own in place by now."""
        self.training = True
        self._install()

    def end(self) -> None:
        """It has ended."""
        self.training = False

    def asked(self) -> int | None:
        """Which signal came."""
        return self.caught

    def leave(self, trainer: Trainer, number: int) -> None:
        """Everything is saved: end.

        Raises:
            Stopped: Always.
        """
        self._stop(number)

    def _stop(self, number: int) -> NoReturn:
        first = first_process() if self.trainer is None else self.trainer.is_global_zero
        if first and number == getattr(signal, "SIGUSR1", None):
            _requeue(self.trainer)
        raise Stopped(number)

    def _install(self) -> None:
        for number in self._before:
            signal.signal(number, self._heard)

    def _heard(self, number: int, frame: FrameType | None) -> None:
        for other in self._before:
            signal.signal(other, signal.SIG_DFL)
        if not self.training:
            self._stop(number)
        self.caught = number


def _requeue(trainer: Trainer | None) -> None:
    """Let SLURM run the job again, where it runs one and nobody forbade it."""
    environment = trainer and trainer._accelerator_connector.cluster_environment
    forbidden = isinstance(environment, SLURMEnvironment) and not environment.auto_requeue
    if "SLURM_JOB_ID" not in os.environ or forbidden:
        return
    job = os.environ["SLURM_JOB_ID"]
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    program = shutil.which("scontrol")
    if program is None:
        print("simlearn: there is no scontrol, so the job is not queued again", file=sys.stderr)
        return
    done = subprocess.run([program, "requeue", job], capture_output=True, text=True, check=False)
    told = f"job {job} is queued again"
    if done.returncode:
        told = f"job {job} was not queued again: {done.stderr.strip() or done.returncode}"
    print(f"simlearn: {told}", file=sys.stderr)
