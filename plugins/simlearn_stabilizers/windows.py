"""What acts at a state of a window, for penalties."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor

import simlearn
from simlearn import ConfigError
from simlearn.dynamics import Map

Field = Callable[[Tensor], Tensor]


def acting(window: simlearn.Trajectory, k: int) -> tuple[float | Tensor, simlearn.Topology]:
    """Time of state k, a float or ``[rows, 1]``, and the topology with the input that acts then."""
    topology, clock = window.topology, window.t[k]
    if window.inputs is not None:
        topology = topology.replace(inputs=window.inputs[k])
    if clock.ndim:
        return clock[topology.system][:, None].to(window.x.dtype), topology
    return float(clock), topology


def slope_of(simulator: simlearn.Simulator, window: simlearn.Trajectory) -> Field:
    """The field at the start of a window, x to dx/dt; of a map its increment, (F(x) − x) / dt."""
    t, topology = acting(window, 0)
    dynamics, dt = simulator.dynamics, simulator.dt
    if isinstance(dynamics, Map):
        return lambda x: (dynamics(t, x, dt, topology) - x) / dt
    return lambda x: dynamics(t, x, topology)


def refuse_interval(name: str, simulator: simlearn.Simulator, window: simlearn.Trajectory) -> None:
    """Data that are sampled at another interval than the simulator steps.

    Raises:
        ConfigError: They are.
    """
    apart = (window.t.diff(dim=0) - simulator.dt).abs()
    if not bool((apart <= 1e-4 * simulator.dt).all()):
        gaps = window.t.diff(dim=0)
        raise ConfigError(
            f"{name} compares steps of {simulator.dt:g} with data sampled every "
            f"{float(gaps.min()):g} to {float(gaps.max()):g}. Set simulator.dt to the interval of "
            f"the data, or leave {name} out."
        )


def probes(window: simlearn.Trajectory, count: int) -> Tensor:
    """Random signs ``[count, rows, dim]`` that depend on nothing but the window's first state.

    Every start has signs of its own, and the same start the same ones: the penalty is a function
    that a line search can descend, and a resumed training draws what it would have drawn.
    """
    first = window.x[0].detach().cpu().contiguous()
    seed = _fingerprint(first, window.t[0].detach().cpu())
    rng = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (count, *first.shape), generator=rng, dtype=torch.int8)
    return (2 * signs - 1).to(window.x)


def _fingerprint(*values: Tensor) -> int:
    digest = hashlib.sha256()
    for value in values:
        digest.update(value.numpy().tobytes())
    return int.from_bytes(digest.digest()[:7], "big")
