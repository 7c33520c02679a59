"""Loading plugins: one at a time, so that nothing a plugin does keeps the others from loading.

The loop is our own: pluggy's stops at the first broken plugin and drops one of two that share a
name.
"""

from __future__ import annotations

import difflib
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any, TypeVar

import pluggy

from simlearn import hooks
from simlearn.catalog.kinds import CoreComponents
from simlearn.catalog.offers import inspected
from simlearn.component import Component, ConfigError, PluginError

T = TypeVar("T")
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
    def names(self) -> set[str]:
        """What it may be called by: NAME, and DISTRIBUTION:NAME where two are called the same."""
        return {self.name, f"{self.distribution}:{self.name}"}

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
        block: Names of plugins that are not even imported; DISTRIBUTION:NAME is one of those that
            are called the same.
        entry_points: Instead of the installed ones.
    """
    points = metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    # what ships with simlearn comes first: a stranger cannot take its names away
    points = sorted(points, key=lambda p: (_distribution(p) != GROUP, p.name, p.value))
    found = [(_described(point), point.load) for point in points]
    blocked, manager = set(block), _manager()
    left = [plugin for plugin, _ in found if not plugin.names & blocked]
    core = Plugin("simlearn", "simlearn", _version("simlearn"), "simlearn")
    plugins = [core]
    _admit(core, lambda: CoreComponents(), manager, plugins)
    for plugin, fetch in found:
        plugins.append(plugin)
        twins = [p for p in left if p.name == plugin.name and p.module != plugin.module]
        if plugin not in left:
            plugin.status = "blocked"
        elif twins:
            one, *_ = twins
            plugin.status = "failed"
            plugin.reason = (
                f"{', '.join(p.distribution for p in twins)} has a plugin of the same name; leave "
                f"one of them out with --block {plugin.distribution}:{plugin.name} or --block "
                f"{one.distribution}:{one.name}"
            )
        else:
            _admit(plugin, fetch, manager, plugins)
    return plugins, manager


def _described(point: metadata.EntryPoint) -> Plugin:
    version = point.dist.version if point.dist else "?"
    return Plugin(point.name, _distribution(point), version, point.value)


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
    patience = _patience()
    try:
        module, offers = _within(patience, lambda: _opened(plugin, fetch), plugin)
        taken = {c.__name__: other for other in before for c in other.components}
        for cls in offers:
            if cls.__name__ in taken:
                raise PluginError(
                    f"{cls.__name__} is also offered by {taken[cls.__name__].label}; rename one, "
                    f"or leave one of the two out with --block {plugin.distribution}:{plugin.name}"
                )
        plugin.components = offers
        manager.register(module, plugin.name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        plugin.status, plugin.trace = "failed", "".join(traceback.format_exception(error))
        plugin.reason = " ".join(f"{type(error).__name__}: {error}".split())


def _opened(plugin: Plugin, fetch: Callable[[], Any]) -> tuple[Any, list[type[Component]]]:
    """Import the plugin and ask it, with nobody else in the manager, what it offers."""
    module = fetch()
    alone = _manager()
    alone.register(module, plugin.name)
    _spelled(module, alone)
    try:
        answers = alone.hook.simlearn_components()
    except Exception as error:
        raise PluginError(
            f"simlearn_components() raised {type(error).__name__}: {error}"
        ) from error
    return module, [cls for answer in answers for cls in inspected(answer)]


def _spelled(module: Any, alone: pluggy.PluginManager) -> None:
    """Refuse hooks that would never be called: misspelt, unmarked, or none at all."""
    specs = [name for name, value in vars(hooks).items() if hasattr(value, "simlearn_spec")]
    unknown = [name for name, hook in vars(alone.hook).items() if _unspecified(hook)]
    for name in unknown:
        near = difflib.get_close_matches(name, specs, 1, cutoff=0.0)
        raise PluginError(f"simlearn has no hook {name}; did you mean {near[0]}?")
    marked = {caller.name for caller in alone.get_hookcallers(module) or ()}
    for name in specs:
        if callable(getattr(module, name, None)) and name not in marked:
            raise PluginError(f"{name} is not marked: write @simlearn.hookimpl above it")
    if not marked:
        raise PluginError(f"it implements no hook; there are {' and '.join(specs)}")


def _unspecified(hook: Any) -> bool:
    return isinstance(hook, pluggy.HookCaller) and not hook.has_spec()


def _patience() -> float:
    """How long the import of a plugin may take, in seconds."""
    told = os.environ.get("SIMLEARN_PLUGIN_TIMEOUT", "60")
    try:
        seconds = float(told)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise ConfigError(
            f"SIMLEARN_PLUGIN_TIMEOUT must be a positive number of seconds, got {told!r}."
        )
    return seconds


def _within(seconds: float, work: Callable[[], T], plugin: Plugin) -> T:
    """Do the work in a thread and stop waiting for it after so many seconds.

    A thread cannot be ended: one that hangs is left behind and dies with the process. It cannot
    help against native code that never gives the interpreter back. A module that is imported
    already, or is importing us just now, is asked in this thread: another one would wait for it.
    """
    if plugin.module.partition(":")[0] in sys.modules:
        return work()
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, name=f"plugin {plugin.name}", daemon=True).start()
    try:
        return done.result(seconds)
    except TimeoutError:
        if done.done():
            raise
        raise PluginError(
            f"its import did not finish within {seconds:g} s; if it is merely slow, set "
            "SIMLEARN_PLUGIN_TIMEOUT to more seconds"
        ) from None
