"""Exact data: fields solved by many small Runge-Kutta steps, nothing of the ladder's own."""

import pytest
import torch

from simlearn import Topology, Trajectory


def solved(field, x, times, parts=20):
    """States ``[n, steps, dim]`` by classical Runge-Kutta steps, ``parts`` to an interval."""
    states = [x]
    for gap in times.diff().tolist():
        h = gap / parts
        for _ in range(parts):
            a = field(x)
            b = field(x + h / 2 * a)
            c = field(x + h / 2 * b)
            x = x + h / 6 * (a + 2 * (b + c) + field(x + h * c))
        states.append(x)
    return torch.stack(states, dim=1)


def starts(count, dim, seed=0, scale=1.0):
    """Normal starts ``[count, dim]``."""
    rng = torch.Generator().manual_seed(seed)
    return scale * torch.randn(count, dim, generator=rng, dtype=torch.float64)


def drawn(field, begin, times, noise=0.0, seed=1, slopes=True, parts=20):
    """Trajectories with white noise on their states, and exact slopes where asked for."""
    rng = torch.Generator().manual_seed(seed)
    x = solved(field, begin, times, parts)
    slope = field(x.flatten(0, 1)).reshape(x.shape)
    x = x + noise * torch.randn(x.shape, generator=rng, dtype=x.dtype)
    return [
        Trajectory(
            times, a[:, None], Topology.isolated(1), derivative=b[:, None] if slopes else None
        )
        for a, b in zip(x, slope, strict=True)
    ]


def clock(steps, gap):
    """Times."""
    return gap * torch.arange(steps, dtype=torch.float64)


def missed(dynamics, field, low=-1.0, high=1.0, dim=2, count=400):
    """Mean squared error of a learned field in a box."""
    rng = torch.Generator().manual_seed(99)
    x = low + (high - low) * torch.rand(count, dim, generator=rng, dtype=torch.float64)
    return float((dynamics(0.0, x, Topology.isolated(count)) - field(x)).square().mean())


def spring(x):
    """H = (q² + p²)/2."""
    q, p = x.chunk(2, -1)
    return torch.cat([p, -q], -1)


def pendulum(x):
    """H = p²/2 − cos q."""
    q, p = x.chunk(2, -1)
    return torch.cat([p, -q.sin()], -1)


def damped(x):
    """A pendulum with friction: no energy explains it."""
    q, p = x.chunk(2, -1)
    return torch.cat([p, -q.sin() - 0.3 * p], -1)


def with_idle(field):
    """The same with a second degree of freedom that stays at rest."""

    def both(x):
        slope = field(x[:, [0, 2]])
        zero = torch.zeros_like(slope[:, 0])
        return torch.stack([slope[:, 0], zero, slope[:, 1], zero], dim=1)

    return both


@pytest.fixture(scope="session")
def exact():
    """The functions of this file."""
    from types import SimpleNamespace

    return SimpleNamespace(
        solved=solved, starts=starts, drawn=drawn, clock=clock, missed=missed, spring=spring,
        pendulum=pendulum, damped=damped, with_idle=with_idle,
    )  # fmt: skip
