"""Loading plugins: one at a time, so that nothing a plugin does keeps the others from loading.

The loop is our own: pluggy's stops at the first broken plugin and drops one of two that share a
name.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import pluggy

from simlearn import hooks
from simlearn.catalog.kinds import KINDS, CoreComponents, kind_of
from simlearn.component import Component, PluginError

GROUP = "simlearn"


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


def _manager() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hooks)
    return manager


def load_plugins(
    block: Iterable[str] = (), entry_points: Iterable[metadata.EntryPoint] | None = None
) -> tuple[list[Plugin], pluggy.PluginManager]:
    """Load the plugins; a broken one is kept as failed and the others still load.

    Args:
        block: Names of plugins that are not even imported.
        entry_points: Instead of the installed ones.
    """
    found = list(metadata.entry_points(group=GROUP) if entry_points is None else entry_points)
    blocked, manager = set(block), _manager()
    core = Plugin("simlearn", "simlearn", _version("simlearn"), "simlearn")
    plugins = [core]
    _admit(core, lambda: CoreComponents(), manager, plugins)
    # what ships with simlearn comes first: a stranger cannot take its names away
    for point in sorted(found, key=lambda p: (_distribution(p) != GROUP, p.name, p.value)):
        version = point.dist.version if point.dist else "?"
        plugin = Plugin(point.name, _distribution(point), version, point.value)
        plugins.append(plugin)
        twins = [p for p in found if p.name == point.name and p.value != point.value]
        if point.name in blocked:
            plugin.status = "blocked"
        elif twins:
            others = ", ".join(map(_distribution, twins))
            plugin.status = "failed"
            plugin.reason = f"{others} has a plugin of the same name; block or remove one of them"
        else:
            _admit(plugin, point.load, manager, plugins)
    return plugins, manager


def _distribution(point: metadata.EntryPoint) -> str:
    return point.dist.name if point.dist else "?"


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
