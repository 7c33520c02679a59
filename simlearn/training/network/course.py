"""Whole trajectories of a coupled series, with their derivatives by the coefficients."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.training.network.data import Data
from simlearn.training.network.knots import Array
from simlearn.training.network.lean import Lean

STABLE = 2.2  # step times the spectral radius: classical Runge-Kutta is stable to 2.78
MARGIN = 1.15  # times an estimate of the spectral radius
POWERS = 3  # products by ∂(dx/dt)/∂x for each new estimate
CHANGE = 0.15  # of the largest state, in one step
TOLERANCE = 3e-6  # of the largest state: the local error that the next step aims at
GROWTH = 2.0  # of a step, at most
LOOK = 4  # steps for which a bound of the spectrum is kept
LONGEST = 0.01  # part of the time of the data
SHORTEST = 1e-5  # part of the time of the data: where steps are shorter, the path is given up
LITTLE = 0.01  # of the largest state of the data: where all are smaller, they count as so large


class Stepper:
    """Classical Runge-Kutta steps as long as stability and accuracy allow.

    States are arrays ``[1, rows, dim]``.
    """

    def __init__(self, field: CoupledSeries, data: Data):
        self.data, self.tangent = data, data.tangent(field)
        self.lean = Lean(field, data.topology)
        self.shortest, self.longest = SHORTEST * data.duration, LONGEST * data.duration
        self.bound, self.age, self.accurate = 0.0, 0, math.inf
        self.least = LITTLE * (data.scale or 1.0)
        rng = torch.Generator().manual_seed(0)
        self.vector = torch.randn(self.tangent.size, 1, generator=rng, dtype=data.x.dtype)

    def length(self, x: Array, slope: Array) -> float:
        """Of a step from here; zero where the path is lost."""
        if self.age % LOOK == 0:
            self.look(self.tangent.at(self.lean.jet(x)))
        self.age += 1
        return self.limited(x, slope)

    def look(self, product: Callable[[Tensor], Tensor]) -> None:
        """Estimate the spectral radius by powers, from the vector of the last time."""
        for _ in range(POWERS if self.bound else 5 * POWERS):
            moved = product(self.vector)
            size = float(moved.norm())
            self.bound = MARGIN * size / float(self.vector.norm())
            if not 0 < size < math.inf:
                return
            self.vector = moved / size

    def judge(self, x: Array, length: float, last: Array, after: Array) -> None:
        """Take the length of the next step from the error of one.

        h/6 (k₄ − f(x₁)) is by how much the classical method differs from an embedded one of third
        order (Hairer, Nørsett and Wanner 1993, section II.4).
        """
        # `even` halves a step at most; where two stamps nearly coincide, accurate says nothing
        if length < self.shortest / 2:
            return
        error = length / 6 * largest(last - after)
        wanted = TOLERANCE * max(largest(x), self.least)
        found = 0.9 * (wanted / max(error, 1e-300)) ** 0.25
        self.accurate = length * min(max(found, 1 / GROWTH), GROWTH)

    def limited(self, x: Array, slope: Array) -> float:
        """The longest step that stability and accuracy allow; zero where the path is lost."""
        fastest, size = largest(slope), largest(x)
        if not (math.isfinite(self.bound) and math.isfinite(fastest) and size <= math.inf):
            return 0.0
        moving = CHANGE * max(size, self.least) / max(fastest, 1e-300)
        found = min(STABLE / max(self.bound, 1e-300), moving, self.longest, self.accurate)
        return found if found >= self.shortest else 0.0


def largest(x: Array) -> float:
    """Of the absolute values; NaN where there is one."""
    return float(np.abs(x).max())


def even(left: float, length: float) -> float:
    """The step that reaches the end in equal ones no longer than a length."""
    return left / max(1, math.ceil(left / length - 1e-9))


def path(
    field: CoupledSeries, data: Data, most: float = math.inf, patience: float = math.inf
) -> Tensor:
    """States at the times of the data, ``[steps, rows, dim]``.

    Fewer where the path is lost, where the weighted sum of squared errors is above ``most``, or
    where it takes more than ``patience`` steps of the solver.
    """
    stepper, true, states = Stepper(field, data), data.x.numpy(), [data.x.numpy()[:1]]
    times, allowed, missed, x = data.t.tolist(), data.limit, 0.0, states[0]
    with np.errstate(all="ignore"):
        a = stepper.lean.rate(x)
        for k, (at, end) in enumerate(pairwise(times), start=1):
            while end - at > 1e-12 * data.duration:
                h = stepper.length(x, a)
                if not h or stepper.age > patience:
                    return torch.from_numpy(np.concatenate(states))
                h = even(end - at, h)
                x, d, after = stepped(stepper.lean.rate, x, a, h)
                at += h
                stepper.judge(x, h, d, after)
                a = after
                if not largest(x) <= allowed:
                    return torch.from_numpy(np.concatenate(states))
            missed += data.at(k) * float(np.square(x[0] - true[k]).sum())
            if missed > most:
                return torch.from_numpy(np.concatenate(states))
            states.append(x)
    return torch.from_numpy(np.concatenate(states))


def stepped(
    rate: Callable[[Array], Array], x: Array, a: Array, h: float
) -> tuple[Array, Array, Array]:
    """A classical Runge-Kutta step from a state whose rate is known.

    Returns:
        The next state, the last slope inside the step, the slope at the next state.
    """
    b = rate(x + h / 2 * a)
    c = rate(x + h / 2 * b)
    d = rate(x + h * c)
    x = x + h / 6 * (a + 2 * (b + c) + d)
    return x, d, rate(x)


def sensitivities(field: CoupledSeries, data: Data) -> Iterator[tuple[Tensor, Tensor]]:
    """States at the times after the first, and their derivatives by the coefficients.

    S' = J S + ∂f/∂c along the path (Hairer, Nørsett and Wanner 1993, eq. I.14.7), J sparse. It ends
    early where the path is lost.

    Yields:
        ``[rows, dim]`` and ``[rows · dim, K · dim]``.
    """
    stepper, x = Stepper(field, data), data.x.numpy()[:1]
    times, allowed = data.t.tolist(), data.limit
    one = torch.eye(field.dim, dtype=data.x.dtype)

    def rates(x: Array, s: Tensor, look: bool = False) -> tuple[Array, Tensor]:
        with np.errstate(all="ignore"):
            jet = stepper.lean.jet(x)
        product = stepper.tangent.at(jet)
        if look:
            stepper.look(product)
        columns = torch.from_numpy(jet.columns)
        by = torch.kron(columns, one) if field.dim > 1 else columns
        return jet.rate[None], product(s).add_(by)

    s = data.x.new_zeros(x.size, field.coefficients.numel())
    a, sa = rates(x, s, True)
    for at, end in pairwise(times):
        while end - at > 1e-12 * data.duration:
            h = stepper.limited(x, a)
            if not h:
                return
            h = even(end - at, h)
            b, sb = rates(x + h / 2 * a, torch.add(s, sa, alpha=h / 2))
            c, sc = rates(x + h / 2 * b, torch.add(s, sb, alpha=h / 2))
            d, sd = rates(x + h * c, torch.add(s, sc, alpha=h))
            x = x + h / 6 * (a + 2 * (b + c) + d)
            s = torch.add(s, sa.add_(sb.add_(sc), alpha=2).add_(sd), alpha=h / 6)
            a, sa = rates(x, s, True)
            stepper.judge(x, h, d, a)
            at += h
            if not largest(x) <= allowed:
                return
        yield torch.from_numpy(x[0]), s
