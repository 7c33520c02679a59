"""Lists and resolves components by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Sequence
from importlib import metadata

import pluggy

from simlearn.catalog.kinds import CoreComponents, kind_of
from simlearn.catalog.offers import inspected
from simlearn.catalog.parts import base_of, below, inside, parts_in, wanted
from simlearn.catalog.plugin import Plugin, load_plugins
from simlearn.component import Component, ConfigError, PluginError, class_path
from simlearn.stability.report import Report

__all__ = [
    "Catalog",
    "CoreComponents",
    "Plugin",
    "base_of",
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

    def parts(self) -> list[type[Component]]:
        """Components of no kind, which stand as arguments of others, by name."""
        return parts_in(self.modules())

    def owner(self, cls: type[Component]) -> Plugin | None:
        """The plugin that offers a component, or that a component of no kind came with."""
        if cls.__name__ in self.offers and self.offers[cls.__name__][0] is cls:
            return self.offers[cls.__name__][1]
        for plugin in (one for one in self.plugins if one.status == "ok"):
            if inside(cls.__module__ + ".", [plugin.module.split(".")[0].split(":")[0]]):
                return plugin
        return None

    def wanted(self, argument: str) -> type[Component] | None:
        """The sort of component that an argument takes, by its name alone; None if that varies."""
        return wanted(argument, self.components())

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
        if inside(name, self.allow):
            _imported(name.rpartition(".")[0])
        for cls in below(Component):
            if class_path(cls) == name and inside(name, self.modules()):
                return cls
        alike = [cls for cls in self.parts() if cls.__name__ == name]
        if len(alike) > 1:
            paths = " and ".join(map(class_path, alike))
            raise ConfigError(f"{name} may be {paths}; write which.")
        if alike:
            return alike[0]
        raise ConfigError(self.refused(name) if self._foreign(name) else self.unknown(name, kind))

    def _foreign(self, name: str) -> bool:
        """Whether a dotted name is nothing like a component of a package that is open."""
        near = difflib.get_close_matches(name.rpartition(".")[2], self.offers, 1)
        return "." in name and not (inside(name, self.modules()) and near)

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
        found = {c.__name__: c for c in [*self.components(), *self.parts()]}
        names = [n for n, cls in found.items() if kind is None or issubclass(cls, kind)]
        near = difflib.get_close_matches(name.rpartition(".")[2], names, n=2, cutoff=0.6)
        owners = [(n, self.owner(found[n])) for n in near]
        hints = [n + (f" ({p.name}, {p.distribution})" if p else "") for n, p in owners]
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
