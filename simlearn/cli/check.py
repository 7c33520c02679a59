"""``simlearn check``: the gate."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from simlearn.archive import estimates, load
from simlearn.catalog import Catalog
from simlearn.cli import Options
from simlearn.cli.parsing import Parser, load_yaml, parser, prepare
from simlearn.cli.training_data import training_data
from simlearn.component import ArchiveError, ConfigError, SimlearnError, build
from simlearn.data.generate import System
from simlearn.data.store import Dataset, read
from simlearn.simulator import Simulator
from simlearn.stability import gate
from simlearn.stability.check import Check
from simlearn.stability.evidence import Evidence
from simlearn.stability.report import Report

SCHEMA = 1
DESCRIPTION = """Judge a trained simulator; write report.json, junit.xml, summary.md, report.html.

Exit code 0: every check of severity error passed. 1: the gate failed. Anything else: it could not
be judged."""


def run(command: str, argv: list[str], options: Options) -> int:
    """Load, judge, write, say."""
    known = prepare(options)
    given = _arguments(known).parse_args(argv)
    suite, cases = read_gate(_gate_of(given), given.suite, known)
    simulator, held_out = load(given.simulator, known), read(given.data)
    out = gate.folder_for(given.out or Path(given.simulator) / "report")
    evidence = _evidence(given, simulator, held_out, cases, known)
    report = gate.check(
        simulator,
        evidence,
        cases,
        suite=suite,
        provenance=_provenance(known, held_out, options),
        tell=lambda line: print(line, flush=True),
    )
    files = gate.write(report, out)
    for failure in known.announce(report):
        print(f"simlearn: {failure}")
    _say(report)
    print(f"\ngate {'passed' if report.passed else 'FAILED'}: {files['report.html']}")
    return 0 if report.passed else 1


def _say(report: Report) -> None:
    """The table, each summary, and what to do about what failed."""
    print(f"\n{report.to_text()}\n")
    for item in report.items:
        print(f"{item.name}: {item.finding.summary}")
        if item.finding.verdict == "not_applicable" and not item.optional:
            print("  (if that is acceptable, write `optional: true` beside the check in the gate)")
        if not item.good:
            print("".join(f"  what to do: {remedy}\n" for remedy in item.finding.remedies), end="")
    if not any(item.severity == "error" for item in report.items):
        print("\nno check of this suite has severity error: nothing was proved, so it fails")


def _evidence(
    given: Any, simulator: Simulator, held_out: Dataset, cases: list[gate.Case], known: Catalog
) -> Evidence:
    """What the gate may look at."""
    system = _system(held_out, known)
    return Evidence(
        held_out=held_out.trajectories,
        training=training_data(
            given.training_data,
            simulator,
            known,
            any(case.check.asks_training for case in cases),
            lambda line: print(line, flush=True),
        ),
        siblings=tuple(load(path, known) for path in given.sibling),
        references=_references(given.reference, known),
        estimates=estimates(simulator),
        truth=None if system is None else system.truth().double(),
        invariants={} if system is None else system.invariants(),
        units=held_out.provenance.get("units", {}),
        seed=given.seed,
        processes=os.cpu_count() or 1,
    )


def _arguments(known: Catalog) -> Parser:
    reader = parser("check", DESCRIPTION, known, [])
    add = reader.add_argument
    add("simulator", type=str, help="a run folder (runs/NAME) or an archive folder")
    add("--data", type=str, required=True, help="held-out trajectories, FILE.h5")
    add(
        "--training-data",
        type=str,
        default=None,
        help="what it was trained on, FILE.h5; found again where a check asks for it",
    )
    add("--sibling", action="append", default=[], help="the same model from another seed")
    add("--reference", action="append", default=[], help="NAME=SIMULATOR, drawn, never judged")
    add("--suite", type=str, default=None, help="which suite of the gate file")
    add("-c", "--gate", type=str, default=None, help="GATE.yaml; SIMULATOR/gate.yaml by default")
    add("--out", type=str, default=None, help="folder of the report; SIMULATOR/report by default")
    add("--seed", type=int, default=0, help="seed of whatever a check draws")
    return reader


def _gate_of(given: Any) -> Path:
    """The gate that was named, or the one that was proposed with the run.

    Raises:
        ConfigError: There is neither.
    """
    if given.gate is not None:
        return Path(given.gate)
    own = Path(given.simulator) / "gate.yaml"
    if not own.parent.exists():
        raise ArchiveError(f"There is no simulator at {own.parent}: no such folder.")
    if not own.is_file():
        raise ConfigError(f"The check needs a gate: -c GATE.yaml (there is no {own}).")
    return own


def read_gate(path: Path, suite: str | None, known: Catalog) -> tuple[str, list[gate.Case]]:
    """The checks of a suite.

    Raises:
        ConfigError: The file is no gate, has no such suite, or names an unknown check or argument.
    """
    body = load_yaml(path)
    if body.get("schema") != SCHEMA:
        raise ConfigError(
            f"{path} has schema {body.get('schema')!r}; this simlearn reads gate files of schema "
            f"{SCHEMA}."
        )
    suites = body.get("suites")
    if not isinstance(suites, dict) or not suites:
        raise ConfigError(f"{path} has no `suites:` with a list of checks each.")
    if set(body) - {"schema", "suites"}:
        raise ConfigError(
            f"{path} has keys nobody reads: {sorted(set(body) - {'schema', 'suites'})}."
        )
    name = suite or ("full" if "full" in suites else next(iter(suites)))
    if name not in suites:
        raise ConfigError(f"{path} has no suite {name!r}; it has {', '.join(map(str, suites))}.")
    entries = suites[name]
    if not isinstance(entries, list) or not entries:
        raise ConfigError(
            f"{path}: suite {name!r} has no checks; a gate without checks judges nothing."
        )
    return name, [_case(entry, path, known) for entry in entries]


def _case(entry: Any, path: Path, known: Catalog) -> gate.Case:
    if isinstance(entry, str):
        entry = {"class_path": entry}
    if not isinstance(entry, dict) or "class_path" not in entry:
        raise ConfigError(
            f"{path}: a check is written as {{class_path: NAME, init_args: {{...}}}}, got "
            f"{entry!r}."
        )
    extra = set(entry) - {"class_path", "init_args", "severity", "optional"}
    severity, optional = entry.get("severity", "error"), entry.get("optional", False)
    if extra or severity not in ("error", "warning") or not isinstance(optional, bool):
        raise ConfigError(
            f"{path}: {entry['class_path']} takes class_path, init_args, severity (error | "
            "warning) and "
            f"optional (true | false); got {entry!r}."
        )
    reader = parser("check", "", known, [path])
    reader.add_argument("--check", type=Check, required=True)
    spec = {"class_path": str(entry["class_path"]), "init_args": entry.get("init_args") or {}}
    built = reader.instantiate_classes(reader.parse_object({"check": spec}))
    return gate.Case(built.check, severity, optional)


def _references(given: list[str], known: Catalog) -> dict[str, Any]:
    found = {}
    for one in given:
        name, mark, path = one.partition("=")
        if not mark or not name:
            raise ConfigError(f"--reference wants NAME=SIMULATOR, got {one!r}.")
        found[name] = load(path, known)
    return found


def _system(data: Dataset, known: Catalog) -> System | None:
    """The system that the data were drawn from, where its plugin is here."""
    description = data.provenance.get("generator")
    if not isinstance(description, dict) or "class_path" not in description:
        return None
    try:
        generator = build(description, known.find)
    except SimlearnError:
        return None
    return generator if isinstance(generator, System) else None


def _provenance(known: Catalog, data: Dataset, options: Options) -> dict[str, Any]:
    from importlib.metadata import version

    return {
        "judged_with": {"simlearn": version("simlearn"), "torch": version("torch")},
        "held_out": {"digest": data.digest, **data.provenance},
        "plugins": [
            {
                "name": p.name,
                "distribution": p.distribution,
                "version": p.version,
                "status": p.status,
            }
            for p in known.plugins
        ],
        "allow_import": options.allow,
    }
