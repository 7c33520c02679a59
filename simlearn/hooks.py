"""The two hooks of simlearn. A hook may discover or observe; it never alters a number."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from simlearn.stability.report import Report

hookspec = pluggy.HookspecMarker("simlearn")
hookimpl = pluggy.HookimplMarker("simlearn")


@hookspec
def simlearn_components() -> Iterable[type]:  # type: ignore[empty-body]
    """Name the component classes this plugin offers.

    Dynamics, integrators, dataset generators, objectives, starts, stabilizers and checks; final
    classes only.
    """


@hookspec
def simlearn_gate_finished(report: Report) -> None:
    """Hear the verdict of a gate, after the report is written; return values are ignored."""


def origin(module: str) -> str:
    """Where a module comes from, for a message: plugin, distribution and version.

    A package that is no plugin, such as one that --allow-import named, is named itself.
    """
    package = module.split(".")[0]
    for point in metadata.entry_points(group="simlearn"):
        if point.value.partition(":")[0].split(".")[0] == package and point.dist is not None:
            return f"plugin {point.name} ({point.dist.name} {point.dist.version})"
    return f"package {package}"
