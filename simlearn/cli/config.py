"""``simlearn config validate``: configs looked at, without data and without training."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from simlearn.catalog import Catalog
from simlearn.cli import Options, shown
from simlearn.cli.judging import case_of
from simlearn.cli.parsing import OneMessage, parser, prepare
from simlearn.component import ConfigError, SimlearnError
from simlearn.stability.gatefile import read_gate_file
from simlearn.stability.yamlfile import load_yaml

DESCRIPTION = """Look at gate and fit configs, without data and without training.

Every name, argument and type is looked at, and whether the parts fit together. Every fault of every
file is told with its line and the nearest name. Exit code 0: all are sound. 2: one is not."""
USAGE = f"usage: simlearn config validate FILE... [--kind gate|fit]\n\n{DESCRIPTION}\n"
SHOWN = 6  # keys that do not belong there
FIT = ("model", "data", "trainer", "seed_everything", "ckpt_path", "weights_only")
# what a part of a config is looked at with: a parser wants a whole one
SOUND = {
    "dynamics": {"class_path": "SeparableEnergy", "init_args": {"dim": 2}},
    "integrator": "Leapfrog",
}


def run(command: str, argv: list[str], options: Options) -> int:
    """Look at each file, say each fault."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0
    if argv[0] != "validate":
        raise ConfigError(f"simlearn config does validate, not {argv[0]!r}.")
    known = prepare(options)
    reader = parser("config validate", DESCRIPTION, known, [])
    reader.add_argument("files", type=str, nargs="+", help="gate and fit configs, FILE.yaml")
    reader.add_argument(
        "--kind",
        type=Literal["gate", "fit"] | None,
        default=None,
        help="what the files are; by default told from their keys. A config that is named fit "
        "must be a whole one, otherwise it may be a part",
    )
    given = reader.parse_args(argv[1:])
    codes = [_told(Path(name), given.kind, known) for name in given.files]
    return 2 if 2 in codes else max(codes)


def _told(path: Path, kind: str | None, known: Catalog) -> int:
    """Say what is wrong with a file, or that nothing is; gives its exit code."""
    try:
        body = load_yaml(path)
        found = kind or _kind(path, body)
        faults = list((_gate if found == "gate" else _fit)(path, body, bool(kind), known))
    except SimlearnError as error:
        found, faults = "", [error]
    for text in dict.fromkeys(map(str, faults)):
        print(shown(text if str(path) in text else f"{path}: {text}"), file=sys.stderr)
    if not faults:
        part = found == "fit" and not _whole(body)
        print(f"{path}: sound{', a part of a fit config' if part else f' ({found})'}")
    codes = [error.exit_code for error in faults]
    return 2 if 2 in codes else max(codes, default=0)


def _kind(path: Path, body: dict[str, Any]) -> str:
    if "suites" in body:
        return "gate"
    if set(FIT[:3]) & set(body):
        return "fit"
    raise ConfigError(
        f"{path} is neither a gate (schema:, suites:) nor a fit config (model:, data:, trainer:); "
        f"it has {', '.join(map(str, body)) or 'nothing'}. Say what it should be: --kind."
    )


def _whole(body: dict[str, Any]) -> bool:
    """Whether a training could begin with it alone."""
    model = body.get("model")
    return isinstance(model, dict) and "simulator" in model and bool(body.get("data"))


def _gate(path: Path, body: Any, strict: bool, known: Catalog) -> Iterator[SimlearnError]:
    """What is wrong with a gate."""
    try:
        suites = read_gate_file(path).suites
    except ConfigError as error:
        yield error
        return
    for entry in [entry for entries in suites.values() for entry in entries]:
        try:
            case_of(entry, path, known)
        except SimlearnError as error:
            yield error


def _fit(path: Path, body: Any, strict: bool, known: Catalog) -> Iterator[SimlearnError]:
    """What is wrong with a fit config: first its parts, one by one, then the whole, built."""
    from simlearn.cli.fit_parser import fit_parser, refuse_loading

    OneMessage.known, OneMessage.files = known, [path]
    reader = fit_parser()
    faults: list[SimlearnError] = list(_strangers(path, body))
    try:
        refuse_loading(body)
    except ConfigError as error:
        faults.append(error)
    for part in _parts({key: value for key, value in body.items() if key in FIT}):
        try:
            reader.parse_object(part)
        except SimlearnError as error:
            faults.append(error)
    if not faults and (strict or _whole(body)):
        try:
            whole = reader.parse_path(str(path))
            whole.pop("trainer")  # its devices may not be here
            reader.instantiate(whole)
        except SimlearnError as error:
            faults.append(error)
    yield from faults


def _strangers(path: Path, body: dict[str, Any]) -> Iterator[ConfigError]:
    for key in [key for key in body if key not in FIT][:SHOWN]:
        near = difflib.get_close_matches(str(key), FIT, 1)
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(FIT)}."
        yield ConfigError(f"{path}: a fit config has no key {key!r}; {hint}")


def _parts(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Each argument alone, in a config that is sound besides."""
    for top, value in body.items():
        for one in _arguments(value):
            if top != "model" or not isinstance(one, dict):
                yield {"model": {"simulator": SOUND}, top: one}
                continue
            for inner in _arguments(one.get("simulator", {})):
                sound = {**SOUND, **inner} if isinstance(inner, dict) else inner
                yield {"model": {**one, "simulator": sound}}


def _arguments(given: Any) -> Iterator[Any]:
    """The arguments one by one, and the elements of those that are lists."""
    if not isinstance(given, dict) or not given:
        yield given
        return
    for key, value in given.items():
        elements = [[one] for one in value] if isinstance(value, list) and value else [value]
        for one in elements:
            yield {key: one}
