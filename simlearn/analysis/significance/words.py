"""Which kind of doubt it is, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from simlearn.analysis.significance.spread import RelativeSpread

if TYPE_CHECKING:
    from simlearn.analysis.significance.states import Significance

UNSEEN = (
    "Neither test sees an error that all members share: a law that changed, a mechanism that the "
    "training data do not show. Measured points of the new case can."
)


@dataclass(frozen=True)
class Doubt:
    """What speaks against believing a forecast.

    Attributes:
        state: Whether states are unusual for the graph.
        graph: Whether the graph is unlike those of the training.
        inputs: Nodes whose inputs left the training range.
        sentences: The same in words, and what no test sees.
    """

    state: bool
    graph: bool
    inputs: int
    sentences: tuple[str, ...]

    def __bool__(self) -> bool:
        """Whether there is any."""
        return self.state or self.graph or self.inputs > 0

    def __str__(self) -> str:
        """The sentences."""
        return " ".join(self.sentences)


def doubt(
    found: Significance | None = None,
    spread: RelativeSpread | None = None,
    outside: Tensor | None = None,
    worst: float = 2.0,
) -> Doubt:
    """Say which kind of doubt there is.

    Args:
        found: The test of the states.
        spread: REL of the graph.
        outside: ``[rows]`` or ``[S, rows]``: `Box.outside`, or alarms of a field.
        worst: REL from which on the graph counts as unlike those of the training.
    """
    told: list[str] = []
    state = found is not None and bool(found.rejected.any())
    if found is not None and state:
        told.append(_of_states(found))
    graph = spread is not None and not spread.rel <= worst
    if spread is not None and graph:
        told.append(
            f"This graph is unlike those of the training: relative to dx/dt, members part "
            f"{spread.rel:.3g} times as much as there (p = {spread.p:.2g}). The error may be "
            "larger still."
        )
    nodes = 0 if outside is None else int((outside.reshape(-1, outside.shape[-1]) > 0).any(0).sum())
    if nodes:
        told.append(f"Inputs leave the training range at {nodes} nodes.")
    if not told:
        told.append("Nothing speaks against the forecast.")
    return Doubt(state, graph, nodes, (*told, UNSEEN))


def _of_states(found: Significance) -> str:
    count, of = int(found.rejected.sum()), len(found.p)
    least = float(found.p.min())
    nodes = int(found.rejected_nodes.any(0).sum())
    which = (
        "This state is unusual for this graph"
        if of == 1
        else f"{count} of {of} states are unusual for this graph"
    )
    told = f"{which}: members part more than at states like those of the training "
    return told + f"(smallest p = {least:.2g}), at {nodes} nodes beyond chance."
