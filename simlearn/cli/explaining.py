"""What jsonargparse says of a config, in one message: where, what was given, what was wanted."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from simlearn.catalog import Catalog
from simlearn.cli.allowed import nearest
from simlearn.component import Component, ConfigError, PluginError, SimlearnError, arguments
from simlearn.data.generate import DatasetGenerator
from simlearn.dynamics.base import Dynamics
from simlearn.integrators.base import Integrator
from simlearn.stability.check import Check
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import Start

KIND_OF_KEY: dict[str, type[Component]] = {
    "dynamics": Dynamics,
    "field": Dynamics,
    "integrator": Integrator,
    "generator": DatasetGenerator,
    "objective": Objective,
    "start": Start,
    "stabilizers": Stabilizer,
    "check": Check,
}


def explained(message: str, known: Catalog, files: Sequence[Path] = ()) -> str:
    """What jsonargparse means, in one short message: where, what was given, what was wanted."""
    keys = re.findall(r'[Pp]arser key "([^"]+)"', message)
    key = keys[0] if keys else ""
    if len(keys) > 1:
        key = keys[1] if keys[1].startswith(keys[0]) else f"{keys[0]}.{keys[-1]}"
    owner = re.search(r"class_path '([^']+)'", message)
    short = owner[1].rpartition(".")[2] if owner else ""
    for pattern, explain in _PATTERNS:
        found = re.search(pattern, message)
        if found:
            text, place = explain(found, known, key, short)
            return at(key, place, files) + text
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return at(key, short, files) + (lines[-1] if lines else message).rstrip(".") + "."


Explained = tuple[str, str]


def _refused(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    name = found[1]
    for plugin in known.failed():
        if plugin.module.split(".")[0] == name.split(".")[0]:
            raise PluginError(f"{name} is needed, but plugin {plugin.label}: {plugin.reason}")
    near = nearest(name, known)
    return known.refused(name, f" Did you mean {near}?" if near else ""), name


def _unknown(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    name = found[1].strip("'\"")
    place = re.sub(r"\W*\d*$", "", key).rpartition(".")[2]
    return known.unknown(name, KIND_OF_KEY.get(place) or known.wanted(place)), name


def _argument(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    return _no_argument(found[1], short, known), found[1]


def _option(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    group, _, name = ".".join(filter(None, found.groups())).rpartition(".")
    takes: list[str] = []
    if group in ("data", "model"):
        from simlearn.data.module import TrajectoryData
        from simlearn.training.module import SimulatorModule

        takes = list(arguments(TrajectoryData if group == "data" else SimulatorModule))
    if group == "trainer":
        from lightning.pytorch import Trainer

        takes = list(arguments(Trainer))
    return f"{group or 'the command'} has no option {name}{_nearest(name, takes)}", name


def _absent(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    there = [name for name in dir(sys.modules.get(found[1])) if not name.startswith("_")]
    near = difflib.get_close_matches(found[2], there, 1)
    return f"{found[1]} has no {found[2]}{f'; did you mean {near[0]}?' if near else '.'}", found[2]


def _missing(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    return f"{short or 'the command'} needs {found[1].strip()}; see --help.", short


def _type(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    wanted = re.sub(r"<class '([\w.]+)'>", r"\1", found[1]).removeprefix("a ")
    choices = re.fullmatch(r"typing\.Literal\[(.+)\]", wanted)
    if choices:
        wanted = "one of " + choices[1].replace("'", "")
    return f"wanted {wanted}, got {found[2]}.", found[2].split()[0]


def _union(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    wanted = re.sub(r"<class '([\w.]+)'>", r"\1", found[1]).replace("NoneType", "None")
    return f"wanted {wanted.replace(', ', ' or ')}, got {found[2]}.", found[2].split()[0]


_PATTERNS: tuple[tuple[str, Callable[[re.Match[str], Catalog, str, str], Explained]], ...] = (
    (r"Importing '([^']+)' is not allowed", _refused),
    (r"Expected a dot import path string: *(\S+)", _unknown),
    (r"Option '?([\w.]+)'? is not accepted", _argument),
    (r"(?:Group '(\w+)' )?does not accept option '([\w.]+)'", _option),
    (r"module '([\w.]+)' has no attribute '(\w+)'", _absent),
    (r"arguments are required: ([^\n]+)", _missing),
    (r"Expected (?:a |an )?(.+?)\. Got value: (\S+)", _type),
    (r"Union subtypes\s+Subtypes: \[(.+)\]\n[\s\S]*Given value: (\S+)", _union),
)


def _nearest(name: str, takes: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, takes, 1)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; it takes {', '.join(takes)}." if takes else ". See --help."


def _no_argument(given: str, short: str, known: Catalog) -> str:
    takes = list(arguments(known.offers[short][0])) if short in known.offers else []
    return f"{short or 'the component'} has no argument {given}{_nearest(given, takes)}"


def at(key: str, text: str, files: Sequence[Path]) -> str:
    """Where: ``file:line: key: `` as far as it can be told, by what was given or by the key."""
    own = re.split(r"[.\[]", key)[-1]
    for word, after in ((text, r"(?![\w.])"), (own, r"[\"']?\s*:")):
        for path in files if word else ():
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if re.search(rf"(?<![\w.]){re.escape(word)}{after}", line):
                    return f"{path}:{number}: {key + ': ' if key else ''}"
    return f"{key}: " if key else ""


def unbuildable(error: Exception, what: str) -> SimlearnError:
    """What a component says of its arguments, which jsonargparse may have wrapped."""
    own: BaseException | None = error
    while own is not None and not isinstance(own, SimlearnError):
        own = own.__cause__
    return own or ConfigError(f"{what} cannot be built: {type(error).__name__}: {error}")
