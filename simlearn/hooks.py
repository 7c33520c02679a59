"""The two hooks of simlearn. A hook may discover or observe; it never alters a number."""

from __future__ import annotations

from collections.abc import Iterable
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
