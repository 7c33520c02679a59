"""Covariant Lyapunov vectors: the directions that a flow itself carries along."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.analysis.cocycle import turn
from simlearn.analysis.flat import Motion
from simlearn.component import ConfigError, NumericalError
from simlearn.dynamics.base import Time


@dataclass(frozen=True)
class Covariant:
    """Covariant vectors along orbits.

    Attributes:
        orbit: ``[steps + 1, anchors, n]`` states.
        vectors: ``[steps + 1, anchors, n, k]`` unit vectors; J v_i(x) is parallel to v_i(F(x)).
        rates: ``[anchors, k]`` their mean growth along the orbit, 1/time: the exponents again.
    """

    orbit: Tensor
    vectors: Tensor
    rates: Tensor

    def angles(self, first: int, second: int) -> Tensor:
        """Angle between two of the vectors, ``[steps + 1, anchors]``, in radians, 0 to π/2.

        Angles of expanding and contracting ones that come near zero mean: not hyperbolic.
        """
        a, b = self.vectors[..., first], self.vectors[..., second]
        return (a * b).sum(-1).abs().clamp(max=1.0).acos()


@torch.no_grad()
def covariant(
    motion: Motion,
    x: Tensor,
    steps: int,
    count: int | None = None,
    *,
    transient: int = 100,
    tail: int = 100,
    dt: float = 1.0,
    t0: Time = 0.0,
    seed: int = 0,
) -> Covariant:
    """Covariant Lyapunov vectors by the forward-backward method (Ginelli et al. 2007).

    Forward, QR keeps Q and R of every step; backward, C ← R⁻¹ C with columns made unit, from a
    random upper triangle. The vectors are Q C. Memory grows as steps · n · k for each anchor.

    Args:
        motion: A step, ``flat.stepper(simulator)``.
        x: Starts ``[anchors, n]``.
        steps: Steps whose vectors are wanted.
        count: How many vectors; all n by default.
        transient: Steps before, in which the frame settles.
        tail: Steps after, in which C settles on the way back.
        dt: Time of a step.
        t0: Time of the starts.
        seed: Seed of the first frame and of C.

    Raises:
        ConfigError: No steps, or more vectors than dimensions.
        NumericalError: An orbit is lost, or the Jacobian is singular, so that nothing can be
            carried back.
    """
    count = x.shape[1] if count is None else count
    if not 1 <= count <= x.shape[1] or steps < 1 or transient < 1 or tail < 0:
        raise ConfigError(
            f"Covariant vectors need 1 <= count <= {x.shape[1]}, steps and transient of at least 1 "
            f"and tail >= 0; got {count}, {steps}, {transient}, {tail}."
        )
    states, frames, factors = _forward(motion, x, count, (transient, steps, tail), dt, t0, seed)
    vectors, shrunk = backward(frames, factors, steps, seed)
    return Covariant(states, vectors, -shrunk.log().sum(0) / (steps * dt))


def _forward(
    motion: Motion,
    x: Tensor,
    count: int,
    lengths: tuple[int, int, int],
    dt: float,
    t0: Time,
    seed: int,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """States and frames after the transient, and the factors R of every step that follows."""
    transient, steps, tail = lengths
    turns = turn(motion, x, count, dt=dt, t0=t0, seed=seed)
    for _ in range(transient):
        now = next(turns)
    states, frames, factors = [now.x], [now.frame], []
    for number in range(steps + tail):
        now = next(turns)
        _refuse(now.r, now.alive, number)
        factors.append(now.r)
        if number < steps:
            states.append(now.x)
            frames.append(now.frame)
    return torch.stack(states), torch.stack(frames), factors


def _refuse(r: Tensor, alive: Tensor, number: int) -> None:
    if not bool(alive.all()):
        raise NumericalError(
            f"An orbit left the numbers at step {number} of the covariant vectors. Start inside "
            "the region where the simulator stays bounded, or take fewer steps."
        )
    size = r.diagonal(dim1=-2, dim2=-1) / r.norm(dim=-2).clamp_min(torch.finfo(r.dtype).tiny)
    if float(size.min()) <= 10 * r.shape[-1] * torch.finfo(r.dtype).eps:
        dead = int(size.amin(0).argmin())
        raise NumericalError(
            f"The Jacobian is singular along vector {dead} (R is {float(size.min()):.1e} of its "
            f"column there), which cannot be carried back. Ask for {dead} vectors or fewer."
        )


def backward(frames: Tensor, factors: list[Tensor], steps: int, seed: int) -> tuple[Tensor, Tensor]:
    """The way back: vectors at each state, and by how much every step back shrank them.

    Args:
        frames: Q at the states whose vectors are wanted, ``[steps + 1, anchors, n, k]``.
        factors: R of every step after the first state, ``[anchors, k, k]`` each; those beyond
            ``steps`` are the tail in which C settles.
        steps: Steps whose vectors are wanted.
        seed: Seed of C.

    Returns:
        ``[steps + 1, anchors, n, k]`` and ``[steps, anchors, k]``.
    """
    rng = torch.Generator().manual_seed(seed + 1)
    c = torch.randn(factors[0].shape, generator=rng, dtype=torch.float64).triu().to(frames)
    c = c / c.norm(dim=-2, keepdim=True)
    found, shrunk = [frames[-1] @ c], []
    for number in reversed(range(len(factors))):
        c = torch.linalg.solve_triangular(factors[number], c, upper=True)
        size = c.norm(dim=-2, keepdim=True)
        c = c / size
        if number == steps:
            found = [frames[-1] @ c]
        elif number < steps:
            found.append(frames[number] @ c)
            shrunk.append(size.squeeze(-2))
    return torch.stack(found[::-1]), torch.stack(shrunk)
