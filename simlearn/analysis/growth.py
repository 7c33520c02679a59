"""How fast neighbouring orbits part: Lyapunov exponents, finite-time exponents, dimension."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.analysis.cocycle import Normal, Turn, turn
from simlearn.analysis.flat import Motion
from simlearn.analysis.jacobian import push
from simlearn.component import ConfigError
from simlearn.dynamics.base import Time

BLOCKS = 20  # of an orbit, for standard errors
MANY = 8  # orbits whose spread alone gives the standard error
DEAD = 1e-16  # growth of a step below which nothing but rounding is left of a direction


@dataclass(frozen=True)
class Spectrum:
    """Lyapunov exponents along some orbits, largest first.

    Attributes:
        exponents: ``[k]`` mean over the orbits, 1/time; NaN where every orbit was lost.
        errors: ``[k]`` standard errors, from the spread over eight orbits or more; of fewer, from
            means over blocks, corrected for correlation between neighbouring blocks.
        each: ``[anchors, k]`` of every orbit; NaN where it was lost.
        blocks: ``[blocks, anchors, k]`` means over successive pieces of the orbits.
        lost: ``[anchors]`` step at which an orbit left its bound or the numbers, −1 where not.
        end: ``[anchors, n]`` last states.
        frame: ``[anchors, n, k]`` last orthonormal vectors.
        time: Length of an orbit.
    """

    exponents: Tensor
    errors: Tensor
    each: Tensor
    blocks: Tensor
    lost: Tensor
    end: Tensor
    frame: Tensor
    time: float

    @property
    def sum(self) -> float:
        """Sum of the exponents; of all n of them, the mean rate at which volume grows."""
        return float(self.exponents.sum())


@torch.no_grad()
def spectrum(
    motion: Motion,
    x: Tensor,
    steps: int,
    count: int | None = None,
    *,
    dt: float = 1.0,
    t0: Time = 0.0,
    transient: int = 0,
    every: int = 1,
    normal: Normal | None = None,
    follow: Callable[[Tensor], Tensor] | None = None,
    bound: float = math.inf,
    seed: int = 0,
) -> Spectrum:
    """The k largest Lyapunov exponents by QR (Benettin et al. 1980), all anchors at once.

    With λ_i = lim ln r_ii / time, r_ii the diagonal of R of the pushed frame. One step costs k
    tangent vectors; 64 anchors cost less than two.

    Args:
        motion: A step, ``flat.stepper(simulator)``.
        x: Starts ``[anchors, n]``.
        steps: Steps of each orbit, after the transient.
        count: How many exponents; all n (or all normal directions) by default.
        dt: Time of a step; 1 gives exponents per step.
        t0: Time of the starts.
        transient: Steps before, in which the state and the frame settle.
        every: Steps between two orthonormalisations. The frame must stay well conditioned between:
            at most 10 / (λ₁ − λ_k) in time.
        normal: For transverse exponents, an orthonormal basis ``[n, m]``, or a function of states
            ``[anchors, n]`` that gives one at each, ``[anchors, n, m]``: the cocycle is then
            N(x')ᵀ J(x) N(x), m tangent vectors and no Jacobian.
        follow: Moves a state back to where the orbit should go on, such as onto the data; the
            Jacobian stays that of the step.
        bound: An orbit is lost beyond this component.
        seed: Seed of the first frame.

    Raises:
        ConfigError: No step, or more exponents than dimensions.
    """
    count = _count(x, count, normal, steps, every)
    turns = turn(
        motion,
        x,
        count,
        dt=dt,
        t0=t0,
        every=every,
        normal=normal,
        follow=follow,
        bound=bound,
        seed=seed,
    )
    lost = torch.full((x.shape[0],), -1, device=x.device)
    logs: list[Tensor] = []
    settled = -(-transient // every)
    total = settled + steps // every
    for number in range(total):
        now = next(turns)
        lost = torch.where((lost < 0) & ~now.alive, (number + 1) * every, lost)
        if number >= settled:
            logs.append(_logs(now.r))
        if not bool(now.alive.any()):
            break
    kept = torch.stack(logs) if logs else x.new_full((1, x.shape[0], count), torch.nan)
    return _summed(kept, lost, now, dt * every)


def _count(x: Tensor, count: int | None, normal: Normal | None, steps: int, every: int) -> int:
    n = x.shape[1]
    most = n if normal is None else (normal(x) if callable(normal) else normal).shape[-1]
    count = most if count is None else count
    if not 1 <= count <= most:
        raise ConfigError(f"There are {most} exponents, asked for {count}.")
    if steps < every or every < 1:
        raise ConfigError(
            f"Exponents need steps >= every >= 1, got steps {steps} and every {every}."
        )
    return count


def _logs(r: Tensor) -> Tensor:
    return r.diagonal(dim1=-2, dim2=-1).clamp_min(DEAD).log()


def _summed(logs: Tensor, lost: Tensor, last: Turn, dt: float) -> Spectrum:
    """Means and standard errors of ``[turns, anchors, k]`` logarithms."""
    good = lost < 0
    whole = logs.mean(0) / dt
    whole[~good] = torch.nan
    order = whole[good].mean(0).argsort(descending=True) if good.any() else slice(None)
    blocks = torch.stack([part.mean(0) for part in logs.tensor_split(min(BLOCKS, len(logs)))]) / dt
    blocks, whole = blocks[..., order], whole[..., order]
    time = len(logs) * dt
    if not good.any():
        none = whole.new_full(whole.shape[-1:], torch.nan)
        return Spectrum(none, none, whole, blocks, lost, last.x, last.frame, time)
    mean, orbits = whole[good].mean(0), whole[good]
    if len(orbits) >= MANY:
        error = orbits.std(0) / math.sqrt(len(orbits))
    else:
        error = standard_error(blocks[:, good])
    return Spectrum(mean, error, whole, blocks, lost, last.x, last.frame[..., order], time)


def standard_error(blocks: Tensor) -> Tensor:
    """Standard error of the mean of ``[blocks, orbits, k]``, correlated from block to block.

    N values with a correlation φ between neighbours are worth N (1 − φ) / (1 + φ). Zero where there
    is one value only.
    """
    count = blocks.shape[0] * blocks.shape[1]
    if count < 2:
        return blocks.new_zeros(blocks.shape[-1])
    off = blocks - blocks.mean((0, 1))
    variance = off.square().sum((0, 1)) / (count - 1)
    if len(blocks) < 4:
        return (variance / count).sqrt()
    shared = (off[1:] * off[:-1]).mean((0, 1)) / off.square().mean((0, 1)).clamp_min(1e-300)
    phi = shared.clamp(0.0, 0.9)
    return (variance / count * (1 + phi) / (1 - phi)).sqrt()


@torch.no_grad()
def propagator(
    motion: Motion, x: Tensor, steps: int, *, dt: float = 1.0, t0: Time = 0.0
) -> tuple[Tensor, Tensor]:
    """The last states and the product of all Jacobians, ``[anchors, n]``, ``[anchors, n, n]``.

    Small singular values drown in rounding once the largest is 1e16 times as large.
    """
    n = x.shape[-1]
    product = torch.eye(n, dtype=x.dtype, device=x.device).repeat(x.shape[0], 1, 1)
    for number in range(steps):
        t = t0 + number * dt
        x, product = push(lambda y, t=t: motion(y, t), x, product)  # type: ignore[misc]
    return x, product


@torch.no_grad()
def finite_time(
    motion: Motion, x: Tensor, steps: int, *, dt: float = 1.0, t0: Time = 0.0
) -> Tensor:
    """Finite-time exponents ln σ_i(DFᵗ) / t, ``[anchors, n]``, largest first."""
    _, product = propagator(motion, x, steps, dt=dt, t0=t0)
    return torch.linalg.svdvals(product).log() / (steps * dt)


def kaplan_yorke(exponents: Tensor) -> float:
    """The Kaplan-Yorke dimension j + Σ_{i≤j} λ_i / |λ_{j+1}|, j the last with a sum ≥ 0.

    n where all exponents add up to zero or more, 0 where the first is negative (Kaplan and Yorke
    1979).
    """
    ordered = exponents.sort(descending=True).values.tolist()
    total = 0.0
    for j, value in enumerate(ordered):
        if total + value < 0:
            return j + total / abs(value)
        total += value
    return float(len(ordered)) if not any(math.isnan(v) for v in ordered) else math.nan
