"""How a run ends: with an archive, or early, and then with how it goes on."""

from __future__ import annotations

import contextlib
import shutil
import sys
from typing import TYPE_CHECKING

from simlearn import archive
from simlearn.cli.runs import first_process, unused
from simlearn.cli.signals import Stopped
from simlearn.component import (
    ConfigError,
    EnvironmentFault,
    NumericalError,
    SimlearnError,
)
from simlearn.simulator import Simulator
from simlearn.training.kinds import unusable
from simlearn.training.ledger import Ledger
from simlearn.training.restoring import from_restoring

if TYPE_CHECKING:
    from simlearn.cli.lightning import Run


def keep(trained: Simulator, run: Run) -> None:
    """Write the archive of a run; an older one stays beside it.

    Raises:
        EnvironmentFault: It cannot be written there; with --spill it was written elsewhere.
    """
    target = run.folder / "simulator"
    try:
        new = archive.save(trained, unused(target))
    except EnvironmentFault as error:
        raise EnvironmentFault(f"{error} {_spilled(trained, run)}") from error
    if new != target:
        target.rename(unused(run.folder / "simulator-before"))
        new.rename(target)


def _spilled(trained: Simulator, run: Run) -> str:
    """What became of an archive that could not be written where it belongs."""
    if run.spill is None:
        return "Name a folder on another disk with --spill DIR."
    other = unused(run.spill.absolute() / f"{run.folder.name}-simulator")
    try:
        archive.save(trained, other)
    except EnvironmentFault as second:
        return str(second)
    return f"It was saved as {other}."


def tell(error: BaseException, run: Run, ledger: Ledger | None, saved: bool) -> None:
    """How a training that ended early goes on; what never began leaves no folder behind.

    Args:
        error: What ended it.
        run: What was done, and where.
        ledger: What the training remembers; None where there was none yet.
        saved: Whether there is a checkpoint of it.
    """
    if run.command != "fit" or not first_process():
        return
    began = ledger is not None and ledger.began
    worked = ledger is not None and (bool(ledger.start) or (began and ledger.updates > 0))
    explained = isinstance(error, NumericalError | Stopped)
    if (run.claimed or run.aside) and not worked and not explained:
        shutil.rmtree(run.folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            run.folder.parent.rmdir()  # only where nothing else is in it
    elif run.aside or not began or isinstance(error, NumericalError | ConfigError):
        return  # what would fail again is not advised
    elif saved:
        _say(f"it is saved; the same command with --run {run.folder.name} --resume goes on")
    else:
        _say("nothing is saved: this training keeps no checkpoints")


def _say(line: str) -> None:
    print(f"simlearn: {line}", file=sys.stderr)


def refused(error: BaseException, run: Run) -> SimlearnError | None:
    """What the user did, where Lightning or torch raised a RuntimeError of it; else None."""
    told = str(error)
    if run.checkpoint and from_restoring(error):
        return unusable(error, run.checkpoint)
    if (
        isinstance(error, RuntimeError) and "conditioned on metric" in told
    ):  # EarlyStopping, the only callback that says it like this
        return ConfigError(told)
    return None
