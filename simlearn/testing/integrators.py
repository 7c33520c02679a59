"""What is asked of integrators."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
from torch import Tensor

from simlearn.dynamics.base import VectorField
from simlearn.dynamics.energy import Energy, SeparableEnergy
from simlearn.integrators.base import Integrator, named
from simlearn.simulator import Simulator
from simlearn.state import Topology
from simlearn.testing.cases import SEED, examples, normal, sample, symplectic_defect
from simlearn.testing.fields import TrialForced, TrialOscillator


def field_for(scheme: Integrator, dim: int = 2) -> VectorField:
    """A learned energy with random weights, of the kind the scheme needs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        fields = [Energy(dim=dim, width=8), SeparableEnergy(dim=dim, width=8)]
    return _fitting(scheme, fields).double().requires_grad_(False)


def _fitting(scheme: Integrator, fields: list[Any]) -> Any:
    import pytest

    for field in fields:
        timeless = getattr(field, "autonomous", True) or not scheme.autonomous
        if isinstance(field, scheme.needs) and timeless:
            return field
    return pytest.skip(f"the kit has no {named(scheme.needs)} to try {type(scheme).__name__} on")


def _loud(scheme: Integrator) -> tuple[VectorField, Tensor, Topology]:
    """A strongly nonlinear random field with two systems of two degrees of freedom."""
    field = field_for(scheme, dim=4)
    for value in field.parameters():
        value.mul_(2.0)
    return field, normal(2, 4), Topology.isolated(2)


def steps_a_field(cls: type[Integrator]) -> None:
    """It advances the field it says it needs, and a step of zero length changes nothing."""
    for one in examples(cls):
        field = field_for(one)
        x, topology = sample(field)
        carry = one.start(field, 0.0, x, topology)
        kept = (x.clone(), tuple(part.clone() for part in carry))
        after, _ = one.step(field, 0.0, x, 0.1, topology, carry)
        assert after.shape == x.shape
        assert not torch.equal(after, x)
        still, _ = one.step(field, 0.0, x, 0.0, topology, carry)
        torch.testing.assert_close(still, x)
        assert torch.equal(x, kept[0]), "a step changed the state it was given, in place"
        for part, before in zip(carry, kept[1], strict=True):
            assert torch.equal(part, before), "a step changed its carry in place"


def a_batch_steps_as_its_parts(cls: type[Integrator]) -> None:
    """A batch steps as its parts do, and a NaN in one system reaches no other."""
    for one in examples(cls):
        field, pair, topology = _loud(one)
        alone = [_step(one, field, Topology.isolated(1), row[None]) for row in pair]
        together = _step(one, field, topology, pair)
        torch.testing.assert_close(together, torch.cat(alone), rtol=1e-10, atol=1e-12)
        sick = torch.stack([pair[0], torch.full_like(pair[1], torch.nan)])
        answer = _step(one, field, topology, sick)
        torch.testing.assert_close(answer[:1], alone[0], rtol=1e-10, atol=1e-12)
        assert not answer[1].isfinite().all(), "a state of NaN moves as if nothing were wrong"


def _step(scheme: Integrator, field: VectorField, topology: Topology, x: Tensor) -> Tensor:
    return scheme.step(field, 0.0, x, 0.1, topology, scheme.start(field, 0.0, x, topology))[0]


def has_the_order_it_claims(cls: type[Integrator]) -> None:
    """The error on a forced linear oscillator falls with the claimed order, to within 0.2.

    An adaptive scheme is to have the same small error whether dt is long or short.
    """
    for one in examples(cls):
        if one.adaptive:
            _meets_any_step(one)
            continue
        found = _order(one, _fitting(one, [TrialForced(), TrialOscillator()]))
        assert abs(found - one.order) < 0.2, (
            f"{cls.__name__} claims order {one.order}, its error falls with order {found:.2f}"
        )


def _meets_any_step(scheme: Integrator, span: float = 2.0) -> None:
    field: Any = _fitting(scheme, [TrialForced(), TrialOscillator()])
    for steps in (1, 16):
        rolled = Simulator(field, scheme, span / steps).rollout(field.exact(0.3), steps, t0=0.3)
        error = float((rolled.x[-1] - field.exact(0.3 + span)).abs().max())
        assert error < 1e-2, f"it is adaptive, and {steps} dt leave an error of {error:.1e}"


def _order(scheme: Integrator, field: Any, span: float = 2.0) -> float:
    """Slope of log error over log step, the number of steps doubled until the slope settles."""
    errors: list[float] = []
    slopes = [math.nan]
    for k in range(3, 13):
        simulator = Simulator(field, scheme, span / 2**k)
        last = simulator.rollout(field.exact(0.3), 2**k, t0=0.3).x[-1]
        errors.append(float((last - field.exact(0.3 + span)).abs().max()))
        if len(errors) > 1 and 1e-12 < errors[-1] < 0.05:
            slopes.append(math.log2(errors[-2] / errors[-1]))
            if abs(slopes[-1] - slopes[-2]) < 0.03:
                return slopes[-1]
    raise AssertionError(f"the errors {errors} fall with no steady order: slopes {slopes[1:]}")


def step_is_symplectic(cls: type[Integrator]) -> None:
    """JᵀΩJ = Ω to 1e-10 for the step of a random energy of the kind it needs.

    A scheme that carries a copy of the state is asked on state and copy together, a little apart.
    """
    for one in examples(cls):
        field, x, topology = _loud(one)
        step: Any = functools.partial(_step, one, field, topology)
        weights = torch.ones(2)
        if one.extended:
            x = torch.stack([x, x + 0.1 * normal(*x.shape, seed=SEED + 1)])
            step, weights = functools.partial(_extended, one, field, topology), torch.ones(4)
        defect = symplectic_defect(step, x.flatten(0, -2), weights)
        assert defect < 1e-10, f"|JᵀΩJ − Ω| = {defect:.1e}"


def _extended(scheme: Integrator, field: VectorField, topology: Topology, both: Tensor) -> Tensor:
    """A step of state and copy, one below the other; both copies count alike in the form.

    The slope that some carry is the one at (q, copy of p), as their own start has it.
    """
    x, copy = both.chunk(2)
    (q, _), (_, b) = x.chunk(2, dim=-1), copy.chunk(2, dim=-1)
    begun = scheme.start(field, 0.0, torch.cat([q, b], dim=-1), topology)
    after, carry = scheme.step(field, 0.0, x, 0.1, topology, (copy, *begun[1:]))
    return torch.cat([after, carry[0]])


def a_step_back_undoes_a_step(cls: type[Integrator]) -> None:
    """Fifty steps forward and fifty back end where they began, to 1e-10."""
    for one in examples(cls):
        field, start, topology = _loud(one)
        x, far = start, 0.0
        carry = one.start(field, 0.0, x, topology)
        for sign in (1, -1):
            for _ in range(50):
                x, carry = one.step(field, 0.0, x, sign * 0.1, topology, carry)
                far = max(far, float((x - start).abs().max()))
        missed = float((x - start).abs().max())
        assert far > 0.1, "the rollout hardly moved"
        assert missed < 1e-10, f"it missed its start by {missed:.1e}"
