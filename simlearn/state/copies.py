"""Copies of a topology: side by side, or on another device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from torch import Tensor

from simlearn.state.keeping import kept
from simlearn.state.tracing import followed

if TYPE_CHECKING:
    from simlearn.state.topology import Topology

ATTRIBUTES = ("edge_attr", "node_attr", "system_attr", "inputs")


def copied(
    topology: Topology,
    key: Any,
    make: Callable[[Topology], Topology],
    carry: Callable[[Tensor], Tensor],
) -> Topology:
    """A copy, made once of what stays; attributes that are `followed` are carried every time.

    Args:
        topology: What is copied; it keeps its copies.
        key: Which copy.
        make: Makes it.
        carry: The same for one attribute.
    """
    own = [getattr(topology, name) for name in ATTRIBUTES]
    live = {n: one for n, one in zip(ATTRIBUTES, own, strict=True) if followed(one)}
    still = [one for n, one in zip(ATTRIBUTES, own, strict=True) if n not in live]
    if not live:
        return kept(topology._copies, key, still, lambda: make(topology))
    without = dict.fromkeys(live)
    rest = kept(topology._copies, tuple(live), still, lambda: topology.replace(**without))
    carried = {name: carry(value) for name, value in live.items()}
    return copied(rest, key, make, carry).replace(**carried)
