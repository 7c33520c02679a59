"""What a plugin may offer: classes of our kinds that a config can name."""

from __future__ import annotations

import inspect
from typing import Any

from simlearn.catalog.kinds import KINDS, kind_of
from simlearn.component import Component, PluginError


def inspected(answer: Any) -> list[type[Component]]:
    """What a plugin answered to `simlearn_components`, if every class can be named in a config.

    Raises:
        PluginError: It is no list, or a class is abstract, of no kind, named like another or takes
            ``**kwargs``.
    """
    if not isinstance(answer, list | tuple):
        raise PluginError(
            f"simlearn_components must return a list of classes, got {type(answer).__name__}"
        )
    for cls in answer:
        _inspect(cls)
    names = [cls.__name__ for cls in answer]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise PluginError(f"simlearn_components names {', '.join(twice)} twice")
    return list(answer)


def _inspect(cls: Any) -> None:
    """Refuse an offer that cannot be named in a config."""
    if not inspect.isclass(cls) or kind_of(cls) is None:
        kinds = ", ".join(kind.__name__ for kind in KINDS)
        raise PluginError(f"{cls!r} is of no kind; offer subclasses of {kinds}")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise PluginError(f"{cls.__name__} is abstract and cannot be offered; it lacks {missing}")
    written = next((c for c in cls.__mro__ if "__init__" in vars(c)), object)
    parameters = inspect.signature(cls.__init__).parameters.values()
    if issubclass(written, Component) and any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise PluginError(f"{cls.__name__} takes **kwargs; a config cannot check or document them")
