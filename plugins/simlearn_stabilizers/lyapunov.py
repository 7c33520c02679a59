"""A field that is learned together with a Lyapunov function that proves it stable."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise
from typing import Self

import torch
from torch import Tensor, nn

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import MLPField, VectorField, gradient_of

Time = float | Tensor
KNEE = 0.1  # width of the quadratic part of the smoothed rectifier
FLOOR = 1e-3  # ε of V: keeps V strictly convex, and its gradient away from zero


def smooth_relu(x: Tensor) -> Tensor:
    """0 below 0, x²/2d up to d, x − d/2 above: convex, with a continuous slope."""
    bent = torch.relu(x)
    return torch.where(x < KNEE, bent * bent / (2 * KNEE), x - KNEE / 2)


class ConvexNet(nn.Module):
    """An input-convex network ``[rows, dim]`` to ``[rows]`` (Amos, Xu and Kolter 2017)."""

    def __init__(self, dim: int, width: int, depth: int):
        super().__init__()
        sizes = [width] * depth + [1]
        self.seen = nn.ModuleList(nn.Linear(dim, size) for size in sizes)
        self.passed = nn.ParameterList(torch.empty(b, a) for a, b in pairwise(sizes))
        for free in self.passed:
            # softplus of it is about 1/width: the mean of the layer below
            nn.init.normal_(free, math.log(math.expm1(1 / width)), 0.1)

    def forward(self, x: Tensor) -> Tensor:
        """The value."""
        first, *others = self.seen
        z = smooth_relu(first(x))
        for seen, free in zip(others, self.passed, strict=True):
            z = smooth_relu(seen(x) + nn.functional.linear(z, nn.functional.softplus(free)))
        return z.squeeze(-1)


class LyapunovStableField(VectorField):
    """A field with a global Lyapunov function V: dV/dt ≤ −α V at every state, for any weights.

    dx/dt = f̂ − ∇V · ReLU(∇V·f̂ + α V) / |∇V|², which leaves f̂ alone where it decreases V fast
    enough already (Manek and Kolter 2019). V = s(g(x) − g(0)) + ε |x|² with g an
    input-convex network and s a smoothed rectifier: V is strictly convex, so that V and
    its gradient vanish at 0 only. f̂(x) = net(x) − net(0). For α > 0 every solution goes to 0, like
    √V ≤ √V₀ · e^(−α t / 2): there is one attractor, no cycle and no chaos. Shift the data so that
    their equilibrium is at 0.

    Args:
        dim: Columns of the state.
        width: Neurons in each hidden layer of both networks.
        depth: Hidden layers of both networks.
        alpha: Decay rate of V, per unit of time.
    """

    def __init__(self, dim: int, width: int = 64, depth: int = 2, alpha: float = 0.1):
        super().__init__()
        if min(dim, width, depth) < 1 or not 0 <= alpha < math.inf:
            raise ConfigError(
                "LyapunovStableField needs dim, width and depth of at least 1 and a finite alpha "
                f">= 0, got {dim}, {width}, {depth} and {alpha}."
            )
        self.dim, self.width, self.depth, self.alpha = dim, width, depth, alpha
        self.free = MLPField(dim, width, depth)
        self.convex = ConvexNet(dim, width, depth)

    @classmethod
    def examples(cls) -> Iterable[Self]:
        """Two columns."""
        return [cls(dim=2, width=8)]

    def lyapunov(self, x: Tensor) -> Tensor:
        """V of every row, ``[rows]``."""
        origin = self.convex(torch.zeros_like(x[:1]))
        return smooth_relu(self.convex(x) - origin) + FLOOR * x.square().sum(-1)

    def nominal(self, t: Time, x: Tensor, topology: simlearn.Topology) -> Tensor:
        """f̂, before it is corrected."""
        return self.free(t, x, topology) - self.free(t, torch.zeros_like(x), topology)

    def forward(self, t: Time, x: Tensor, topology: simlearn.Topology) -> Tensor:
        """f̂ without what would keep V from falling."""
        nominal, slope = self.nominal(t, x, topology), gradient_of(self.lyapunov, x)
        rise = (slope * nominal).sum(-1, keepdim=True)
        excess = torch.relu(rise + self.alpha * self.lyapunov(x)[:, None])
        # at 0 both are 0, and so is the correction
        steep = slope.square().sum(-1, keepdim=True).clamp_min(torch.finfo(x.dtype).tiny)
        return nominal - slope * (excess / steep)
