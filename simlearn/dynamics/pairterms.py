"""What a node feels of its neighbours: terms of `GraphCoupled`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Self

import torch
from torch import Tensor, nn

from simlearn.component import Component, ConfigError
from simlearn.dynamics.neural import TanhNet, positive
from simlearn.state import Adjacency, Topology

CHUNK = 2**26  # numbers of one layer that an edge network holds at once without gradients


class PairTerm(nn.Module, Component):
    """Σⱼ Aᵢⱼ Q(zᵢ, zⱼ): what a node feels of its neighbours.

    Attributes:
        seen: Columns of z.
        learned: Columns of the sum.
    """

    seen: int
    learned: int

    @abstractmethod
    def forward(self, z: Tensor, topology: Topology, adjacency: Adjacency) -> Tensor:
        """``[rows, seen]`` to ``[rows, learned]``."""


class Factorised(PairTerm):
    """Q(zᵢ, zⱼ) = W (a(zᵢ) ∘ b(zⱼ)), a and b tanh networks, ∘ by channel.

    As a(zᵢ) leaves the sum, Σⱼ Aᵢⱼ Q = W (a(zᵢ) ∘ Σⱼ Aᵢⱼ b(zⱼ)) is one sparse product of
    ``channels`` columns: its cost grows with edges times channels (Vasiliauskaite and
    Antulov-Fantulin 2024, eq. 3, whose program forms all pairs). Any smooth Q is approached as the
    channels grow.

    Args:
        seen: Columns of z.
        learned: Columns of the answer.
        channels: Products.
        width: Neurons in the hidden layer of a and of b.
    """

    def __init__(self, seen: int = 1, learned: int = 1, channels: int = 30, width: int = 30):
        super().__init__()
        positive(seen=seen, learned=learned, channels=channels, width=width)
        self.seen, self.learned, self.channels, self.width = seen, learned, channels, width
        self.receive = TanhNet([seen, width, channels])
        self.send = TanhNet([seen, width, channels])
        self.out = nn.Linear(channels, learned, bias=False)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A small one."""
        return [cls(channels=4, width=4)]

    def forward(self, z: Tensor, topology: Topology, adjacency: Adjacency) -> Tensor:
        """W (a(zᵢ) ∘ Σⱼ Aᵢⱼ b(zⱼ))."""
        answer: Tensor = self.out(self.receive(z) * (adjacency @ self.send(z)))
        return answer


class EdgeNetwork(PairTerm):
    """Q(zᵢ, zⱼ, eᵢⱼ), one tanh network of both ends and of what the edge carries.

    It is evaluated on every edge: several times the cost and memory of `Factorised`, for couplings
    that depend on features of edges, or on zᵢ − zⱼ sharply.

    Args:
        seen: Columns of z.
        learned: Columns of the answer.
        width: Neurons in each of two hidden layers.
        features: Columns of ``edge_attr`` that the network sees.
    """

    def __init__(self, seen: int = 1, learned: int = 1, width: int = 30, features: int = 0):
        super().__init__()
        positive(seen=seen, learned=learned, width=width)
        if features < 0:
            raise ConfigError(f"EdgeNetwork.features counts columns of edge_attr, got {features}.")
        self.seen, self.learned, self.width, self.features = seen, learned, width, features
        self.net = TanhNet([2 * seen + features, width, width, learned])

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """A small one."""
        return [cls(width=4)]

    def forward(self, z: Tensor, topology: Topology, adjacency: Adjacency) -> Tensor:
        """The sum over edges, in pieces where no gradient needs all of them at once.

        Raises:
            ConfigError: The edges do not carry the features it was made for.
            DataError: A feature is not finite.
        """
        source, target = topology.graph.edge_index
        attr = self._features(topology, z) if self.features else None
        total = z.new_zeros(len(z), self.learned)
        pieces = len(source) if torch.is_grad_enabled() else max(1, CHUNK // self.width)
        for k in range(0, len(source), max(pieces, 1)):
            some = slice(k, k + pieces)
            ends = [z.index_select(0, target[some]), z.index_select(0, source[some])]
            felt = self.net(torch.cat(ends if attr is None else [*ends, attr[some]], dim=-1))
            weight = adjacency.weight[some, None].to(felt.dtype)
            total = total.index_add(0, target[some], weight * felt)
        return total

    def _features(self, topology: Topology, z: Tensor) -> Tensor:
        attr = topology.finite("edge_attr")
        have = 0 if attr is None else attr[:1].numel() if len(attr) else self.features
        if attr is None or have != self.features:
            raise ConfigError(
                f"EdgeNetwork was made for {self.features} columns of edge_attr, the graph has "
                f"{have}."
            )
        return attr.reshape(len(attr), self.features).to(z.dtype)
