"""``simlearn check``: the gate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from simlearn.catalog import Catalog
from simlearn.cli import Options
from simlearn.cli.baselines import compared, facts_of, place_of, update
from simlearn.cli.check_help import DESCRIPTION, EPILOG
from simlearn.cli.forecast_help import Formatter
from simlearn.cli.judging import case_of, evidence_of, open_pair, overridden, provenance_of
from simlearn.cli.judging import read_gate as read_gate
from simlearn.cli.parsing import Parser, parser, prepare
from simlearn.component import ArchiveError, ConfigError
from simlearn.stability import gate
from simlearn.stability.gatefile import GateFile, read_gate_file
from simlearn.stability.report import Report
from simlearn.stability.tables import printable

if TYPE_CHECKING:
    from simlearn.cli.remedy import Search


def run(command: str, argv: list[str], options: Options) -> int:
    """Load, judge, write, say."""
    known = prepare(options)
    given = _arguments(known).parse_args(argv)
    limits = _limits(given)
    if given.out or given.simulator:  # before anything can go wrong
        gate.clear(given.out or Path(given.simulator) / "report")
    asked = _gate_of(given)
    out = Path(given.out or (asked.simulator or Path()) / "report")
    if asked.simulator is not None:
        gate.clear(out)
    suite, entries = asked.suite(given.suite)
    cases = [case_of(entry, asked.path, known) for entry in entries]
    simulator, held_out = open_pair(asked, known)
    search = None if limits is None else _search(asked, known, limits)
    gate.folder_for(out)
    evidence = evidence_of(asked, simulator, held_out, cases, known, _tell)
    facts = facts_of(simulator, held_out, evidence)
    place = place_of(asked) if given.update_baseline else None
    compare = compared(asked, suite, facts, cases) if place is None else None
    told = provenance_of(known, held_out, options.allow)
    report = gate.check(simulator, evidence, cases, suite=suite, provenance=told, tell=_tell)
    report = report if compare is None else compare(report)
    files = gate.write(report, out)
    for failure in known.announce(report):
        print(f"simlearn: {failure}")
    _say(report)
    if place is not None and report.passed:
        update(place, report, facts, simulator, evidence, cases, _tell)
        _say_where(place, asked)
    elif place is not None:
        print(f"\n{place} was not written: only a simulator that passes its gate is a baseline")
    print(f"\ngate {'passed' if report.passed else 'FAILED'}: {files['report.html']}")
    if search is not None:
        search.seek(report, evidence, held_out, checks=cases, out=out)
    return 0 if report.passed else 1


def _search(asked: GateFile, known: Catalog, limits: dict[str, Any]) -> Search:
    """The search for remedies, with the config of the run, read before anything is judged."""
    from simlearn.cli.remedy import Search

    assert asked.simulator is not None
    return Search.of(asked.simulator, known, limits)


def _limits(given: Any) -> dict[str, Any] | None:
    """How long remedies are looked for; None where nobody asked for any.

    Raises:
        ConfigError: There is a limit, and nothing it limits; or it is below zero.
    """
    limits = {"tries": given.remedy_tries, "seconds": given.remedy_seconds}
    found = {name: one for name, one in limits.items() if one is not None}
    if found and not given.remedy:
        raise ConfigError(f"--remedy-{next(iter(found))} limits --remedy; give it, too.")
    for name, one in found.items():
        if not one >= 0:
            raise ConfigError(f"--remedy-{name} is a number from 0, got {one}.")
    return found if given.remedy else None


def _tell(line: str) -> None:
    print(line, flush=True)


def _say(report: Report) -> None:
    """The table, each summary, and why what failed did, and what to do about it."""
    print(f"\n{report.to_text()}\n")
    for item in report.items:
        finding = item.finding
        print(printable(f"{item.name}: {finding.summary}"))
        if finding.verdict == "not_applicable" and not item.optional:
            print("  (if that is acceptable, write `optional: true` beside the check in the gate)")
        if not item.good:
            lines = [f"worst: {finding.worst}"] if finding.worst else []
            lines += [f"likely cause: {cause}" for cause in finding.causes]
            lines += [f"what to do: {remedy}" for remedy in finding.remedies]
            print("".join(f"  {printable(line)}\n" for line in lines), end="")
    for one in report.regressions:
        mild = " (warning)" if one.severity == "warning" else ""
        print(printable(f"worse than the baseline{mild}: {one}"))
    if "baseline" in report.provenance and not report.regressions:
        print(f"nothing is worse than {report.provenance['baseline']['file']}")


def _say_where(place: Path, asked: GateFile) -> None:
    """How the next judgement is compared with it."""
    if asked.baseline is None:
        print(f"compare with it from now on: `baseline: {place.name}` in {asked.path}")


def _arguments(known: Catalog) -> Parser:
    reader = parser("check", DESCRIPTION, known, [])
    reader.formatter_class, reader.epilog = Formatter, EPILOG
    add = reader.add_argument
    text = "a run (runs/NAME) or an archive; the gate's `simulator:` by default"
    add("simulator", type=str, nargs="?", help=text)
    add("--data", type=str | None, default=None, help="held-out trajectories, FILE.h5")
    text = "what it was trained on, FILE.h5; found again where a check asks for it"
    add("--training-data", type=str | None, default=None, help=text)
    text = "the same model from another seed (repeatable)"
    add("--sibling", type=str, action="append", default=[], help=text)
    text = "NAME=SIMULATOR, drawn, never judged (repeatable)"
    add("--reference", type=str, action="append", default=[], help=text)
    add("--suite", type=str | None, default=None, help="which suite of the gate file")
    text = "GATE.yaml; SIMULATOR/gate.yaml by default"
    add("-c", "--gate", type=str | None, default=None, help=text)
    text = "numbers of an earlier simulator to compare with, FILE.json"
    add("--baseline", type=str | None, default=None, help=text)
    text = "write the numbers to --baseline, or beside the gate file, instead of comparing"
    add("--update-baseline", action="store_true", help=text)
    text = "folder of the report; SIMULATOR/report by default"
    add("--out", type=str | None, default=None, help=text)
    text = "of whatever a check draws; the gate's, or 0"
    add("--seed", type=int | None, default=None, help=text)
    text = "where the gate fails, try what the report advises; choose, confirm, write the winner"
    add("--remedy", action="store_true", help=text)
    text = "trainings of --remedy, at most; 6 by default"
    add("--remedy-tries", type=int | None, default=None, help=text)
    text = "begin no further training of --remedy after so many seconds"
    add("--remedy-seconds", type=float | None, default=None, help=text)
    return reader


def _gate_of(given: Any) -> GateFile:
    """The gate that was named, or the one that was proposed with the run; options win over it.

    Raises:
        ConfigError: There is neither.
        ArchiveError: There is no run.
    """
    path = given.gate
    if path is None:
        if given.simulator is None:
            raise ConfigError(
                "What is to be judged, and by what? simlearn check SIMULATOR --data FILE.h5 -c "
                "GATE.yaml; `simlearn check --help` tells more."
            )
        path = Path(given.simulator) / "gate.yaml"
        if not path.parent.exists():
            raise ArchiveError(f"There is no simulator at {path.parent}: no such folder.")
        if not path.is_file():
            raise ConfigError(f"The check needs a gate: -c GATE.yaml (there is no {path}).")
    return overridden(
        read_gate_file(path),
        simulator=_path(given.simulator),
        data=_path(given.data),
        training_data=_path(given.training_data),
        siblings=tuple(Path(one) for one in given.sibling),
        references=_references(given.reference),
        seed=given.seed,
        baseline=_path(given.baseline),
    )


def _path(given: str | None) -> Path | None:
    return None if given is None else Path(given)


def _references(given: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for one in given:
        name, mark, path = one.partition("=")
        if not mark or not name or name in found:
            raise ConfigError(f"--reference wants NAME=SIMULATOR, each name once, got {one!r}.")
        found[name] = Path(path)
    return found
