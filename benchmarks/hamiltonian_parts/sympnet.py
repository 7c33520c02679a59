"""LA-SympNet (Jin et al. 2020, arXiv 2001.03750, section 3), written from the paper."""

import time

import torch
from torch import nn

from simlearn.dynamics import Map

from .baselines import seeded


class LASympNet(Map):
    """Linear and activation modules in turn; each factor is a shear, so the map is symplectic.

    A linear module is a product of unit triangular shears with symmetric matrices, and a bias (eq.
    6); an activation module is q ↦ q + a σ(p), or the same with q and p exchanged (eq. 8).

    Args:
        dim: Columns of the state.
        layers: Linear modules; activation modules lie between them.
        sublayers: Shears of each linear module.
    """

    symplectic = True

    def __init__(self, dim=2, layers=3, sublayers=2):
        super().__init__()
        self.dim, self.layers, self.sublayers = dim, layers, sublayers
        half = dim // 2
        self.shear = nn.Parameter(0.01 * torch.randn(layers, sublayers, half, half))
        self.bias = nn.Parameter(torch.zeros(layers, dim))
        self.gain = nn.Parameter(0.01 * torch.randn(layers - 1, half))

    def forward(self, t, x, dt, topology=None):
        """The next state; the step is the one it was trained on."""
        x = list(x.chunk(2, dim=-1))
        for k in range(self.layers):
            for s in range(self.sublayers):
                matrix = self.shear[k, s] + self.shear[k, s].T
                moved = (k + s) % 2
                x[moved] = x[moved] + x[1 - moved] @ matrix
            q, p = self.bias[k].chunk(2)
            x = [x[0] + q, x[1] + p]
            if k < self.layers - 1:
                moved = k % 2
                x[moved] = x[moved] + self.gain[k] * torch.sigmoid(x[1 - moved])
        return torch.cat(x, dim=-1)


def train_la_sympnet(x, y, seed, steps=10_000):
    """Adam 1e-3 on all pairs at every step; the model and its CPU seconds."""
    model = seeded(seed, LASympNet).to(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    began = time.process_time()
    for _ in range(steps):
        loss = (model(0.0, x, None) - y).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    spent = time.process_time() - began
    return model.requires_grad_(False), spent
