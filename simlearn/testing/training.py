"""What is asked of objectives and stabilizers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch

from simlearn.component import ConfigError, SimlearnError
from simlearn.dynamics import MLPField, ResidualMap
from simlearn.dynamics.energy import SeparableEnergy
from simlearn.dynamics.pairforce import PairForce
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory
from simlearn.testing.cases import SEED, examples, normal, rng, simulator_of, wave
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer

NAMES = ("star", "near", "far")


def _learners() -> Iterator[tuple[Simulator, Trajectory]]:
    """Simulators of several kinds, each with data it can learn from."""
    plain = wave(40, systems=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        fields = [MLPField(dim=2, width=4), SeparableEnergy(dim=2, width=4)]
        pairs, map_ = PairForce(NAMES, terms=4, r_min=0.5, r_max=4.0), ResidualMap(dim=2, width=4)
    yield from ((simulator_of(one.double(), 0.1), plain) for one in fields)
    places = normal(1, 3, 4) + wave(40).x.repeat(1, 3, 2)
    yield (
        simulator_of(pairs.double(), 0.1),
        Trajectory(plain.t, places, Topology.complete(3, NAMES)),
    )
    yield simulator_of(map_.double(), 0.1), plain


def _window(one: Objective, track: Trajectory) -> Trajectory:
    one.prepare([track])
    return track.slice(0, one.length([track]))


def loss_is_a_scalar_with_a_gradient(cls: type[Objective]) -> None:
    """A window of the length it asks for gives a finite scalar with a gradient, every time."""
    for one in examples(cls):
        simulator, track = next(_learners())
        window = _window(one, track)
        loss = one.loss(simulator, window)
        assert loss.ndim == 0, f"the loss is {list(loss.shape)}, not a scalar"
        assert loss.isfinite()
        assert torch.equal(loss, one.loss(simulator, window)), "asked twice, answered twice"
        loss.backward()
        slopes = [p.grad for p in simulator.parameters() if p.grad is not None]
        assert any(bool((slope != 0).any()) for slope in slopes), "no weight has a gradient"


def nan_data_never_look_good(cls: type[Objective]) -> None:
    """Data with a NaN give a loss that is not finite, or a SimlearnError; never a number."""
    for one in examples(cls):
        simulator, track = next(_learners())
        window = _window(one, track)
        for rows in (slice(None), slice(0, 1)):
            x = window.x.clone()
            x[:, rows] = torch.nan
            slope = None if window.derivative is None else x
            try:
                loss = one.loss(simulator, dataclasses.replace(window, x=x, derivative=slope))
            except SimlearnError:
                continue
            assert not loss.isfinite(), f"data of NaN cost {loss.item():.3g}"


def overrides_something_and_says_its_bias(cls: type[Stabilizer]) -> None:
    """It has a wrap, prepare, perturb or penalty of its own, and its bias is a sentence."""
    hooks = ("wrap", "prepare", "perturb", "penalty")
    assert any(getattr(cls, name) is not getattr(Stabilizer, name) for name in hooks)
    for one in examples(cls):
        assert len(one.bias.split()) >= 4, f"the bias {one.bias!r} is no sentence"
        assert one.bias.endswith("."), f"the bias {one.bias!r} is no sentence"


def _accepted(one: Stabilizer) -> list[tuple[Simulator, Trajectory]]:
    """The learners that the stabilizer does not refuse, wrapped and prepared as a training does."""
    import pytest

    found, refusals = [], []
    for simulator, track in _learners():
        try:
            one.observe(simulator, [track])
            simulator.take(one.wrap(simulator.dynamics))
            one.prepare(simulator, [track])
            one.penalty(simulator, track.slice(0, 9))
        except ConfigError as refusal:
            refusals.append(str(refusal))
        else:
            found.append((simulator, track))
    if not found:
        pytest.skip(f"it accepts none of the core's dynamics: {refusals[0]}")
    return found


def wrapped_dynamics_still_run(cls: type[Stabilizer]) -> None:
    """After `wrap` and `prepare` the simulator steps, finite and of the same shape."""
    for one in examples(cls):
        for simulator, track in _accepted(one):
            after = simulator.step(track.x[0], track.topology)
            assert after.shape == track.x[0].shape
            assert after.isfinite().all()


def perturb_is_a_pure_function(cls: type[Stabilizer]) -> None:
    """The same generator gives the same window, of the same shape and dtype, in new memory."""
    for one in examples(cls):
        for simulator, track in _accepted(one):
            for dtype in (torch.float64, torch.float32):
                _perturbed_twice(one, simulator.to(dtype), track.slice(0, 9).to("cpu", dtype))


def _perturbed_twice(one: Stabilizer, simulator: Simulator, window: Trajectory) -> None:
    before, state = window.x.clone(), torch.random.get_rng_state()
    first = one.perturb(window, simulator, rng())
    second = one.perturb(window, simulator, rng())
    assert torch.equal(window.x, before), "perturb changed the caller's window in place"
    assert torch.equal(torch.random.get_rng_state(), state), "perturb drew from the global rng"
    assert torch.equal(first.x, second.x), "the same generator gave another window"
    assert first.x.shape == before.shape, f"{list(before.shape)} in, {list(first.x.shape)} out"
    assert first.x.dtype == before.dtype, f"{before.dtype} in, {first.x.dtype} out"
    assert torch.equal(first.t, window.t), "perturb changed the times"


def penalty_is_a_scalar_or_none(cls: type[Stabilizer]) -> None:
    """`penalty` is None, or a finite scalar with a gradient in the weights."""
    for one in examples(cls):
        for simulator, track in _accepted(one):
            penalty: Any = one.penalty(simulator, track.slice(0, 9))
            if penalty is None:
                continue
            assert penalty.ndim == 0, f"the penalty is {list(penalty.shape)}, not a scalar"
            assert penalty.isfinite()
            assert penalty.requires_grad, "the penalty has no gradient: it changes nothing"


def training_hooks_leave_the_global_rng_alone(cls: type[Stabilizer]) -> None:
    """Neither `prepare` nor `penalty` draws from the global generator."""
    for one in examples(cls):
        for simulator, track in _accepted(one):
            before = torch.random.get_rng_state()
            one.prepare(simulator, [track])
            one.penalty(simulator, track.slice(0, 9))
            assert torch.equal(before, torch.random.get_rng_state())
