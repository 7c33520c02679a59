"""Lists and resolves components by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from importlib import metadata
from typing import Any

import pluggy

from simlearn.catalog.kinds import CoreComponents, kind_of
from simlearn.catalog.offers import inspected
from simlearn.catalog.plugin import Plugin, load_plugins
from simlearn.component import Component, ConfigError, PluginError, class_path
from simlearn.stability.report import Report

__all__ = [
    "Catalog",
    "CoreComponents",
    "Plugin",
    "inspected",
    "kind_of",
    "load",
    "load_plugins",
]


class Catalog:
    """All components that can be named.

    Args:
        plugins: What was loaded, broken ones included.
        manager: The pluggy manager in which the sound ones are registered.
        allow: Packages besides those of the plugins whose classes may be named.
    """

    def __init__(
        self, plugins: Sequence[Plugin], manager: pluggy.PluginManager, allow: Iterable[str] = ()
    ):
        self.plugins, self.manager, self.allow = tuple(plugins), manager, tuple(allow)
        self.offers: dict[str, tuple[type[Component], Plugin]] = {
            cls.__name__: (cls, plugin) for plugin in plugins for cls in plugin.components
        }

    def components(self, kind: type[Component] | None = None) -> list[type[Component]]:
        """The offered classes, of one kind or all, by name."""
        found = [cls for cls, _ in self.offers.values() if kind is None or issubclass(cls, kind)]
        return sorted(found, key=lambda cls: cls.__name__)

    def failed(self) -> list[Plugin]:
        """Plugins that did not load."""
        return [plugin for plugin in self.plugins if plugin.status == "failed"]

    def modules(self) -> list[str]:
        """Packages whose classes may be named: the core, loaded plugins, and what was allowed."""
        return sorted({*self.versions(), "simlearn", *self.allow})

    def versions(self) -> dict[str, str]:
        """Distribution and version of each plugin that was loaded, by its top-level module."""
        found = {p.module.split(".")[0].split(":")[0]: p for p in self.plugins if p.status == "ok"}
        return {name: f"{p.distribution} {p.version}" for name, p in found.items()}

    def announce(self, report: Report) -> list[str]:
        """Tell every plugin the verdict.

        One that fails while it listens changes nothing, and is named.
        """
        failures = []
        for listener in self.manager.get_plugins():
            others = [p for p in self.manager.get_plugins() if p is not listener]
            hook = self.manager.subset_hook_caller("simlearn_gate_finished", others)
            try:
                hook(report=report)
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                name = self.manager.get_name(listener)
                failures.append(
                    f"plugin {name} failed hearing the verdict: {type(error).__name__}: {error}"
                )
        return failures

    def find(self, name: str, kind: type[Component] | None = None) -> type[Component]:
        """The component of a name or full path.

        Nothing is imported for it but modules of packages that were allowed.

        Raises:
            ConfigError: Nothing is called so; the nearest names are offered.
            PluginError: A package that was allowed cannot be imported.
        """
        short = name.rpartition(".")[2]
        if short in self.offers and name in (short, class_path(self.offers[short][0])):
            return self.offers[short][0]
        if _inside(name, self.allow):
            _imported(name.rpartition(".")[0])
        for cls in _below(Component):
            if class_path(cls) == name and _inside(name, self.modules()):
                return cls
        raise ConfigError(self.refused(name) if self._foreign(name) else self.unknown(name, kind))

    def _foreign(self, name: str) -> bool:
        """Whether a dotted name is nothing like a component of a package that is open."""
        near = difflib.get_close_matches(name.rpartition(".")[2], self.offers, 1)
        return "." in name and not (_inside(name, self.modules()) and near)

    def refused(self, name: str, hint: str = "") -> str:
        """The message for a name of a package that is not open."""
        package = name.split(".")[0]
        if package in ("simlearn", "torch", "lightning"):
            return f"{name} was refused: it is no class that can be named here.{hint}"
        return (
            f"{name} was refused and not imported: it belongs to no installed plugin.{hint} Its "
            f"package can be allowed with --allow-import {package}, if you trust it."
        )

    def unknown(self, name: str, kind: type[Component] | None = None) -> str:
        """The message for a name that nothing has.

        It offers the nearest names, and tells of plugins that might have brought it.
        """
        what = kind.__name__ if kind else "component"
        names = [cls.__name__ for cls in self.components(kind)]
        near = difflib.get_close_matches(name.rpartition(".")[2], names, n=2, cutoff=0.6)
        hints = [f"{n} ({self.offers[n][1].name}, {self.offers[n][1].distribution})" for n in near]
        message = f"There is no {what} named {name}"
        message += (
            f"; did you mean {' or '.join(hints)}?"
            if hints
            else f". There are: {', '.join(names)}."
            if kind
            else ". `simlearn plugins --load` lists all of them."
        )
        for plugin in self.failed():
            message += f" Plugin {plugin.label} did not load: {plugin.reason}"
        return message


def _inside(name: str, packages: Iterable[str]) -> bool:
    """Whether a dotted name lies in one of the packages."""
    return any(name.startswith(f"{package}.") for package in packages)


def _imported(module: str) -> None:
    """Import a module that the user allowed.

    Raises:
        PluginError: It cannot be imported.
    """
    try:
        importlib.import_module(module)
    except Exception as error:
        raise PluginError(
            f"{module} was allowed with --allow-import and cannot be imported: "
            f"{type(error).__name__}: {error}"
        ) from error


def _below(cls: type[Any]) -> Iterable[type[Any]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)


def load(
    block: Iterable[str] = (),
    strict: bool = False,
    entry_points: Iterable[metadata.EntryPoint] | None = None,
    allow: Iterable[str] = (),
) -> Catalog:
    """Load the plugins and list what they offer; a broken one is kept as failed.

    Args:
        block: Names of plugins that are not even imported.
        strict: Whether a broken plugin is an error.
        entry_points: Instead of the installed ones.
        allow: Packages besides the plugins whose classes may be named.

    Raises:
        ConfigError: What is allowed is no name of a package.
        PluginError: ``strict``, and a plugin did not load.
    """
    allow = list(allow)
    for name in allow:
        parts = name.split(".")
        if parts[0] == "jsonargparse" or not all(part.isidentifier() for part in parts):
            raise ConfigError(f"--allow-import wants the name of a package, got {name!r}.")
    catalog = Catalog(*load_plugins(block, entry_points), allow)
    if strict and catalog.failed():
        lines = [f"{p.label}: {p.reason}" for p in catalog.failed()]
        raise PluginError("Plugins did not load: " + "; ".join(lines))
    return catalog
