"""``simlearn forecast``: where a system goes on, from its last state or on another graph."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from simlearn.analysis.significance import members_of
from simlearn.archive import load
from simlearn.catalog import Catalog
from simlearn.cli import Options, harmless
from simlearn.cli.forecast_help import DESCRIPTION, EXAMPLES, Formatter
from simlearn.cli.parsing import Parser, parser, prepare
from simlearn.cli.progress import Bar
from simlearn.cli.training_data import training_data
from simlearn.component import ConfigError, DataError, NumericalError
from simlearn.data.importing.export import write_csv
from simlearn.data.importing.memory import told as sized
from simlearn.data.room import refuse_disk
from simlearn.data.store import read
from simlearn.data.writer import Writer
from simlearn.forecasting import size
from simlearn.forecasting.course import Begin
from simlearn.forecasting.opened import SAMPLE, begin_of, opened
from simlearn.forecasting.result import GROUP, Forecast
from simlearn.forecasting.run import Plan, walked
from simlearn.forecasting.trust import Question
from simlearn.simulator import Simulator
from simlearn.state import Trajectory

Case = tuple[Begin, Trajectory | None, Sequence[str], Sequence[str]]


def run(command: str, argv: list[str], options: Options) -> int:
    """Load, roll out, test, write, draw, say."""
    known = prepare(options)
    given = _parser(command, known).parse_args(argv)
    out = _checked(given)
    simulator = load(given.simulator, known)
    bar = Bar()
    siblings = [load(path, known) for path in given.sibling]
    training = _training(given, simulator, siblings, known)
    question = Question(training, siblings, given.null, given.draws, given.level, given.seed)
    plan = Plan(given.steps, given.every, question, bar)
    try:
        made = _made(out, simulator, given, plan, training)
    finally:
        bar.done()
    _say(made, given)
    many = "1 forecast" if len(made) == 1 else f"{len(made)} forecasts"
    print(f"{out}: {many} of {given.steps} steps of {simulator.dt:g}")
    plots = given.plots or (f"{out.with_suffix('')}-plots" if given.graph is not None else "none")
    if plots != "none":
        _draw(made, Path(plots))
    if lost := _lost(made, plan):
        raise NumericalError(lost)
    return 0


def _parser(command: str, known: Catalog) -> Parser:
    reader = parser(command, DESCRIPTION, known, [])
    reader.formatter_class, reader.epilog = Formatter, EXAMPLES
    add = reader.add_argument
    add("simulator", type=str, help="a run folder (runs/NAME) or an archive folder")
    add("--data", type=str | None, default=None, help="dataset on which they start, FILE.h5")
    add("--graph", type=str | None, default=None, help="edge list, .graphml or .json")
    text = "start on --graph: csv, npz, npy, HDF5, numbers for all nodes, or sample"
    add("--x0", type=str | None, default=None, help=text)
    add("--directed", type=bool, default=False, help="true: a line of the list is one direction")
    add("--t0", type=float | None, default=None, help="time of --x0; its file's, or 0")
    add("--steps", type=int, required=True, help="number of steps")
    add("--out", type=str, required=True, help="FILE.h5 or FILE.csv")
    add("--start", type=Literal["last", "first"], default="last", help="which sample of the data")
    add("--every", type=int, default=1, help="keep every so many steps")
    text = "folder for pictures, or none; with --graph FILE-plots by default"
    add("--plots", type=str | None, default=None, help=text)
    add("--overwrite", action="store_true", help="replace the file if it is there")
    text = "the same model from another seed, for the test (repeatable)"
    add("--sibling", type=str, action="append", default=[], help=text)
    text = "the trajectories of the training; found again where the archive says how"
    add("--training-data", type=str | None, default=None, help=text)
    text = "compare with node states of the training, or with rollouts; as the training data are"
    add("--null", type=Literal["states", "rollouts"] | None, default=None, help=text)
    text = "how many such states (199) or rollouts (99); p is at least 1 / (draws + 1)"
    add("--draws", type=int | None, default=None, help=text)
    add("--level", type=float, default=0.05, help="of tests, and of false discoveries among nodes")
    add("--seed", type=int, default=0, help="of all draws")
    return reader


def _checked(given: Any) -> Path:
    """The file to write.

    Raises:
        ConfigError: Options do not go together.
        DataError: The file is there already.
    """
    if given.steps < 1 or given.every < 1 or given.start not in ("first", "last"):
        raise ConfigError(
            "forecast wants --steps >= 1, --every >= 1 and --start first or last; got "
            f"{given.steps}, {given.every} and {given.start}."
        )
    if (given.data is None) == (given.graph is None) or (given.graph is None) != (given.x0 is None):
        raise ConfigError(
            "forecast starts from --data FILE.h5, or on --graph FILE with --x0 FILE; give one."
        )
    if (given.draws is not None and given.draws < 2) or given.seed < 0:
        raise ConfigError(f"--draws is at least 2, --seed 0; got {given.draws} and {given.seed}.")
    out = Path(given.out)
    if out.suffix not in (".h5", ".hdf5", ".csv"):
        raise ConfigError(f"--out ends in .h5 or .csv, got {out}.")
    if out.exists() and not given.overwrite:
        raise DataError(f"{out} exists already. Choose another --out, or use --overwrite.")
    return out


def _training(
    given: Any, simulator: Simulator, siblings: Sequence[Simulator], known: Catalog
) -> Sequence[Trajectory]:
    """The training data, looked for where something asks for them."""
    asked = given.x0 == SAMPLE or members_of(simulator, siblings) is not None

    def tell(text: str) -> None:
        print(f"simlearn: {text}", file=sys.stderr)

    return training_data(given.training_data, simulator, known, asked, tell)


def _made(
    out: Path, simulator: Simulator, given: Any, plan: Plan, training: Sequence[Trajectory]
) -> list[Forecast]:
    """All forecasts, in the file."""
    told: dict[str, Any] = {"simulator": str(given.simulator), "steps": given.steps}
    kept = simulator.provenance.get("data", {})
    if given.graph is not None:
        at = opened(
            simulator,
            given.graph,
            given.x0,
            directed=given.directed,
            training=training,
            t0=given.t0,
            seed=given.seed,
        )
        told |= {"graph": str(given.graph), "x0": str(given.x0), "seed": given.seed}
        cases: list[Case] = [(at.begin, None, at.labels, at.notes)]
    else:
        data = read(given.data)
        first = given.start == "first"
        cases = [
            (begin_of(simulator, one, given.steps, first), one if first else None, (), ())
            for one in data
        ]
        told |= {"data": data.digest, "start": given.start}
        kept = data.provenance
    more = {key: kept[key] for key in ("units", "columns") if key in kept}
    _room(out, cases, plan)
    return _written(out, simulator, cases, plan, given.overwrite, told, more)


def _written(
    out: Path,
    simulator: Simulator,
    cases: Sequence[Case],
    plan: Plan,
    overwrite: bool,
    told: dict[str, Any],
    more: dict[str, Any],
) -> list[Forecast]:
    """Make the forecasts, each into the file as it comes."""
    made: list[Forecast] = []
    with ExitStack() as stack:
        writer = None
        if out.suffix != ".csv":
            writer = stack.enter_context(Writer(out, overwrite))
        for number, (begin, truth, labels, notes) in enumerate(cases):
            one = walked(simulator, begin, plan, writer, number)
            made.append(replace(one, truth=truth, labels=labels, notes=notes, told=more))
        summary = {GROUP: {**told, "summary": [one.summary() for one in made]}, **more}
        if writer is not None:
            writer.finish(summary)
    if writer is None:
        write_csv(out, [one.trajectory for one in made], summary)
    return made


def _room(out: Path, cases: Sequence[Case], plan: Plan) -> None:
    """Refuse what the disk has no room for; say what will be written as it goes."""
    kept = plan.steps // plan.every + 1
    begins = [case[0] for case in cases]
    needed = [size.kept_bytes(kept, len(b.x), b.x.shape[1], b.x.element_size()) for b in begins]
    refuse_disk(out, sum(needed), "Keep fewer states with --every, or")
    if needed and not size.fits(max(needed)):
        print(
            f"simlearn: {sized(max(needed))} of states are written as they come; pictures show "
            "some of the nodes",
            file=sys.stderr,
        )


def _say(made: Sequence[Forecast], given: Any) -> None:
    """What speaks against the forecasts, on standard error; why none was tested, once."""
    told = set[str]()
    for number, one in enumerate(made):
        who = "" if given.graph is not None else f"forecast {number} "
        graph = given.graph is not None or one.topology.graph.edge_index.numel()
        if one.untested and graph and one.untested not in told:
            told.add(one.untested)
            print(harmless(f"simlearn: {one.untested}"), file=sys.stderr)
        for sentence in one.sentences:
            if sentence != one.untested:
                print(harmless(f"simlearn: {who}{sentence}"), file=sys.stderr)


def _draw(made: Sequence[Forecast], folder: Path) -> None:
    for number, one in enumerate(made):
        place = folder if len(made) == 1 else folder / str(number)
        print("pictures: " + ", ".join(map(str, one.plots(place))))


def _lost(made: Sequence[Forecast], plan: Plan) -> str:
    """What to raise for forecasts that stopped being finite."""
    bad = [(n, one) for n, one in enumerate(made) if one.status != "ok"]
    if not bad:
        return ""
    number, one = bad[0]
    last = max(0, one.trajectory.steps - 1) * plan.every
    return (
        f"{len(bad)} of {len(made)} forecasts stopped being finite, the first of them number "
        f"{number}, whose last state in the file is after {last} of {plan.steps} steps. What came "
        "before is in the file and marked `diverged`. Look at the gate's report before you trust "
        "the rest."
    )
