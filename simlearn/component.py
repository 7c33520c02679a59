"""What a config can name.

Components, their descriptions, and the errors every command maps to an exit code.
"""

from __future__ import annotations

import inspect
from abc import ABC
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class SimlearnError(Exception):
    """Base of all errors that simlearn raises on purpose.

    ``exit_code`` is what a command returns.
    """

    exit_code = 70


class ConfigError(SimlearnError):
    """A wrong use or configuration: an unknown name, a wrong argument, parts that do not fit."""

    exit_code = 2


class DataError(SimlearnError):
    """A dataset that is missing, corrupt, foreign or too short for what was asked of it."""

    exit_code = 3


class PluginError(SimlearnError):
    """A plugin that does not load, or that offers what cannot be offered."""

    exit_code = 4


class NumericalError(SimlearnError):
    """A training that produced NaN or diverged; a diverging rollout is a value, not an error."""

    exit_code = 5


class EnvironmentFault(SimlearnError):
    """The machine says no: a missing extra, no space, no permission."""

    exit_code = 6


class ArchiveError(SimlearnError):
    """A checkpoint or an archive that is missing, tampered with, or of a newer schema."""

    exit_code = 7


def optional(method: F) -> F:
    """Mark a concrete method of a kind as one that a subclass may override."""
    method.__optional__ = True  # type: ignore[attr-defined]
    return method


class Component(ABC):  # noqa: B024 - the kinds below it bring the abstract members
    """Anything a config can name.

    ``__init__`` stores each argument under its own name and does nothing clever, so that
    `describe` can write the component down and `build` can make it anew. Arguments are JSON types,
    components, or sequences of either.
    """

    @classmethod
    @optional
    def examples(cls) -> Iterable[Self]:
        """Small valid instances for the contract tests.

        Override where an argument has no default.
        """
        return [cls()]


def class_path(cls: type) -> str:
    """The full import path of a class, as configs and archives write it."""
    return f"{cls.__module__}.{cls.__qualname__}"


def arguments(cls: type) -> Mapping[str, inspect.Parameter]:
    """The arguments of a component's constructor by name, without ``self``."""
    init = inspect.signature(cls.__init__).parameters  # type: ignore[misc]
    return {
        name: parameter
        for name, parameter in init.items()
        if name != "self"
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def describe(component: Component) -> dict[str, Any]:
    """The component as plain JSON types: ``{"class_path": ..., "init_args": {...}}``.

    Raises:
        ConfigError: An argument was not stored under its own name, or is no JSON type and no
            component.
    """
    described = {}
    for name in arguments(type(component)):
        if not hasattr(component, name):
            raise ConfigError(
                f"{type(component).__name__} does not keep its argument {name!r}. "
                f"A component stores each argument under its own name: self.{name} = {name}."
            )
        described[name] = _plain(getattr(component, name), f"{type(component).__name__}.{name}")
    return {"class_path": class_path(type(component)), "init_args": described}


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Component):
        return describe(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item, where) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, where) for item in value]
    raise ConfigError(
        f"{where} is a {type(value).__name__}. Arguments are JSON types, components, or sequences "
        "of them."
    )


def build(description: Mapping[str, Any], resolve: Callable[[str], type[Any]]) -> Any:
    """Make the component that a description names.

    Args:
        description: What `describe` wrote.
        resolve: Turns a class path into a component class; it alone decides what may be named.

    Raises:
        ConfigError: An argument that the class does not take, or one it needs is missing.
    """
    cls = resolve(str(description["class_path"]))
    given = {
        name: _built(value, resolve) for name, value in description.get("init_args", {}).items()
    }
    try:
        inspect.signature(cls).bind(**given)
    except TypeError as error:
        raise ConfigError(
            f"{cls.__name__} was given {sorted(given)}, but it takes {sorted(arguments(cls))}: "
            f"{error}."
        ) from error
    return cls(**given)


def _built(value: Any, resolve: Callable[[str], type[Any]]) -> Any:
    if isinstance(value, Mapping):
        if "class_path" in value:
            return build(value, resolve)
        return {key: _built(item, resolve) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_built(item, resolve) for item in value]
    return value
