"""``simlearn generate``: trajectories into a dataset file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simlearn.cli import Options
from simlearn.cli.parsing import configs_in, parser, prepare
from simlearn.component import (
    ConfigError,
    EnvironmentFault,
    SimlearnError,
    describe,
)
from simlearn.data.generate import DatasetGenerator, sample_times
from simlearn.data.kept import Kept
from simlearn.data.parallel import draw, pieces_of
from simlearn.data.room import refuse_large
from simlearn.data.writer import Writer
from simlearn.state import Trajectory
from simlearn.training.drift import Facts
from simlearn.training.record import versions

DESCRIPTION = """Draw trajectories from a generator into a dataset file (HDF5).

Trajectory i depends on the seed and on i only. The file appears under its name when it is complete.
`simlearn plugins --load` lists the generators; --generator.help NAME shows the arguments of one."""


def run(command: str, argv: list[str], options: Options) -> int:
    """Draw and write."""
    known = prepare(options)
    reader = parser(command, DESCRIPTION, known, configs_in(argv))
    reader.add_argument("-c", "--config", action="config", help="YAML with any of these options")
    reader.add_argument(
        "--generator", type=DatasetGenerator, required=True, help="which generator, by name"
    )
    reader.add_argument("--count", type=int, default=1, help="number of trajectories")
    reader.add_argument("--steps", type=int, required=True, help="states of each trajectory")
    reader.add_argument(
        "--dt", type=float, required=True, help="time between two states, in the generator's unit"
    )
    reader.add_argument("--seed", type=int, default=0, help="seed of the draw")
    reader.add_argument(
        "--workers", type=int, default=1, help="processes that draw; their number changes no bit"
    )
    reader.add_argument("--out", type=str, required=True, help="the file to write, FILE.h5")
    reader.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    given = reader.instantiate_classes(reader.parse_args(argv))
    if given.count < 1 or given.workers < 1:
        raise ConfigError(
            f"--count and --workers must be at least 1, got {given.count} and {given.workers}."
        )
    more = {"allow_import": options.allow} if options.allow else {}
    _write(given, more, known.versions())
    return 0


def _write(given: Any, more: dict[str, Any], plugins: dict[str, str]) -> None:
    refuse_large(Path(given.out), given.generator, given.count, given.steps, given.workers)
    times = sample_times(given.steps, given.dt)
    began = time.monotonic()
    request = {
        "generator": describe(given.generator),
        "steps": given.steps,
        "dt": given.dt,
        "seed": given.seed,
        "versions": versions(),
    }
    facts = Facts(request, plugins).to_json(None)  # also of the code that draws
    with Writer(given.out, given.overwrite) as writer, _kept(given, facts) as kept:
        drawn = draw(given.generator, given.count, times, given.seed, given.workers, kept)
        one = _appended(writer, drawn, given.count)
        accuracy = given.generator.accuracy(times, given.seed)
        told = {"count": given.count, "units": dict(given.generator.units())}
        digest = writer.finish({**request, **told, "measured_error": accuracy, **more})
    if sys.stderr.isatty():
        print(file=sys.stderr)
    shape = " x ".join(map(str, one.x.shape))
    error = "" if accuracy is None else f", measured error {accuracy:.1e}"
    if accuracy is not None and accuracy > 1e-2:
        error += " (errors grow along chaotic orbits: states at the end are typical, not forecasts)"
    print(
        f"{given.out}: {given.count} trajectories [steps, rows, dim] = {shape}{error}, "
        f"digest {digest[:12]}, {time.monotonic() - began:.1f} s"
    )


def _appended(writer: Writer, drawn: Iterator[Trajectory], count: int) -> Trajectory:
    """Write what is drawn; returns the last of it."""
    for number, one in enumerate(drawn, 1):
        writer.append(one)
        if sys.stderr.isatty():
            print(f"\r{number}/{count} trajectories", end="", file=sys.stderr, flush=True)
    return one


@contextmanager
def _kept(given: Any, facts: dict[str, Any]) -> Iterator[Kept | None]:
    """Where pieces of a long draw are kept; they stay where the same command would go on.

    Only who holds the lock of the file may use it.
    """
    kept = Kept(Path(given.out), facts)
    if kept.found:
        what = f"{kept.found} pieces of {given.out} that were drawn before"
        print(f"simlearn: going on from {what}", file=sys.stderr)
    try:
        yield kept if len(pieces_of(given.generator, given.count)) > 1 else None
    except SimlearnError as error:
        if not isinstance(error, EnvironmentFault):
            kept.remove()
        raise
    kept.remove()
