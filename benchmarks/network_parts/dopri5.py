"""Dormand-Prince with free steps and dense output, as torchdiffeq takes it for NDCN's class.

Dormand and Prince 1980; steps are chosen by the elementary controller (safety 0.9, factors 0.2 to
10, exponent 1/5), the first by Hairer, Nørsett and Wanner 1993, section II.4. States between the
ends of a step come from the quartic through both ends, both slopes and the middle (Shampine 1986).
"""

import torch

from simlearn.integrators.adaptive import ERROR, STAGES

MIDDLE = (
    6025192743 / 30085553152 / 2,
    0.0,
    51252292925 / 65400821598 / 2,
    -2691868925 / 45128329728 / 2,
    187940372067 / 1594534317056 / 2,
    -1776094331 / 19743644256 / 2,
    11237099 / 235043384 / 2,
)
MOST = 10_000  # tries


def combined(weights, slopes):
    """Σ wᵢ kᵢ."""
    total = weights[0] * slopes[0]
    for weight, slope in zip(weights[1:], slopes[1:], strict=False):
        if weight:
            total = torch.add(total, slope, alpha=weight)
    return total


def norm(x):
    """Root mean square."""
    return float(x.detach().square().mean().sqrt())


def first_step(rate, x, slope, rtol, atol):
    """A first guess of the step."""
    scale = atol + rtol * x.detach().abs()
    size, fast = norm(x / scale), norm(slope / scale)
    guess = 1e-6 if min(size, fast) < 1e-5 else 0.01 * size / fast
    with torch.no_grad():
        bend = norm((rate(x + guess * slope) - slope) / scale) / guess
    most = max(fast, bend)
    other = max(1e-6, 1e-3 * guess) if most <= 1e-15 else (0.01 / most) ** (1 / 5)
    return min(100 * guess, other)


def between(h, x, new, middle, first, last):
    """The quartic of a step, as a function of the part of it that has passed."""
    a = 2 * h * (last - first) - 8 * (new + x) + 16 * middle
    b = h * (5 * first - 3 * last) + 18 * x + 14 * new - 32 * middle
    c = h * (last - 4 * first) - 11 * x - 5 * new + 16 * middle
    d = h * first
    return lambda part: x + part * (d + part * (c + part * (b + part * a)))


def dopri5(rate, x, times, rtol, atol):
    """States ``[stamps, ...]`` of dx/dt = rate(x) at all times; gradients flow through the steps.

    Raises:
        RuntimeError: It takes more than ten thousand tries, or a step is no number.
    """
    at, slope, found = times[0], rate(x), [x]
    h = first_step(rate, x, slope, rtol, atol)
    for _ in range(MOST):
        slopes = [slope]
        for weights in STAGES:
            new = torch.add(x, combined(weights, slopes), alpha=h)
            slopes.append(rate(new))
        scale = atol + rtol * torch.maximum(x.detach().abs(), new.detach().abs())
        error = norm(h * combined(ERROR, slopes).detach() / scale)
        if not error < torch.inf:
            raise RuntimeError("Dormand-Prince met a state that is no number.")
        if error <= 1:
            middle = torch.add(x, combined(MIDDLE, slopes), alpha=h)
            curve = between(h, x, new, middle, slope, slopes[-1])
            while len(found) < len(times) and times[len(found)] <= at + h:
                found.append(curve((times[len(found)] - at) / h))
            if len(found) == len(times):
                return torch.stack(found)
            at, x, slope = at + h, new, slopes[-1]
        least = 1.0 if error < 1 else 0.2
        h *= 10.0 if error == 0 else min(10.0, max(0.9 * error**-0.2, least))
    raise RuntimeError(f"Dormand-Prince took more than {MOST} tries.")
