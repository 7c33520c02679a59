"""The gate file: which checks a simulator must pass, and what it is held against.

Read with YAML alone, so that programs that only list gates start at once.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from simlearn.component import ConfigError
from simlearn.stability.yamlfile import load_yaml

SCHEMA = 1
PATHS = ("simulator", "data", "training_data", "baseline")
KEYS = ("schema", "suites", *PATHS, "siblings", "references", "seed", "tolerance")
SEEDS = range(2**63)
OF_ENTRY = ("class_path", "init_args", "severity", "optional")


@dataclass(frozen=True)
class Entry:
    """A check as it stands in a gate file, not built yet.

    Attributes:
        class_path: Name or import path of the check.
        init_args: Its arguments.
        severity: "error" fails the gate, "warning" is only told.
        optional: Whether "not applicable" is acceptable.
    """

    class_path: str
    init_args: dict[str, Any]
    severity: Literal["error", "warning"] = "error"
    optional: bool = False


@dataclass(frozen=True)
class Tolerance:
    """How much worse than its baseline a metric may be: the largest of these.

    Attributes:
        absolute: Floor, in the unit of the metric.
        relative: Share of the baseline's value.
        spread: Times the standard deviation over simulators of other seeds.
        noise: Times the noise of baseline and measurement together.
    """

    absolute: float = 1e-9
    relative: float = 0.1
    spread: float = 2.0
    noise: float = 2.0


@dataclass(frozen=True)
class GateFile:
    """What a gate file says; its paths are seen from where the file lies.

    Attributes:
        path: The file.
        suites: Checks by suite, in order.
        simulator: What is judged: a run or an archive.
        data: Held-out trajectories.
        training_data: What the simulator was trained on.
        siblings: The same model from other seeds.
        references: Simulators drawn beside it by name, never judged.
        seed: Seed of whatever a check draws.
        baseline: Numbers of an earlier simulator that this one is compared with.
        tolerance: How much worse than the baseline it may be.
    """

    path: Path
    suites: Mapping[str, tuple[Entry, ...]]
    simulator: Path | None = None
    data: Path | None = None
    training_data: Path | None = None
    siblings: tuple[Path, ...] = ()
    references: Mapping[str, Path] = field(default_factory=dict)
    seed: int = 0
    baseline: Path | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)

    def __post_init__(self) -> None:
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed not in SEEDS:
            raise ConfigError(
                f"A seed is a whole number from 0, got {self.seed!r}; the largest is {SEEDS[-1]} "
                f"(`seed:` of {self.path}, or --seed)."
            )

    def suite(self, name: str | None = None) -> tuple[str, tuple[Entry, ...]]:
        """A suite by name; without one ``full``, or the first where there is no ``full``.

        Raises:
            ConfigError: There is no such suite.
        """
        if name is None:
            name = "full" if "full" in self.suites else next(iter(self.suites))
        if name not in self.suites:
            near = difflib.get_close_matches(name, self.suites, 1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(
                f"{self.path} has no suite {name!r}; {hint}It has {', '.join(self.suites)}."
            )
        return name, self.suites[name]


def read_gate_file(path: Path | str) -> GateFile:
    """Read a gate file.

    Raises:
        ConfigError: It is missing, no YAML, of another schema, has no suites, a suite without
            checks of severity error, or a key that nobody reads.
    """
    path = Path(path)
    body = load_yaml(path)
    if isinstance(body.get("schema"), bool) or body.get("schema") != SCHEMA:
        raise ConfigError(
            f"{path} has schema {body.get('schema')!r}; this simlearn reads gate files of schema "
            f"{SCHEMA}. {_about_schema(body.get('schema'))}"
        )
    suites = body.get("suites")
    if not isinstance(suites, dict) or not suites:
        raise ConfigError(f"{path} has no `suites:` with a list of checks each.")
    _refuse_unknown(path, "the gate file", body, KEYS)
    here = path.parent
    return GateFile(
        path,
        {str(name): _suite(path, name, entries) for name, entries in suites.items()},
        **{name: _path(path, name, body.get(name)) for name in PATHS},
        siblings=tuple(here / one for one in _list(path, "siblings", body.get("siblings"))),
        references={name: here / one for name, one in _names(path, body.get("references")).items()},
        seed=body.get("seed", 0),
        tolerance=_tolerance(path, body.get("tolerance")),
    )


def _about_schema(given: Any) -> str:
    if isinstance(given, int) and not isinstance(given, bool) and given > SCHEMA:
        return "It was written for a newer simlearn: install that one."
    return f"Write `schema: {SCHEMA}`."


def _refuse_unknown(
    path: Path, what: str, given: Mapping[Any, Any], known: tuple[str, ...]
) -> None:
    extra = sorted(str(key) for key in given if key not in known)
    if extra:
        near = difflib.get_close_matches(extra[0], known, 1)
        hint = f"did you mean {near[0]}?" if near else f"{what} takes {', '.join(known)}."
        raise ConfigError(f"{path} has keys nobody reads: {', '.join(extra)}; {hint}")


def _suite(path: Path, name: Any, entries: Any) -> tuple[Entry, ...]:
    if not isinstance(name, str) or not name.isprintable() or not name.strip():
        raise ConfigError(f"{path}: a suite is named by printable text, got {name!r}.")
    if not isinstance(entries, list) or not entries:
        raise ConfigError(
            f"{path}: suite {name!r} has no checks; a gate without checks judges nothing."
        )
    found = tuple(_entry(path, one) for one in entries)
    if all(one.severity == "warning" for one in found):
        raise ConfigError(
            f"{path}: suite {name!r} has no check of severity error: nothing would be proved. Let "
            "at least one be an error."
        )
    return found


def _entry(path: Path, given: Any) -> Entry:
    if isinstance(given, str):
        given = {"class_path": given}
    name = given.get("class_path") if isinstance(given, dict) else None
    if not isinstance(given, dict) or not isinstance(name, str) or not name.strip():
        raise ConfigError(
            f"{path}: a check is written as {{class_path: NAME, init_args: {{...}}}}, got "
            f"{given!r}."
        )
    told, extra = {**Entry("", {}).__dict__, **given}, set(given) - set(OF_ENTRY)
    arguments = told["init_args"] or {}
    good = told["severity"] in ("error", "warning") and isinstance(told["optional"], bool)
    if extra or not good or not isinstance(arguments, dict):
        raise ConfigError(
            f"{path}: {given['class_path']} takes class_path, init_args (a mapping), severity "
            f"(error | warning) and optional (true | false); got {given!r}."
        )
    return Entry(given["class_path"], arguments, told["severity"], told["optional"])


def _path(path: Path, name: str, given: Any) -> Path | None:
    if given is None:
        return None
    if not isinstance(given, str) or not given:
        raise ConfigError(f"{path}: `{name}:` is a path, seen from the gate file; got {given!r}.")
    return path.parent / given


def _list(path: Path, name: str, given: Any) -> list[str]:
    given = [] if given is None else given
    if not isinstance(given, list) or not all(isinstance(one, str) and one for one in given):
        raise ConfigError(f"{path}: `{name}:` is a list of paths, got {given!r}.")
    return given


def _names(path: Path, given: Any) -> dict[str, str]:
    given = {} if given is None else given
    if not isinstance(given, dict) or not all(
        isinstance(part, str) and part and part.isprintable()
        for pair in given.items()
        for part in pair
    ):
        raise ConfigError(f"{path}: `references:` gives each name a path, got {given!r}.")
    return given


def _tolerance(path: Path, given: Any) -> Tolerance:
    given = {} if given is None else given
    known = tuple(one.name for one in fields(Tolerance))
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: `tolerance:` is a mapping of {', '.join(known)}.")
    _refuse_unknown(path, "`tolerance:`", given, known)
    found = {name: _size(path, name, value) for name, value in given.items()}
    return Tolerance(**found)


def _size(path: Path, name: str, given: Any) -> float:
    try:  # YAML takes 1e-9, which has no point, for text
        value = math.nan if isinstance(given, bool) else float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise ConfigError(f"{path}: tolerance {name} is a number from 0, got {given!r}.")
    return value
