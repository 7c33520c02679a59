"""What is asked of fields that have an energy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from simlearn.dynamics.base import HamiltonianField, SplitField
from simlearn.integrators.implicit import ImplicitMidpoint
from simlearn.integrators.symplectic import Leapfrog
from simlearn.simulator import Simulator
from simlearn.testing.cases import derivative, examples, sample, shaken

Energetic = HamiltonianField | SplitField
EVERY = 10  # steps between two looks at the energy


def _gradient(one: Energetic, x: Tensor, topology: Any) -> Tensor:
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(one.energy(x, topology).sum(), x)
    return gradient


def force_is_the_gradient_of_the_energy(cls: type[Energetic]) -> None:
    """The force is the gradient of the energy, in the weights of the symplectic form."""
    for one in examples(cls):
        one = shaken(one)
        x, topology = sample(one)
        dq, dp = (one.form(topology)[:, None] * derivative(one, x, topology)).chunk(2, dim=-1)
        eq, ep = _gradient(one, x, topology).chunk(2, dim=-1)
        torch.testing.assert_close(dq, ep, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(dp, -eq, rtol=1e-8, atol=1e-10)


def energy_is_constant_along_the_flow(cls: type[Energetic]) -> None:
    """dE/dt = ∇E · f = 0 to rounding at random weights and any time, one energy a system."""
    for one in examples(cls):
        one = shaken(one)
        x, alone = sample(one)
        pair, topology = torch.cat([x, 0.7 * x.flip(0)]), alone.repeat(2)
        energy = one.energy(pair, topology)
        assert energy.shape == (topology.num_systems,), (
            f"{topology.num_systems} systems have {list(energy.shape)} energies"
        )
        gradient = _gradient(one, pair, topology)
        for t in (0.0, 0.7, 31.0):
            terms = gradient * one(t, pair, topology)
            change = topology.per_system(terms.sum(-1)).abs().max()
            assert change < 1e-10 * terms.abs().sum(), f"dE/dt = {float(change):.1e} at t = {t}"


def energy_does_not_drift(cls: type[Energetic]) -> None:
    """Over thousands of small symplectic steps the energy error has no trend of its own.

    A trend that falls as the square of the step belongs to the scheme, in an orbit that has come to
    a harder place; one that stays belongs to the field. Random weights need not bind the orbit: it
    is looked at as long as it is near.
    """
    for one in examples(cls):
        one = shaken(one)
        coarse = _errors(one, 1, 200 if isinstance(one, SplitField) else 60)
        half = len(coarse) // 2
        first, last = float(coarse[:half].max()), float(coarse[half:].max())
        if last > 1.5 * first:
            finer = float(_errors(one, 2, len(coarse)).max())
            assert finer < last / 3, (
                f"the energy error grows from {first:.1e} to {last:.1e} and half the step leaves "
                f"{finer:.1e}: the field itself does not keep its energy"
            )


@torch.no_grad()
def _errors(one: Any, finer: int, looks: int) -> Tensor:
    """Energy errors every ten steps, as long as all stays within ten times the start."""
    x, topology = sample(one)
    size = float(x.norm() / derivative(one, x, topology).norm().clamp_min(1e-12))
    scheme = Leapfrog() if isinstance(one, SplitField) else ImplicitMidpoint()
    simulator, near = Simulator(one, scheme, 0.02 * size / finer), 10 * float(x.abs().max())
    kept = [x]
    while len(kept) <= looks and bool((x.abs() <= near).all()):
        # each leg starts the scheme anew, which is the same rollout for these two
        x = simulator.rollout(x, EVERY * finer, topology).x[-1]
        kept.append(x)
    assert len(kept) > 10, (
        f"the rollout goes far away or is lost within {EVERY * len(kept)} small steps; offer a "
        "System whose truth this is, and the kit begins where that does"
    )
    energy = torch.stack([one.energy(state, topology) for state in kept[:-1]])
    return (energy - energy[0]).abs().amax(1) + 1e-12 * (1 + energy[0].abs().max())
