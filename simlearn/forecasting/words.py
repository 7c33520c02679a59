"""What is to be said of a forecast, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from simlearn.analysis.significance import UNSEEN
from simlearn.data.importing.columns import state_names

if TYPE_CHECKING:
    from simlearn.forecasting.result import Alarms
    from simlearn.forecasting.trust import Trust

SAME = 1e-12  # of a time, below which two times are one


def named(told: Mapping[str, Any], dim: int) -> list[str]:
    """Columns of the state as the provenance names them; x where there is only one, unnamed."""
    names = state_names(told.get("columns"), dim)
    return ["x"] if names == ["x0"] else names


def alarm(alarms: Alarms, t: Tensor, labels: Sequence[str], columns: Sequence[str]) -> str:
    """Who left the range of the training data; empty where nobody did."""
    nodes = alarms.nodes
    if not len(nodes):
        return ""
    first = alarms.first[nodes]
    when, begin = float(first.min()), float(t.min()) if t.numel() else 0.0
    early = abs(when - begin) <= SAME * max(1.0, abs(begin))
    told = "begins outside" if early else f"leaves at t = {when:.6g}"
    told += " the range of the training data"
    if alarms.range is not None:
        low, high = alarms.range
        told += f": {columns[alarms.column]} was in [{low:.4g}, {high:.4g}] there"
    rows = len(alarms.first)
    if rows > 1:
        who = int(nodes[int(first.argmin())])
        name = labels[who] if labels else str(who)
        told += f"; {len(nodes)} of {rows} nodes do, node {name} first"
    if alarms.beyond > 0:
        told += f", by up to {alarms.beyond:.2g} widths of that range"
    return told


def degrees(found: Sequence[str]) -> list[str]:
    """What of the graph is new."""
    return [f"{one}: what was learned is stretched that far" for one in found]


def trusted(trust: Trust) -> list[str]:
    """The tests, and which kind of doubt it is."""
    found, question = trust.significance, trust.question
    p = found.p
    against = "node states" if question.null == "states" else "rollouts"
    told = [
        f"p = {float(p[0]):.3g} at the start"
        + (
            f", smallest {float(p.min()):.3g} of {len(p)} tested times "
            f"({float(trust.q.min()):.3g} adjusted for their number)"
            if len(p) > 1
            else ""
        )
        + f", {trust.members} members against {question.draws} draws of {against} of the training "
        f"on this graph; REL = {trust.spread.rel:.3g}"
    ]
    if not trust.doubt:
        told.append("neither state nor graph is in doubt by these tests")
        return [*told, UNSEEN.rstrip(".")]
    return [*told, *(one.rstrip(".") for one in trust.doubt.sentences)]
