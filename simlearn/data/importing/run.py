"""The import itself: sources in, a dataset file out, and what was found on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from simlearn.component import ConfigError, DataError
from simlearn.data.importing import units
from simlearn.data.importing.census import Census
from simlearn.data.importing.columns import Columns, state_names
from simlearn.data.importing.graphs import read_edges
from simlearn.data.importing.missing import Policy, trajectory
from simlearn.data.importing.reading import Wish, found, topology_of
from simlearn.data.importing.sources import sha256, sources_in
from simlearn.data.importing.targets import targets
from simlearn.data.importing.texts import Format
from simlearn.data.writer import Writer
from simlearn.state import Topology, Trajectory


@dataclass
class Imported:
    """What an import found.

    Attributes:
        files: The files written, the held-out one last.
        census: Lengths, steps, ranges and directions of all trajectories.
        columns: The column map, guesses included.
        policy: What was missing.
        digests: Digest of each file written.
    """

    files: list[Path]
    census: Census
    columns: Columns
    policy: Policy
    digests: list[str] = field(default_factory=list)


def import_data(
    sources: Sequence[Path | str] | Path | str,
    out: Path | str,
    columns: Columns | None = None,
    *,
    written: Format | None = None,
    graph: Path | str | None = None,
    directed: bool = False,
    axes: Sequence[str] | None = None,
    missing: str = "error",
    constant: str = "error",
    held_out: float = 0.0,
    overwrite: bool = False,
) -> Imported:
    """Read trajectories from files into a dataset.

    Args:
        sources: Files or folders; without a system column every table is one trajectory.
        out: The dataset to write, FILE.h5.
        columns: Which column plays which part; the rest is guessed from common names.
        written: How csv files are written; found out where it is not given.
        graph: An edge list or a GraphML file with the nodes of the data, or "complete".
        directed: Whether every line of the edge list is one directed edge.
        axes: Meaning of the axes of arrays, of system, time, node, column.
        missing: "error", "drop" (samples) or "mask" (rows of samples).
        constant: "error", or "keep" for columns that never change.
        held_out: Share of trajectories (or of the time of one) that FILE-test.h5 gets.
        overwrite: Replace files of that name.

    Raises:
        ConfigError: The column map does not fit.
        DataError: Something cannot be read; the place is named.
        EnvironmentFault: Memory is too small, or an extra is missing.
    """
    _possible(missing, constant, held_out)
    made = targets(Path(out), files := sources_in(sources), held_out)
    complete = str(graph) == "complete"
    edges = None if graph is None or complete else read_edges(Path(graph), directed)
    how = columns or Columns(), written or Format(), Policy(missing), edges, complete, axes
    return _write(files, made, Wish(*how), constant, held_out, overwrite)


def _possible(missing: str, constant: str, held_out: float) -> None:
    if missing not in ("error", "drop", "mask") or constant not in ("error", "keep"):
        raise ConfigError(
            f"missing is error, drop or mask, constant is error or keep; got {missing}, {constant}."
        )
    if not 0 <= held_out < 1:
        raise ConfigError(f"held_out is a share in [0, 1), got {held_out}.")


def _write(
    files: Sequence[Path],
    made: list[Path],
    wish: Wish,
    constant: str,
    held_out: float,
    overwrite: bool,
) -> Imported:
    result = Imported(made, Census(), wish.columns, wish.policy)
    with ExitStack() as stack:
        writers = [stack.enter_context(Writer(path, overwrite)) for path in made]
        for one, last in _split(_read(files, wish, result), held_out):
            result.census.add(one)
            writers[-1 if last else 0].append(one)
        dim = 1 if result.columns.wide else len(result.columns.components)
        result.census.names = state_names(vars(result.columns), dim)
        _judge(files, result, constant)
        told = provenance(files, result)
        result.digests = [writer.complete(told) for writer in writers]
        for writer in reversed(writers):  # both are complete before one has its name
            writer.settle()
    return result


def _split(trajectories: Iterator[Trajectory], share: float) -> Iterator[tuple[Trajectory, bool]]:
    """Every so-manieth trajectory is held out; of a single one, the end of its time."""
    if not share:
        yield from ((one, False) for one in trajectories)
        return
    first = next(trajectories, None)
    second = next(trajectories, None)
    if first is not None and second is None:
        cut = first.steps - max(2, round(share * first.steps))
        if cut < 2:
            raise DataError(f"One trajectory of {first.steps} samples is too short to be split.")
        yield first.slice(0, cut), False
        yield first.slice(cut), True
        return
    if first is None or second is None:
        return
    kept = 0
    for number, one in enumerate(chain([first, second], trajectories), 1):
        # the second is held out however small the share is, the first never
        last = number > 1 and (round(share * number) > kept or number == 2)
        kept += last
        yield one, bool(last)


def _judge(files: Sequence[Path], result: Imported, constant: str) -> None:
    if result.census.count == 0:
        raise DataError(f"{files[0]} holds no trajectory.")
    wide = result.columns.wide
    still = result.census.constant(wide)
    if still and constant == "error":
        names = result.columns.state if wide else result.columns.components
        values = ", ".join(f"{names[k]} = {value:g}" for k, value in still.items())
        where = files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
        raise DataError(
            f"{where}: {values} in every sample: such a column carries no energy, and no model "
            "learns what happens along it. Leave it out of --state, or keep it with --constant "
            "keep."
        )


def _read(files: Sequence[Path], wish: Wish, result: Imported) -> Iterator[Trajectory]:
    topologies: dict[Any, Topology] = {}
    for path in files:
        for sample, columns in found(path, wish):
            if result.census.count == 0:
                result.columns = columns
            elif columns.components != result.columns.components:
                raise DataError(
                    f"{path} has the state {', '.join(columns.components)}, the files before it "
                    f"{', '.join(result.columns.components)}."
                )
            topology = topology_of(sample, wish, topologies)
            yield trajectory(sample, columns, wish.policy, topology)


def provenance(files: Sequence[Path], result: Imported) -> dict[str, Any]:
    """Where an imported dataset comes from, in plain JSON types."""
    columns = result.columns
    return {
        "imported": {
            "files": [
                {"name": p.name, "bytes": p.stat().st_size, "sha256": sha256(p)} for p in files
            ],
            "missing": {
                "policy": result.policy.missing,
                "nan": result.policy.nan,
                "infinite": result.policy.infinite,
                "samples": result.policy.samples,
            },
        },
        "columns": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in vars(columns).items()
        },
        "units": units.roles(columns),
    }
