"""What is asked of a component.

One function an aspect, each raising AssertionError where it fails.
"""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from typing import Any

import torch

from simlearn.component import Component, EnvironmentFault, arguments, build, class_path, describe
from simlearn.data.generate import DatasetGenerator, System, sample_times
from simlearn.dynamics.base import Dynamics, VectorField
from simlearn.integrators.base import Integrator
from simlearn.simulator import Simulator
from simlearn.stability.check import Check
from simlearn.state import Topology, Trajectory
from simlearn.testing.cases import SEED, derivative, examples, permuted, sample
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer


def documents_every_argument(cls: type[Component]) -> None:
    """Every argument stands under ``Args:`` of the class: it is the help of the command line."""
    doc = inspect.getdoc(cls) or ""
    assert doc, f"{cls.__name__} has no docstring"
    for name in arguments(cls):
        assert re.search(rf"^\s+{name}\b.*:", doc, re.M), f"{cls.__name__} does not document {name}"


def builds_from_its_description(cls: type[Component]) -> None:
    """`describe` and `build` are each other's inverse."""
    for one in examples(cls):
        told = describe(one)
        paths = {class_path(c): c for c in _parts(one)}
        with torch.random.fork_rng(devices=[]):
            again = build(told, paths.__getitem__)
        assert type(again) is type(one)
        assert describe(again) == told


def _parts(component: Any) -> Iterator[type]:
    yield type(component)
    for name in arguments(type(component)):
        value = getattr(component, name)
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, Component):
                yield from _parts(part)


def survives_pickle(cls: type[Component]) -> None:
    """It can travel to another process."""
    for one in examples(cls):
        assert describe(pickle.loads(pickle.dumps(one))) == describe(one)


def runs_in_both_precisions(cls: type[Dynamics]) -> None:
    """float64 in, float64 out; float32 in, float32 out; the shape of the state; finite."""
    for one in examples(cls):
        x, topology = sample(one)
        for dtype in (torch.float64, torch.float32):
            answer = derivative(one.to(dtype), x.to(dtype), topology.to("cpu", dtype))
            assert answer.shape == x.shape
            assert answer.dtype == dtype
            assert answer.isfinite().all()


def is_deterministic(cls: type[Dynamics]) -> None:
    """The same seed gives the same weights, and the same state the same answer."""
    for one, other in zip(examples(cls), examples(cls), strict=True):
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
            assert torch.equal(a, b)
        x, topology = sample(one)
        first = derivative(one.double(), x, topology)
        assert torch.equal(first, derivative(other.double(), x, topology))


def leaves_the_global_rng_alone(cls: type[Dynamics]) -> None:
    """A forward pass draws nothing from the global generator."""
    for one in examples(cls):
        x, topology = sample(one)
        before = torch.random.get_rng_state()
        derivative(one.double(), x, topology)
        assert torch.equal(before, torch.random.get_rng_state())


def batch_equals_its_parts(cls: type[Dynamics]) -> None:
    """A disjoint union moves as its parts do."""
    for one in examples(cls):
        one = one.double()
        x, alone = sample(one)
        y = x.flip(0) * 0.7
        together = derivative(one, torch.cat([x, y]), alone.repeat(2))
        apart = torch.cat([derivative(one, x, alone), derivative(one, y, alone)])
        torch.testing.assert_close(together, apart, rtol=1e-10, atol=1e-12)


def permuting_rows_permutes_the_answer(cls: type[Dynamics]) -> None:
    """The order of the rows is nobody's business."""
    for one in examples(cls):
        one = one.double()
        x, topology = sample(one)
        order = torch.randperm(topology.rows, generator=torch.Generator().manual_seed(SEED))
        moved = permuted(topology, order)
        torch.testing.assert_close(
            derivative(one, x[order], moved),
            derivative(one, x, topology)[order],
            rtol=1e-10,
            atol=1e-12,
        )


def force_is_the_gradient_of_the_energy(cls: type[Any]) -> None:
    """The force is the gradient of the energy in the weights w of the symplectic form."""
    for one in examples(cls):
        one = one.double().requires_grad_(False)
        x, topology = sample(one)
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(one.energy(x, topology).sum(), x)
        dq, dp = (one.form(topology)[:, None] * one(0.0, x.detach(), topology)).chunk(2, dim=-1)
        eq, ep = gradient.chunk(2, dim=-1)
        torch.testing.assert_close(dq, ep, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(dp, -eq, rtol=1e-8, atol=1e-10)


def steps_a_field(cls: type[Integrator]) -> None:
    """It advances the field it says it needs, and a step of zero length changes nothing."""
    from simlearn.dynamics.energy import SeparableEnergy

    for one in examples(cls):
        with torch.random.fork_rng(devices=[]):
            field: VectorField = SeparableEnergy(dim=2, width=4).double()
        x, topology = sample(field)
        carry = one.start(field, 0.0, x, topology)
        after, _ = one.step(field, 0.0, x, 0.1, topology, carry)
        assert after.shape == x.shape
        assert not torch.equal(after, x)
        still, _ = one.step(field, 0.0, x, 0.0, topology, carry)
        torch.testing.assert_close(still, x)


def _drawn(one: DatasetGenerator, indices: range, seed: int = SEED) -> list[Trajectory]:
    import pytest

    try:
        return list(one.draw(indices, sample_times(5, 0.05), seed))
    except EnvironmentFault as fault:
        pytest.skip(str(fault))


def trajectory_depends_on_seed_and_index(cls: type[DatasetGenerator]) -> None:
    """Trajectories are the same bytes whatever else is drawn, float64 and finite."""
    for one in examples(cls):
        both, alone = _drawn(one, range(2)), _drawn(one, range(1, 2))
        assert torch.equal(both[1].x, alone[0].x)
        assert both[0].x.dtype == torch.float64
        assert both[0].x.isfinite().all()
        assert not torch.equal(both[0].x, both[1].x)
        if isinstance(one, System):
            accuracy = one.accuracy(sample_times(5, 0.05), SEED)
            assert accuracy is not None
            assert accuracy < 1e-6
            assert not torch.equal(both[0].x, _drawn(one, range(1), SEED + 1)[0].x)


def drawing_leaves_the_global_rng_alone(cls: type[DatasetGenerator]) -> None:
    """Nor does it leave another default dtype behind."""
    for one in examples(cls):
        before, dtype = torch.random.get_rng_state(), torch.get_default_dtype()
        _drawn(one, range(1))
        assert torch.equal(before, torch.random.get_rng_state())
        assert torch.get_default_dtype() == dtype


def overrides_something_and_says_its_bias(cls: type[Stabilizer]) -> None:
    """At least one of wrap, prepare, perturb and penalty is its own, and its bias is a sentence."""
    hooks = ("wrap", "prepare", "perturb", "penalty")
    assert any(getattr(cls, name) is not getattr(Stabilizer, name) for name in hooks)
    for one in examples(cls):
        assert len(one.bias.split()) >= 4
        assert one.bias.endswith(".")


def says_how_long_a_window_is(cls: type[Objective]) -> None:
    """A window of the length it asks for gives a finite scalar with a gradient."""
    from simlearn.dynamics.neural import MLPField
    from simlearn.integrators.explicit import RK4

    for one in examples(cls):
        with torch.random.fork_rng(devices=[]):
            simulator = Simulator(MLPField(dim=2, width=4).double(), RK4(), 0.1)
        t = sample_times(40, 0.1)
        x = torch.stack([t.sin(), t.cos()], dim=-1)[:, None]
        track = Trajectory(t, x, Topology.isolated(1))
        one.prepare([track])
        loss = one.loss(simulator, track.slice(0, one.length([track])))
        assert loss.ndim == 0
        assert loss.isfinite()
        loss.backward()


def judges_or_declines(cls: type[Check]) -> None:
    """It finds something on a small sound simulator, or says why it does not apply."""
    from simlearn.component import SimlearnError
    from simlearn.dynamics.energy import SeparableEnergy
    from simlearn.integrators.symplectic import Leapfrog
    from simlearn.stability.evidence import Evidence

    for one in examples(cls):
        with torch.random.fork_rng(devices=[]):
            field = SeparableEnergy(dim=2, width=4).double().requires_grad_(False)
        t = sample_times(20, 0.1)
        x = torch.stack([t.sin(), t.cos()], dim=-1)[:, None]
        track = Trajectory(t, x, Topology.isolated(1))
        try:
            finding = one.run(Simulator(field, Leapfrog(), 0.1), Evidence((track,), (track,)))
        except SimlearnError:
            continue  # it asks for evidence that this small case does not have
        assert finding.verdict in ("pass", "fail", "not_applicable")
        assert finding.summary
