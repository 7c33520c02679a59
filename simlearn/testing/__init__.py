"""Contract tests that any plugin runs on its own components.

One line in a plugin's test file is enough::

    test_contract = simlearn.testing.contract(simlearn_duffing)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from simlearn import catalog
from simlearn.component import Component, ConfigError, PluginError
from simlearn.testing.asked import Aspect, asked_of

__all__ = ["asked_of", "contract"]

Skip = Mapping[str, Mapping[str, str]]


def contract(plugin: ModuleType | Any, skip: Skip | None = None) -> Callable[..., None]:
    """A parametrised pytest test of everything a plugin offers.

    Args:
        plugin: The module (or object) with the `simlearn_components` hook.
        skip: Failures that are expected, as ``{"ClassName": {"aspect_name": "why"}}``. Each is
            skipped and its reason shown.

    Raises:
        PluginError: The plugin has no hook, offers nothing, or offers what is of no kind.
        ConfigError: ``skip`` names a class that is not offered or an aspect that is not asked of
            it, or gives no reason.
    """
    import pytest

    offered = _offered(plugin)
    reasons = _checked(skip or {}, offered)
    cases = []
    for cls in offered:
        for aspect in asked_of(cls):
            reason = reasons.get(cls.__name__, {}).get(aspect.__name__)
            marks = [pytest.mark.skip(reason=reason)] if reason else []
            name = f"{cls.__name__}-{aspect.__name__}"
            cases.append(pytest.param(cls, aspect, id=name, marks=marks))

    @pytest.mark.parametrize(("cls", "aspect"), cases)
    def test_contract(cls: type[Component], aspect: Aspect) -> None:
        aspect(cls)

    return test_contract


def _offered(plugin: Any) -> list[type[Component]]:
    name = getattr(plugin, "__name__", type(plugin).__name__)
    hook = getattr(plugin, "simlearn_components", None)
    if hook is None:
        raise PluginError(
            f"{name} has no simlearn_components(). Define it at the top of the module, under "
            "@simlearn.hookimpl, and return the list of classes the plugin offers."
        )
    offered = catalog.inspected(hook())
    if not offered:
        raise PluginError(f"{name} offers nothing: simlearn_components() returned an empty list.")
    return offered


def _checked(skip: Skip, offered: list[type[Component]]) -> Skip:
    """The expected failures, if every name in them means something."""
    asked = {cls.__name__: [aspect.__name__ for aspect in asked_of(cls)] for cls in offered}
    for cls, reasons in skip.items():
        if cls not in asked:
            raise ConfigError(f"skip names {cls}, which is not offered{_near(cls, list(asked))}")
        for aspect, reason in reasons.items():
            if aspect not in asked[cls]:
                near = _near(aspect, asked[cls])
                raise ConfigError(f"skip names {aspect}, which is not asked of {cls}{near}")
            if not reason.strip():
                raise ConfigError(f"skip gives no reason for {cls}.{aspect}; say why it may fail.")
    return skip


def _near(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else f". There are: {', '.join(known)}."
