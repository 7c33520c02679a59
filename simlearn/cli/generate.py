"""``simlearn generate``: trajectories into a dataset file."""

from __future__ import annotations

import sys
import time
from typing import Any

from simlearn.cli import Options
from simlearn.cli.parsing import configs_in, parser, prepare
from simlearn.component import ConfigError, describe
from simlearn.data.generate import DatasetGenerator, sample_times
from simlearn.data.parallel import draw
from simlearn.data.writer import Writer
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
    _write(given)
    return 0


def _write(given: Any) -> None:
    times = sample_times(given.steps, given.dt)
    began = time.monotonic()
    with Writer(given.out, given.overwrite) as writer:
        drawn = draw(given.generator, given.count, times, given.seed, given.workers)
        for number, one in enumerate(drawn, 1):
            writer.append(one)
            if sys.stderr.isatty():
                print(f"\r{number}/{given.count} trajectories", end="", file=sys.stderr, flush=True)
        accuracy = given.generator.accuracy(times, given.seed)
        digest = writer.finish(
            {
                "generator": describe(given.generator),
                "count": given.count,
                "steps": given.steps,
                "dt": given.dt,
                "seed": given.seed,
                "units": dict(given.generator.units()),
                "measured_error": accuracy,
                "versions": versions(),
            }
        )
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
