import torch

import simlearn


class DuffingEnergy(simlearn.HamiltonianField):
    """H(q, p) = p²/2 + q²/2 + stiffening · q⁴/4.

    Args:
        stiffening: Strength of the quartic term.
    """

    dim = 2

    def __init__(self, stiffening: float = 1.0):
        super().__init__()
        self.stiffening = stiffening

    def energy(self, x, topology):
        q, p = x.chunk(2, dim=-1)
        return topology.per_system((p**2 / 2 + q**2 / 2 + self.stiffening * q**4 / 4).sum(-1))


class Duffing(simlearn.System):
    """Free oscillations from random starts.

    Args:
        stiffening: Strength of the quartic term. Good values: 0 to 5.
    """

    def __init__(self, stiffening: float = 1.0):
        self.stiffening = stiffening

    def truth(self):
        return DuffingEnergy(self.stiffening)

    def start(self, rng):
        return torch.randn(1, 2, generator=rng), simlearn.Topology.isolated(1)

    def invariants(self):
        return {"energy": self.truth().energy}
