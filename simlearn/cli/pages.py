"""What is told of one component: its documentation, its arguments, and how a config names it."""

from __future__ import annotations

import inspect
import re
import types
import typing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simlearn.catalog import Plugin

# where a config names a component of each kind
PLACES: dict[str, tuple[str, ...]] = {
    "Dynamics": ("model", "simulator", "dynamics"),
    "Integrator": ("model", "simulator", "integrator"),
    "DatasetGenerator": ("data", "generator"),
    "Objective": ("model", "objective"),
    "Start": ("model", "start"),
    "Stabilizer": ("model", "stabilizers", "-"),
    "Check": ("suites", "smoke", "-"),
}


def page(cls: type[Any], plugin: Plugin | None) -> dict[str, Any]:
    """Everything about a component, in JSON types."""
    from simlearn.catalog import base_of, kind_of
    from simlearn.component import arguments, class_path

    kind = kind_of(cls)
    hints = _hints(cls)
    return {
        "name": cls.__name__,
        "class_path": class_path(cls),
        "kind": (kind or base_of(cls)).__name__,
        "plugin": plugin.name if plugin else None,
        "distribution": plugin.distribution if plugin else None,
        "version": plugin.version if plugin else None,
        "doc": inspect.getdoc(cls) or "",
        "arguments": [
            {
                "name": name,
                "type": readable(hints.get(name, p.annotation)),
                "required": p.default is p.empty,
                "default": None if p.default is p.empty else repr(p.default),
            }
            for name, p in arguments(cls).items()
        ],
        "yaml": snippet(cls, kind.__name__ if kind else ""),
    }


def plain_text(told: dict[str, Any]) -> str:
    """The page for a terminal."""
    source = ""
    if told["plugin"]:
        source = f", plugin {told['plugin']} ({told['distribution']} {told['version']})"
    lines = [f"{told['class_path']}  [{told['kind']}{source}]", "", told["doc"], ""]
    lines.append("arguments:" if told["arguments"] else "It takes no arguments.")
    for argument in told["arguments"]:
        default = "  (required)" if argument["required"] else f" = {argument['default']}"
        lines.append(f"  {argument['name']}: {argument['type']}{default}")
    if told["yaml"]:
        lines += ["", "in a config:", *(f"  {line}" for line in told["yaml"].splitlines())]
    return "\n".join(lines) + "\n"


def _hints(cls: type[Any]) -> dict[str, Any]:
    """Types of the arguments; as they are written where a name in them cannot be resolved."""
    try:
        return typing.get_type_hints(cls.__init__)
    except (NameError, TypeError, AttributeError):
        return {}


def readable(annotation: Any) -> str:
    """A type as a person writes it: ``float``, ``list[int] | None``, ``'end' | 'max'``."""
    if annotation is inspect.Parameter.empty:
        return "any"
    if annotation in (None, type(None)):
        return "None"
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(readable, inner))
    if origin is typing.Literal:
        return " | ".join(map(repr, inner))
    if origin is not None:
        listed = ", ".join("..." if one is Ellipsis else readable(one) for one in inner)
        return f"{origin.__name__}[{listed}]"
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", None)
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text or str(annotation))


def snippet(cls: type[Any], kind: str) -> str:
    """YAML that names the component with all its arguments, ready to be pasted into a config.

    Defaults stand as they are; what has none, or None, is as in the first of its examples.
    """
    if kind not in PLACES:
        return ""
    import yaml

    named: Any = _named(cls)
    *above, last = PLACES[kind]
    named = [named] if last == "-" else {last: named}
    for key in reversed(above):
        named = {key: named}
    head = "schema: 1\n" if kind == "Check" else ""
    return head + yaml.safe_dump(named, sort_keys=False, default_flow_style=None, width=90)


def _named(cls: type[Any]) -> Any:
    from simlearn.component import SimlearnError, arguments, describe

    taken = arguments(cls)
    given = {name: p.default for name, p in taken.items() if p.default is not p.empty}
    try:
        example = describe(next(iter(cls.examples())))["init_args"] if taken else {}
    except (SimlearnError, StopIteration, TypeError):
        example = {}
    values = {
        name: given.get(name) if _told(given.get(name)) else example.get(name) for name in taken
    }
    return {"class_path": cls.__name__, "init_args": values} if values else cls.__name__


def _told(value: Any) -> bool:
    """Whether a default says something by itself and can stand in YAML."""
    return isinstance(value, bool | int | float | str)
