"""YAML files that people write: one message that names file, line and column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from simlearn.component import ConfigError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, in which no key stands twice.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or is no mapping.
    """
    try:
        body = _loaded(path.read_text(encoding="utf-8"))
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
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # a date that is none, a number of too many digits
        raise ConfigError(f"{path}: no valid YAML: {error}.") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: its lists and mappings are nested too deeply.") from error
    if not isinstance(body, dict):
        raise ConfigError(f"{path} must be a YAML mapping (key: value), got {type(body).__name__}.")
    return body


def _loaded(text: str) -> Any:
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        _refuse_twice(node, set())
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_twice(node: yaml.Node | None, met: set[int]) -> None:
    """A mapping that says two things of one key would silently forget the first."""
    if id(node) in met or not isinstance(node, yaml.CollectionNode):
        return
    met.add(id(node))
    told = set()
    for child in node.value:
        for one in child if isinstance(child, tuple) else (child,):
            _refuse_twice(one, met)
        key = child[0] if isinstance(child, tuple) else None
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in told:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            told.add(key.value)
