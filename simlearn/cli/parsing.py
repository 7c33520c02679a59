"""jsonargparse, restrained.

Nothing outside the allowed modules is imported, and errors are one message.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonargparse
import yaml

from simlearn import catalog
from simlearn.catalog import Catalog
from simlearn.cli import Options
from simlearn.component import Component, ConfigError, arguments
from simlearn.data.generate import DatasetGenerator
from simlearn.dynamics.base import Dynamics
from simlearn.integrators.base import Integrator
from simlearn.stability.check import Check
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer

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
    "stabilizers": Stabilizer,
    "check": Check,
}


def prepare(options: Options) -> Catalog:
    """Load the plugins, then close the door for every other module."""
    known = catalog.load(options.block, options.strict)
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="jsonargparse")
    jsonargparse.set_parsing_settings(
        import_path_denylist=["*"],
        import_path_allowlist=[*ALLOWED, *known.modules(), *options.allow],
        instantiate_subclass_spec_in_any=False,
    )
    return known


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


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping.

    Raises:
        ConfigError: The file is missing, is no YAML, or is no mapping.
    """
    try:
        body = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"There is no config {path}.") from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path} is a folder; name a YAML file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is no UTF-8 text: {error}.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}{where}: no valid YAML: {problem}.") from error
    if not isinstance(body, dict):
        raise ConfigError(f"{path} must be a YAML mapping (key: value), got {type(body).__name__}.")
    return body


class OneMessage:
    """Mixin for a jsonargparse parser.

    Errors become one `ConfigError` instead of pages of usage.
    """

    known: Catalog
    files: Sequence[Path] = ()

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise the one message."""
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
    key = (
        ".".join(keys)
        if len(keys) > 1 and not keys[1].startswith(keys[0])
        else (keys[-1] if keys else "")
    )
    kind = KIND_OF_KEY.get(re.sub(r"\W*\d*$", "", keys[0]).rpartition(".")[2]) if keys else None
    unknown = re.search(r"Expected a dot import path string: *(\S+)", message)
    denied = re.search(r"Importing '([^']+)' is not allowed", message)
    option = re.search(
        r"(?:Option|option) '?([\w.]+)'? is not accepted|does not accept option '(\w+)'", message
    )
    owner = re.search(r"class_path '([^']+)'", message)
    if denied:
        text = (
            f"{denied[1]} was refused and not imported: it belongs to no installed plugin. Its "
            "package can be "
            f"allowed with --allow-import {denied[1].split('.')[0]}, if you trust it."
        )
        return _at(key, denied[1], files) + text
    if unknown:
        name = unknown[1].strip("'\"")
        return _at(key, name, files) + known.unknown(name, kind)
    if option:
        given = option[1] or option[2]
        return _at(key, given, files) + _no_argument(given, owner[1] if owner else "", known)
    last = [line.strip() for line in message.splitlines() if line.strip()]
    plain = next(
        (line for line in reversed(last) if "Expected" in line or "required" in line),
        last[-1] if last else "",
    )
    plain = re.sub(r"<class '([\w.]+)'>", r"\1", plain)
    who = f"{owner[1].rpartition('.')[2]}: " if owner else ""
    value = re.search(r"Got value: (\S+)", plain)
    return _at(key, value[1] if value else "", files) + who + plain.rstrip(".") + "."


def _no_argument(given: str, owner: str, known: Catalog) -> str:
    short = owner.rpartition(".")[2]
    if short in known.offers:
        takes = list(arguments(known.offers[short][0]))
        near = difflib.get_close_matches(given, takes, 1)
        hint = f"did you mean {near[0]}?" if near else f"it takes {', '.join(takes) or 'none'}."
        return f"{short} has no argument {given}; {hint}"
    return f"{short + ' has no option ' if short else 'there is no option '}{given}. See --help."


def _at(key: str, text: str, files: Sequence[Path]) -> str:
    """Where: ``file:line: key: `` as far as it can be told."""
    for path in files:
        if text:
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                if re.search(rf"(?<![\w.]){re.escape(text)}(?![\w.])", line):
                    return f"{path}:{number}: {key + ': ' if key else ''}"
    return f"{key}: " if key else ""
