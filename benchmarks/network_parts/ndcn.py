"""NDCN, written from its paper: a latent ODE on one graph.

Zang and Wang, Neural Dynamics on Complex Networks (KDD 2020, arXiv:1908.06491): an encoder, dh/dt =
relu(W Φ h) with Φ = I − D^−½ A D^−½, and a linear decoder; 901 parameters, Adam at 0.01, L1.
Its program takes Euler steps from stamp to stamp; the class takes Dormand-Prince at rtol 0.01.
"""

import time

import numpy as np
import torch
from torch import nn

from .dopri5 import dopri5

HIDDEN, RATE, ITERATIONS = 20, 0.01, 2000
DECAY = {"heat": 1e-3, "gene": 1e-4, "mutualistic": 1e-2}
RTOL, ATOL = 0.01, 0.001


def laplacian(a):
    """I − D^−½ A D^−½, dense, as the program has it; isolated nodes keep their one."""
    degree = a.sum(axis=1)
    root = np.divide(1, np.sqrt(degree), out=np.zeros(len(degree)), where=degree > 0)
    scaled = root[:, None] * a.toarray() * root
    return torch.from_numpy(np.eye(len(root)) - scaled).float()


def euler(rate, h, t):
    """A step from each stamp to the next, ``[stamps, ...]``."""
    found = [h]
    for gap in t.diff().tolist():
        found.append(torch.add(found[-1], rate(found[-1]), alpha=gap))
    return torch.stack(found)


def adaptive(rate, h, t):
    """Dormand-Prince at the tolerances of the class."""
    return dopri5(rate, h, t.tolist(), RTOL, ATOL)


class NDCN(nn.Module):
    """Encoder, latent dynamics on one graph, decoder.

    Args:
        phi: ``[nodes, nodes]``, or anything that multiplies ``[nodes, 20]`` by ``@``.
        solve: (rate, h0, t) to ``[stamps, nodes, 20]``.
    """

    def __init__(self, phi, solve=euler):
        super().__init__()
        self.phi, self.solve = phi, solve
        self.encode = nn.Sequential(nn.Linear(1, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, HIDDEN))
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.decode = nn.Linear(HIDDEN, 1)

    def rate(self, h):
        """dh/dt."""
        return self.mix(self.phi @ h).relu()

    def forward(self, x, t):
        """States ``[stamps, nodes]`` from the first one ``[nodes]``."""
        return self.decode(self.solve(self.rate, self.encode(x[:, None]), t)).squeeze(-1)


def seeded(seed, make):
    """Weights drawn from a seed, the global state left as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


def trainer(model, x, t, wanted, decay):
    """A function that takes one iteration and returns the loss."""
    adam = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=decay)

    def step():
        adam.zero_grad()
        loss = (model(x, t) - wanted).abs().mean()
        loss.backward()
        adam.step()
        return loss.detach()

    return step


def trained(cell, dynamics, seed, iterations=ITERATIONS, solve=euler):
    """Train on a cell to a fixed last iteration and roll out over all stamps.

    Returns:
        Errors in %, CPU seconds, and milliseconds an iteration; nothing is chosen by a test error.
    """
    model = seeded(seed, lambda: NDCN(laplacian(cell.a), solve))
    x, t = (torch.from_numpy(part).float() for part in (cell.start, cell.t))
    stamps = torch.from_numpy(cell.train)
    wanted = torch.from_numpy(cell.seen[cell.train]).float()
    step = trainer(model, x, t[stamps], wanted, DECAY[dynamics])
    began = time.process_time()
    for _ in range(iterations):
        step()
    spent = time.process_time() - began
    with torch.no_grad():
        found = model(x, t).double().numpy()
    share = float(100 * np.abs(found - cell.true)[cell.train].mean() / cell.true[cell.train].mean())
    return {
        **cell.errors(found),
        "train": share,
        "cpu_seconds": spent,
        "ms_per_iteration": 1e3 * spent / iterations,
        "iterations": iterations,
        "finite": bool(np.isfinite(found).all()),
    }
