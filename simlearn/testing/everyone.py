"""What is asked of every component.

Here and in the neighbouring files: one function an aspect, each raising AssertionError where it
fails.
"""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from typing import Any

import torch

from simlearn.component import Component, arguments, build, class_path, describe
from simlearn.testing.cases import examples
from simlearn.testing.spawn import elsewhere, here


def offers_an_example(cls: type[Component]) -> None:
    """`examples()` yields at least one instance, and only instances of the class."""
    found = examples(cls)
    assert found, f"{cls.__name__}.examples() yields nothing: nothing could be tested"
    for one in found:
        assert type(one) is cls, f"{cls.__name__}.examples() yields a {type(one).__name__}"


def documents_every_argument(cls: type[Component]) -> None:
    """Every argument stands under ``Args:`` of the class."""
    doc = inspect.getdoc(cls) or ""
    assert doc, f"{cls.__name__} has no docstring"
    for name in arguments(cls):
        assert re.search(rf"^\s+{name}\b.*:", doc, re.M), f"{cls.__name__} does not document {name}"


def overrides_only_optional_methods(cls: type[Component]) -> None:
    """A concrete method is overridden only where its kind marks it ``@optional``."""
    for name, value in vars(cls).items():
        if name.startswith("_") or inspect.isclass(value):
            continue
        if not callable(getattr(value, "__func__", value)):
            continue
        for parent in cls.__mro__[1:]:
            if issubclass(parent, Component) and name in vars(parent):
                assert _may_be_overridden(vars(parent)[name]), (
                    f"{cls.__name__}.{name} overrides {parent.__name__}.{name}, which is not "
                    "@optional: whoever relies on it would be surprised"
                )


def _may_be_overridden(inherited: Any) -> bool:
    function = getattr(inherited, "__func__", inherited)
    marks = (getattr(function, m, False) for m in ("__isabstractmethod__", "__optional__"))
    return any(marks)


def builds_from_its_description(cls: type[Component]) -> None:
    """`describe` and `build` are each other's inverse."""
    for one in examples(cls):
        told = describe(one)
        paths = {class_path(c): c for c in _parts(one)}
        with torch.random.fork_rng(devices=[]):
            again = build(told, paths.__getitem__)
        assert type(again) is type(one)
        assert describe(again) == told, f"{told} built {describe(again)}"


def _parts(component: Any) -> Iterator[type]:
    yield type(component)
    for name in arguments(type(component)):
        value = getattr(component, name)
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, Component):
                yield from _parts(part)


def survives_pickle(cls: type[Component]) -> None:
    """A pickled copy describes itself as the original does."""
    for one in examples(cls):
        assert describe(pickle.loads(pickle.dumps(one))) == describe(one)


def works_in_a_spawned_process(cls: type[Component]) -> None:
    """Sent to a process started by "spawn" and used there, it answers bit for bit as here."""
    for one in examples(cls):
        assert elsewhere(one) == here(one), (
            f"{cls.__name__} answers differently in another process: something it needs does not "
            "travel with it"
        )
