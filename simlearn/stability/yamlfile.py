"""YAML files that people write: one message that names file, line and column."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from simlearn.component import ConfigError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DEEPEST = 100  # levels of lists and mappings
LARGEST = 100_000  # values of a file, those that an alias repeats counted each time


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
    if not isinstance(body, dict):
        raise ConfigError(f"{path} must be a YAML mapping (key: value), got {type(body).__name__}.")
    return body


def _loaded(text: str) -> Any:
    _refuse_deep(text)
    loader = LOADER(text)
    try:
        node = loader.get_single_node()
        _refuse_twice(node, {})
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _refuse_deep(text: str) -> None:
    """Look at the levels before anything descends into them: the parser itself would crash."""
    depth, events = 0, cast(Iterator[Any], yaml.parse(text, LOADER))
    for event in events:
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"lists and mappings are nested more than {DEEPEST} levels deep",
                problem_mark=event.start_mark,
            )


def _refuse_twice(node: yaml.Node | None, sizes: dict[int, int]) -> int:
    """A mapping that says two things of one key would silently forget the first.

    Gives how many values there are, as aliases may let a short text stand for more than memory
    holds.
    """
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) in sizes:
        if not sizes[id(node)]:
            raise yaml.MarkedYAMLError(problem="it contains itself", problem_mark=node.start_mark)
        return sizes[id(node)]
    sizes[id(node)], size, told = 0, 1, set()
    for child in node.value:
        for one in child if isinstance(child, tuple) else (child,):
            size += _refuse_twice(one, sizes)
        key = child[0] if isinstance(child, tuple) else None
        if isinstance(key, yaml.ScalarNode) and key.value != "<<":
            if key.value in told:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands twice", problem_mark=key.start_mark
                )
            told.add(key.value)
    if size > LARGEST:
        raise yaml.MarkedYAMLError(
            problem=f"it stands for more than {LARGEST} values", problem_mark=node.start_mark
        )
    sizes[id(node)] = size
    return size
