"""Small cases on which the contract is tested."""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor

from simlearn.analysis.symplectic import form_matrix
from simlearn.component import Component, SimlearnError, describe
from simlearn.data.generate import System, sample_times
from simlearn.dynamics.base import Dynamics, Map, SplitField
from simlearn.integrators.explicit import RK4
from simlearn.integrators.symplectic import Leapfrog
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory

SEED = 7
D = TypeVar("D", bound=Dynamics)


def examples(cls: type[Component]) -> list[Any]:
    """The component's own examples, built under a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return list(cls.examples())


def rng(seed: int = SEED) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = SEED) -> Tensor:
    """Standard normal numbers, float64."""
    return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def sample(dynamics: Dynamics) -> tuple[Tensor, Topology]:
    """A state and a topology that the dynamics accept, float64.

    A law is given states of the `System` of its package whose truth it is: one state where that
    lives on several rows, else three states as three rows. Any other dynamics get a random state
    on a complete graph: of the bodies it ``names``, of its ``rows``, or of three rows.
    """
    system = _system_of(dynamics)
    if system is not None:
        drawn = _three(type(system), json.dumps(describe(system), sort_keys=True))
        if drawn[0].topology.rows > 1:
            return drawn[0].x[-1].clone(), acting(drawn[0], -1)
        return torch.cat([one.x[-1] for one in drawn]), Topology.complete(3)
    names = tuple(getattr(dynamics, "names", ()))
    rows = getattr(dynamics, "rows", None) or len(names) or 3
    topology = Topology.complete(rows, names)
    return normal(rows, dynamics.dim or 4), topology


@functools.cache
def _three(cls: type[System], told: str) -> list[Trajectory]:
    """Three trajectories of the example that describes itself so; drawn once for all aspects."""
    return next(
        list(system.draw(range(3), sample_times(5, 0.05), SEED))
        for system in examples(cls)
        if json.dumps(describe(system), sort_keys=True) == told
    )


def acting(track: Trajectory, k: int) -> Topology:
    """The topology with the control input of sample k, where there is one."""
    return (
        track.topology if track.inputs is None else track.topology.replace(inputs=track.inputs[k])
    )


def _system_of(law: Dynamics) -> System | None:
    """The system whose truth is this very law, by class and arguments."""
    package = type(law).__module__.split(".")[0]
    for cls in below(System):
        if cls.__module__.split(".")[0] != package or inspect.isabstract(cls):
            continue
        for system in examples(cls):
            truth = system.truth()
            if type(truth) is type(law) and _told(truth) == _told(law):
                return system
    return None


def _told(component: Component) -> Any:
    try:
        return describe(component)
    except SimlearnError:
        return None


def below(cls: type[Any]) -> Iterable[type[Any]]:
    """All classes that derive from this one."""
    for child in cls.__subclasses__():
        yield child
        yield from below(child)


def derivative(dynamics: Dynamics, x: Tensor, topology: Topology) -> Tensor:
    """dx/dt of a field at t = 0, or the next state of a map."""
    if isinstance(dynamics, Map):
        return dynamics(0.0, x, 0.1, topology)
    return dynamics(0.0, x, topology)


def simulator_of(dynamics: Dynamics, dt: float = 0.01) -> Simulator:
    """The dynamics with an integrator that fits."""
    if isinstance(dynamics, Map):
        return Simulator(dynamics, None, dt)
    return Simulator(dynamics, Leapfrog() if isinstance(dynamics, SplitField) else RK4(), dt)


def shaken(dynamics: D) -> D:
    """Its parameters moved by a tenth, so that they are nobody's defaults; float64."""
    dynamics = dynamics.double().requires_grad_(False)
    for k, value in enumerate(dynamics.parameters()):
        value.add_(0.1 * value.abs().max() * normal(*value.shape, seed=SEED + k))
    return dynamics


def permuted(topology: Topology, order: Tensor) -> Topology:
    """The same system with its rows in another order: new row k is old row ``order[k]``."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    graph = type(topology.graph)(place[topology.graph.edge_index], topology.rows)
    changes: dict[str, Any] = {"graph": graph}
    for name in ("node_type", "node_attr", "inputs", "system"):
        value = getattr(topology, name)
        changes[name] = None if value is None else value[order]
    return topology.replace(**changes)


def wave(steps: int, systems: int = 1, dt: float = 0.1) -> Trajectory:
    """Oscillators (sin t, cos t), each a little later than the one before, ``dt`` apart."""
    t = sample_times(steps, dt)
    late = t[:, None] + 0.3 * torch.arange(systems, dtype=torch.float64)
    return Trajectory(t, torch.stack([late.sin(), late.cos()], -1), Topology.isolated(systems))


def symplectic_defect(step: Any, x: Tensor, weights: Tensor) -> float:
    """Largest entry of JᵀΩJ − Ω, J the Jacobian of one step."""
    jacobian: Any = torch.autograd.functional.jacobian(step, x)
    j = jacobian.reshape(x.numel(), x.numel())
    form = form_matrix(weights, x.shape[1])
    assert (j - torch.eye(x.numel(), dtype=x.dtype)).abs().max() > 1e-3, "the step hardly moves"
    return float((j.T @ form @ j - form).abs().max())
