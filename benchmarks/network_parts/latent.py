"""NDCN's own mathematics by parts of the framework: the graph operator and an integrator.

The right-hand side is that of `ndcn`, parameter for parameter; Φ is a weighted adjacency. The
latent state takes a fixed number of steps over the time of the data, short at first, where networks
move fastest; its linear decoding, with its slope, is interpolated by cubics at the stamps.
"""

import torch
from torch import nn

from simlearn import Graph, Simulator, Topology, VectorField
from simlearn.integrators import Heun

from .cells import UNTIL
from .ndcn import NDCN, laplacian

STEPS, GRADE = 10, 1.5  # knot k stands at (k/steps)^grade of the time


def phi_of(a):
    """Φ as the weights of a topology with an edge from each node to itself."""
    phi = laplacian(a)
    source, target = phi.T.nonzero().T
    graph = Graph(torch.stack([source, target]), len(phi))
    return Topology(graph, edge_attr=phi[target, source][:, None])


class Latent(VectorField):
    """dh/dt = relu(W Φ h + b).

    Args:
        mix: W and b.
    """

    def __init__(self, mix):
        super().__init__()
        self.mix = mix

    def forward(self, t, x, topology):
        """dh/dt, ``[nodes, 20]``."""
        return self.mix(topology.adjacency("sum", 0) @ x).relu()


class Continuous(nn.Module):
    """Encoder, latent rollout in fixed steps, decoder, dense output.

    Args:
        topology: That of Φ.
        steps: From zero to the end of the data.
        integrator: Of the latent rollout; Heun's scheme where not given.
    """

    def __init__(self, topology, steps=STEPS, integrator=None):
        super().__init__()
        parts = NDCN(None)
        self.encode, self.mix, self.decode = parts.encode, parts.mix, parts.decode
        self.topology, self.steps = topology, steps
        self.knots = UNTIL * (torch.arange(steps + 1, dtype=torch.float64) / steps) ** GRADE
        self.simulator = Simulator(Latent(self.mix), integrator or Heun(), UNTIL)

    def forward(self, x, t):
        """States ``[stamps, nodes]`` from the first one ``[nodes]``."""
        h = self.simulator.through(self.encode(x[:, None]), self.knots, self.topology).x
        return hermite(self.knots.to(t), self.decode(h).squeeze(-1), self._slopes(h), t)

    def _slopes(self, h):
        """Of the decoded states ``[knots, nodes]``: one product for all knots."""
        many = h.movedim(0, 1)
        felt = self.topology.adjacency("sum", 0) @ many.flatten(1)
        rate = self.mix(felt.reshape(many.shape)).relu()
        return (rate @ self.decode.weight[0]).T


def hermite(knots, y, slope, t):
    """Cubics through ``[knots, nodes]`` with slopes, at times ``[stamps]``."""
    k = (torch.searchsorted(knots, t, right=True) - 1).clamp(0, len(knots) - 2)
    h = (knots[k + 1] - knots[k])[:, None]
    s = (t - knots[k])[:, None] / h
    start, end, first, last = y[k], y[k + 1], h * slope[k], h * slope[k + 1]
    bend, twist = 3 * (end - start) - 2 * first - last, 2 * (start - end) + first + last
    return start + s * (first + s * (bend + s * twist))
