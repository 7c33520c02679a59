"""Loads plugins, checks what they offer, lists and resolves components.

The loop is our own: pluggy's stops at the first broken plugin and drops one of two that share a
name.
"""

from __future__ import annotations

import difflib
import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import pluggy

from simlearn import dynamics, hooks, integrators
from simlearn.component import Component, ConfigError, PluginError, class_path
from simlearn.data.generate import DatasetGenerator
from simlearn.dynamics.base import Dynamics
from simlearn.integrators.base import Integrator
from simlearn.stability.check import Check
from simlearn.stability.report import Report
from simlearn.training import objective
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer

KINDS: tuple[type[Component], ...] = (
    Dynamics,
    Integrator,
    DatasetGenerator,
    Objective,
    Stabilizer,
    Check,
)
GROUP = "simlearn"


class CoreComponents:
    """The components of simlearn itself, offered through the same door as everybody's."""

    @hooks.hookimpl
    def simlearn_components(self) -> list[type]:
        """Final classes of the core rooms."""
        rooms = (dynamics, integrators, objective)
        found = [value for room in rooms for value in vars(room).values()]
        kinds = [
            c for c in found if inspect.isclass(c) and kind_of(c) and not inspect.isabstract(c)
        ]
        return sorted(
            {c for c in kinds if c.__module__.startswith("simlearn.")}, key=lambda c: c.__name__
        )


@dataclass
class Plugin:
    """A plugin and what became of it.

    Attributes:
        name: Name of the entry point.
        distribution: The distribution that brings it.
        version: Its version.
        module: Where the entry point leads.
        status: "ok", "blocked" or "failed".
        reason: Why it failed.
        components: What it offers.
    """

    name: str
    distribution: str
    version: str
    module: str
    status: str = "ok"
    reason: str = ""
    components: list[type[Component]] = field(default_factory=list)
    trace: str = field(default="", repr=False)

    @property
    def label(self) -> str:
        """Plugin, distribution and version for a message."""
        return f"{self.name} ({self.distribution} {self.version})"


def kind_of(cls: type) -> type[Component] | None:
    """The kind a class belongs to, None where it is no component."""
    return next((kind for kind in KINDS if issubclass(cls, kind)), None)


class Catalog:
    """All components that can be named.

    Args:
        plugins: What was loaded, broken ones included.
        manager: The pluggy manager in which the sound ones are registered.
    """

    def __init__(self, plugins: Sequence[Plugin], manager: pluggy.PluginManager):
        self.plugins, self.manager = tuple(plugins), manager
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
        """Top-level modules that a config may name: the core's and those of the loaded plugins."""
        loaded = {p.module.split(".")[0].split(":")[0] for p in self.plugins if p.status == "ok"}
        return sorted(loaded | {"simlearn"})

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
            except Exception as error:
                name = self.manager.get_name(listener)
                failures.append(
                    f"plugin {name} failed hearing the verdict: {type(error).__name__}: {error}"
                )
        return failures

    def find(self, name: str, kind: type[Component] | None = None) -> type[Component]:
        """The component of a name or full path, among classes that are imported already.

        Raises:
            ConfigError: Nothing is called so; the nearest names are offered.
        """
        short = name.rpartition(".")[2]
        if short in self.offers and name in (short, class_path(self.offers[short][0])):
            return self.offers[short][0]
        for cls in _below(Component):
            if class_path(cls) == name and cls.__module__.split(".")[0] in self.modules():
                return cls
        raise ConfigError(self.unknown(name, kind))

    def unknown(self, name: str, kind: type[Component] | None = None) -> str:
        """The message for a name that nothing has.

        The nearest ones, and plugins that might have brought it.
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
        )
        for plugin in self.failed():
            message += f" Plugin {plugin.label} did not load: {plugin.reason}"
        return message


def _below(cls: type[Any]) -> Iterable[type[Any]]:
    for child in cls.__subclasses__():
        yield child
        yield from _below(child)


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    return manager


def load(
    block: Iterable[str] = (),
    strict: bool = False,
    entry_points: Iterable[metadata.EntryPoint] | None = None,
) -> Catalog:
    """Load the plugins; a broken one is kept as failed and the others still load.

    Args:
        block: Names of plugins that are not even imported.
        strict: Whether a broken plugin is an error.
        entry_points: Instead of the installed ones.

    Raises:
        PluginError: ``strict``, and a plugin did not load.
    """
    found = list(metadata.entry_points(group=GROUP) if entry_points is None else entry_points)
    blocked, manager = set(block), _manager()
    core = Plugin("simlearn", "simlearn", _version("simlearn"), "simlearn")
    plugins = [core]
    _admit(core, lambda: CoreComponents(), manager, plugins)
    for point in sorted(found, key=lambda p: (p.name, p.value)):
        dist = point.dist
        plugin = Plugin(
            point.name, dist.name if dist else "?", dist.version if dist else "?", point.value
        )
        plugins.append(plugin)
        twins = [p for p in found if p.name == point.name and p.value != point.value]
        if point.name in blocked:
            plugin.status = "blocked"
        elif twins:
            others = ", ".join(t.dist.name if t.dist else "?" for t in twins)
            plugin.status = "failed"
            plugin.reason = f"{others} has a plugin of the same name; block or remove one of them"
        else:
            _admit(plugin, point.load, manager, plugins)
    catalog = Catalog(plugins, manager)
    if strict and catalog.failed():
        lines = [f"{p.label}: {p.reason}" for p in catalog.failed()]
        raise PluginError("Plugins did not load: " + "; ".join(lines))
    return catalog


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "?"


def _admit(
    plugin: Plugin,
    fetch: Callable[[], Any],
    manager: pluggy.PluginManager,
    before: Sequence[Plugin],
) -> None:
    """Load one plugin by itself.

    Nothing it does, not even SystemExit, keeps the others from loading.
    """
    try:
        module = fetch()
        alone = _manager()
        alone.register(module, plugin.name)
        alone.check_pending()
        offers = [cls for answer in alone.hook.simlearn_components() for cls in _listed(answer)]
        taken = {c.__name__: other for other in before for c in other.components}
        for cls in offers:
            _inspect(cls, taken)
        plugin.components = offers
        manager.register(module, plugin.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        plugin.status, plugin.trace = "failed", traceback.format_exc()
        plugin.reason = f"{type(error).__name__}: {error}"


def _listed(answer: Any) -> list[Any]:
    if not isinstance(answer, list | tuple):
        raise PluginError(
            f"simlearn_components must return a list of classes, got {type(answer).__name__}"
        )
    return list(answer)


def _inspect(cls: Any, taken: Mapping[str, Plugin]) -> None:
    """Refuse an offer that cannot be named in a config."""
    if not inspect.isclass(cls) or kind_of(cls) is None:
        kinds = ", ".join(kind.__name__ for kind in KINDS)
        raise PluginError(f"{cls!r} is of no kind; offer subclasses of {kinds}")
    if inspect.isabstract(cls):
        missing = ", ".join(sorted(getattr(cls, "__abstractmethods__", ())))
        raise PluginError(f"{cls.__name__} is abstract and cannot be offered; it lacks {missing}")
    if cls.__name__ in taken:
        raise PluginError(
            f"{cls.__name__} is also offered by {taken[cls.__name__].label}; rename one"
        )
    written = next((c for c in cls.__mro__ if "__init__" in vars(c)), object)
    parameters = inspect.signature(cls.__init__).parameters.values()
    if issubclass(written, Component) and any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise PluginError(f"{cls.__name__} takes **kwargs; a config cannot check or document them")
