"""jsonargparse, restrained.

Nothing outside the allowed modules is imported, and errors are one message.
"""

from __future__ import annotations

import difflib
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jsonargparse

from simlearn import catalog
from simlearn.catalog import Catalog
from simlearn.cli import Options
from simlearn.component import Component, ConfigError, PluginError, arguments
from simlearn.data.generate import DatasetGenerator
from simlearn.dynamics.base import Dynamics
from simlearn.integrators.base import Integrator
from simlearn.stability.check import Check
from simlearn.stability.yamlfile import load_yaml
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import Start

ALLOWED = (
    "lightning.pytorch.callbacks",
    "lightning.pytorch.loggers",
    "lightning.pytorch.profilers",
    "lightning.pytorch.strategies",
    "lightning.pytorch.cli.ReduceLROnPlateau",
    "torch.nn",
    "torch.optim",
)
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


def prepare(options: Options) -> Catalog:
    """Load the plugins, then close the door for every other module."""
    known = catalog.load(options.block, options.strict)
    for plugin in known.failed():
        print(f"simlearn: plugin {plugin.label} did not load: {plugin.reason}", file=sys.stderr)
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="jsonargparse")
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=[*ALLOWED, *known.modules(), *options.allow],
        instantiate_subclass_spec_in_any=False,
    )
    return known


@contextmanager
def prepared(options: Options) -> Iterator[Catalog]:
    """The same in a process that is not ours: its own settings of jsonargparse come back."""
    settings: dict[str, Any] = jsonargparse._common.parsing_settings
    before = dict(settings)
    try:
        with warnings.catch_warnings():
            yield prepare(options)
    finally:
        settings.clear()
        settings.update(before)


def configs_in(argv: Sequence[str]) -> list[Path]:
    """The files given by -c or --config.

    Raises:
        ConfigError: One is missing or is no YAML mapping; file, line and column are named.
    """
    found = []
    for k, word in enumerate(argv):
        name, _, value = word.partition("=")
        if name in ("-c", "--config"):
            found.append(Path(value or (argv[k + 1] if k + 1 < len(argv) else "")))
        elif word.startswith("-c") and not word.startswith("--") and len(word) > 2:
            found.append(Path(word[2:]))
    for path in found:
        load_yaml(path)
    return found


class OneMessage:
    """Mixin for a jsonargparse parser.

    Errors become one `ConfigError` instead of pages of usage.
    """

    known: Catalog
    files: Sequence[Path] = ()

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise the one message; parsers of nested components let the outermost one speak."""
        if not self.exit_on_error:  # type: ignore[attr-defined]
            return super().error(message, ex)  # type: ignore[misc]
        raise ConfigError(explained(message, type(self).known, type(self).files)) from ex


class Parser(OneMessage, jsonargparse.ArgumentParser):
    """The parser of simlearn's own commands."""


def parser(command: str, description: str, known: Catalog, files: Sequence[Path]) -> Parser:
    """A parser for one command."""
    OneMessage.known, OneMessage.files = known, files
    return Parser(prog=f"simlearn {command}", description=description)


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
            text, place = explain(found, known, keys[0] if keys else "", short)
            return _at(key, place, files) + text
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return _at(key, short, files) + (lines[-1] if lines else message).rstrip(".") + "."


Explained = tuple[str, str]


def _refused(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    name = found[1]
    for plugin in known.failed():
        if plugin.module.split(".")[0] == name.split(".")[0]:
            raise PluginError(f"{name} is needed, but plugin {plugin.label}: {plugin.reason}")
    return (
        f"{name} was refused and not imported: it belongs to no installed plugin. Its package can "
        f"be allowed with --allow-import {name.split('.')[0]}, if you trust it.",
        name,
    )


def _unknown(found: re.Match[str], known: Catalog, key: str, short: str) -> Explained:
    name = found[1].strip("'\"")
    kind = KIND_OF_KEY.get(re.sub(r"\W*\d*$", "", key).rpartition(".")[2])
    return known.unknown(name, kind), name


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


def _at(key: str, text: str, files: Sequence[Path]) -> str:
    """Where: ``file:line: key: `` as far as it can be told."""
    for path in files:
        if text:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.])", line):
                    return f"{path}:{number}: {key + ': ' if key else ''}"
    return f"{key}: " if key else ""
