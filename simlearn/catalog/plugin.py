"""Loading plugins: one at a time, so that nothing a plugin does keeps the others from loading.

The loop is our own: pluggy's stops at the first broken plugin and drops one of two that share a
name.
"""

from __future__ import annotations

import difflib
import inspect
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
from simlearn.catalog.kinds import KINDS, CoreComponents, kind_of
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
    patience = _patience()
    try:
        module, offers = _within(patience, lambda: _opened(plugin, fetch), plugin)
        taken = {c.__name__: other for other in before for c in other.components}
        for cls in offers:
            if cls.__name__ in taken:
                raise PluginError(
                    f"{cls.__name__} is also offered by {taken[cls.__name__].label}; rename one, "
                    "or leave one of the two out with --block"
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
