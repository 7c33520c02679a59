"""NDCN's own mathematics by parts of the framework: the graph operator and an integrator.

The right-hand side is that of `ndcn`, parameter for parameter; Φ is a weighted adjacency. The
latent state takes a fixed number of steps over the time of the data, short at first, where networks
move fastest; a cubic spline through its linear decoding gives the states at the stamps.
"""

import numpy as np
import torch
from scipy.interpolate import CubicSpline
from torch import nn

from simlearn import Graph, Simulator, Topology, VectorField
from simlearn.integrators import Euler

from .cells import UNTIL
from .ndcn import NDCN, laplacian

GRADE = 1.5  # knot k stands at (k/steps)^grade of the time


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
        integrator: Of the latent rollout; Euler's scheme where not given.
    """

    def __init__(self, topology, steps, integrator=None):
        super().__init__()
        parts = NDCN(None)
        self.encode, self.mix, self.decode = parts.encode, parts.mix, parts.decode
        self.topology, self.steps, self.made = topology, steps, None
        self.knots = UNTIL * (torch.arange(steps + 1, dtype=torch.float64) / steps) ** GRADE
        self.simulator = Simulator(Latent(self.mix), integrator or Euler(), UNTIL)

    def forward(self, x, t):
        """States ``[stamps, nodes]`` from the first one ``[nodes]``."""
        h = self.simulator.through(self.encode(x[:, None]), self.knots, self.topology).x
        return self._between(t) @ self.decode(h).squeeze(-1)

    def _between(self, t):
        """The spline through the knots as a matrix ``[stamps, knots]``, kept for the last t."""
        if self.made is None or not torch.equal(self.made[0], t):
            spline = CubicSpline(self.knots.numpy(), np.eye(len(self.knots)))
            self.made = t.clone(), torch.from_numpy(spline(t.double().numpy())).to(t)
        return self.made[1]
