"""Components of no kind: what stands as an argument of others, such as a family of graphs."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterable

from simlearn.catalog.kinds import kind_of
from simlearn.component import Component, class_path


def below(cls: type[Component]) -> Iterable[type[Component]]:
    """All classes that descend from one."""
    for child in cls.__subclasses__():
        yield child
        yield from below(child)


def inside(name: str, packages: Iterable[str]) -> bool:
    """Whether a dotted name lies in one of the packages."""
    return any(name.startswith(f"{package}.") for package in packages)


def parts_in(packages: Iterable[str]) -> list[type[Component]]:
    """Those of some packages, by name."""
    packages = list(packages)
    found = {
        cls
        for cls in below(Component)
        if kind_of(cls) is None
        and not inspect.isabstract(cls)
        and inside(class_path(cls), packages)
    }
    return sorted(found, key=lambda cls: (cls.__name__, class_path(cls)))


def base_of(part: type[Component]) -> type[Component]:
    """What a component of no kind is a sort of, such as GraphFamily."""
    line = [cls for cls in part.__mro__ if issubclass(cls, Component) and cls is not Component]
    return line[-1]


def wanted(argument: str, components: Iterable[type[Component]]) -> type[Component] | None:
    """The sort of component that an argument of this name takes; None where it is not one sort."""
    sorts: set[type[Component]] = set()
    for cls in components:
        try:
            hint = typing.get_type_hints(cls.__init__).get(argument)
        except Exception:  # a stranger's annotation, of which nothing is known
            continue
        for one in (hint, *typing.get_args(hint)):
            if inspect.isclass(one) and issubclass(one, Component):
                sorts.add(one)
    return sorts.pop() if len(sorts) == 1 else None
