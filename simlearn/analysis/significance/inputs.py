"""Do the inputs of networks leave the range that they were trained on?"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.state import Topology

Seen = Callable[[Tensor, Topology], Tensor]


@dataclass(frozen=True, eq=False)
class Box:
    """The range of everything that networks saw of a node: its state, sums over its neighbours.

    Attributes:
        low: ``[members, features]``.
        high: ``[members, features]``.
        seen: (x ``[rows, dim]``, topology) to ``[members, rows, features]``, as `Ensemble.seen`.
    """

    low: Tensor
    high: Tensor
    seen: Seen

    @classmethod
    def of(
        cls, seen: Seen, training: Iterable[tuple[Tensor, Topology]], margin: float = 0.01
    ) -> Box:
        """The range over states ``[rows, dim]`` of the training, each on its graph.

        Args:
            seen: What each member sees.
            training: States and their graphs.
            margin: Of the range, by which it is widened: fresh states of the same distribution
                leave that of a sample by a little now and then.

        Raises:
            DataError: There is no state.
        """
        low = high = None
        with torch.no_grad():
            for x, topology in training:
                features = seen(x, topology)
                least, most = features.amin(1), features.amax(1)
                low = least if low is None else low.minimum(least)
                high = most if high is None else high.maximum(most)
        if low is None or high is None:
            raise DataError(
                "The range of inputs needs a state of the training data; there is none."
            )
        wider = margin * (high - low)
        return cls(low - wider, high + wider, seen)

    def outside(self, x: Tensor, topology: Topology) -> Tensor:
        """Of each node, the share of members with an input out of range, ``[rows]``."""
        with torch.no_grad():
            features = self.seen(x, topology)
        low, high = self.low[:, None], self.high[:, None]
        left = ~((features >= low) & (features <= high))  # NaN is nowhere
        return left.any(-1).to(x.dtype).mean(0)

    def exit(self, x: Tensor, topology: Topology) -> float:
        """EXIT: the share of nodes with an input out of range, over members."""
        return float(self.outside(x, topology).mean())
