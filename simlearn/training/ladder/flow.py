"""Classical Runge-Kutta steps of a series, with their derivatives by state and coefficients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.dynamics.series import Series

Slope = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Derivatives:
    """Of paths and slopes, by starts and coefficients.

    Attributes:
        state: ``[n, steps, dim, dim + r]``.
        slope: The same, None where no slopes are used.
    """

    state: Tensor
    slope: Tensor | None


def step(slope: Slope, x: Tensor, dt: Tensor, parts: int) -> Tensor:
    """RK4 over dt ``[rows, 1]`` in equal parts."""
    h = dt / parts
    for _ in range(parts):
        a = slope(x)
        b = slope(x + h / 2 * a)
        c = slope(x + h / 2 * b)
        x = x + h / 6 * (a + 2 * (b + c) + slope(x + h * c))
    return x


def paths(slope: Slope, start: Tensor, t: Tensor, parts: int) -> Tensor:
    """From every start ``[n, dim]`` through its times ``[n, steps]``: ``[n, steps, dim]``."""
    states, gaps = [start], t.diff(dim=1)
    for k in range(gaps.shape[1]):
        states.append(step(slope, states[-1], gaps[:, k, None], parts))
    return torch.stack(states, dim=1)


def sensitivities(field: Series, basis: Tensor, x: Tensor, t: Tensor, parts: int) -> Tensor:
    """D x(t) / d (start, coefficients along the basis), ``[n, steps, dim, dim + r]``.

    The paths ``x`` are known, so that the derivatives of all intervals are found side by side, S' =
    ∂f/∂x S + ∂f/∂c, and then chained (the variational equation; Hairer, Nørsett and Wanner 1993,
    eq. I.14.5).
    """
    n, steps, dim = x.shape
    begin, h = x[:, :-1].reshape(-1, dim), t.diff(dim=1).reshape(-1, 1) / parts
    s = torch.zeros(len(begin), dim, dim + basis.shape[1], dtype=x.dtype)
    s[:, :, :dim] = torch.eye(dim, dtype=x.dtype)
    state = begin
    for _ in range(parts):
        state, s = _both(field, basis, state, s, h)
    each = s.reshape(n, steps - 1, dim, -1)
    total = torch.zeros(n, dim, dim + basis.shape[1], dtype=x.dtype)
    total[:, :, :dim] = torch.eye(dim, dtype=x.dtype)
    found = [total]
    for k in range(steps - 1):
        total = each[:, k, :, :dim] @ total
        total[..., dim:] += each[:, k, :, dim:]
        found.append(total)
    return torch.stack(found, dim=1)


def _both(field: Series, basis: Tensor, x: Tensor, s: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """One RK4 step of state and sensitivity."""
    dim, h3 = x.shape[1], h[..., None]

    def rates(state: Tensor, sensitivity: Tensor) -> tuple[Tensor, Tensor]:
        columns = field.columns(state)
        change = field.tangent(state) @ sensitivity
        change[..., dim:] += columns @ basis
        return columns @ field.coefficients, change

    a, ka = rates(x, s)
    b, kb = rates(x + h / 2 * a, s + h3 / 2 * ka)
    c, kc = rates(x + h / 2 * b, s + h3 / 2 * kb)
    d, kd = rates(x + h * c, s + h3 * kc)
    return x + h / 6 * (a + 2 * (b + c) + d), s + h3 / 6 * (ka + 2 * (kb + kc) + kd)
