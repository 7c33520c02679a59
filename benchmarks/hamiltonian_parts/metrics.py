"""Protocols P2 to P6: what is measured of a field, and against what."""

import numpy as np
import torch

from simlearn import Simulator, Topology
from simlearn.integrators import Leapfrog

from .solve import TIGHT, energy_of, field_of, solve

ROLLOUT = 1e-9  # tolerance of a learned field's rollout, far below its errors


def mean_square(a, b):
    """Mean over all components; infinite where a rollout was lost."""
    with np.errstate(all="ignore"):
        value = float(np.square(a - b).mean())
    return value if np.isfinite(value) else float("inf")


def field_error(field, states, slope):
    """P2 and P3: mean square of the derivative's error over states ``[..., n]``."""
    n = states.shape[-1]
    return mean_square(field(states.reshape(-1, n)), slope.reshape(-1, n))


def information_limit(field, data):
    """P3 of the true field shifted by the mean noise of the training states.

    Clean derivatives on noisy states fix the field up to a shift of phase space, and the shift only
    by the mean of the noise: nothing that uses no other assumption can be expected to be better.
    """
    train, test = data.half(True), data.half(False)
    shift = (train.noisy - train.clean).mean((0, 1))
    n = test.clean.shape[-1]
    return mean_square(field(test.clean.reshape(-1, n) - shift), test.slope.reshape(-1, n))


def rollouts(law, dynamics, starts, until=20.0, count=100):
    """The truth and the learned rollout from the same starts, ``[samples, systems, n]``."""
    times = np.linspace(0, until, count)
    truth = solve(field_of(law), starts, times, TIGHT)
    return truth, solve(field_of(dynamics), starts, times, ROLLOUT)


def energy_errors(law, truth, rolled):
    """Mean square error of the true energy, and of q² + p² (the published metric of P4)."""
    energy = energy_of(law)
    plain = mean_square(np.square(truth).sum(-1), np.square(rolled).sum(-1))
    return mean_square(energy(truth), energy(rolled)), plain


def largest_relative_energy_error(law, rolled):
    """Largest |H − H(0)| / H(0) over the rollouts, with the true energy."""
    energy = energy_of(law)(rolled)
    return float(np.abs(energy / energy[0] - 1).max())


def frequencies(dynamics, amplitudes, until=24.0):
    """Oscillations a unit of time from rest at each amplitude, NaN where there are none.

    The momentum's downward passages through zero, on cubic Hermite pieces.
    """
    field = field_of(dynamics)
    times = np.linspace(0, until, 241)
    starts = np.array([[a, 0.0] for a in amplitudes])
    x = solve(field, starts, times, ROLLOUT)
    slope = field(x.reshape(-1, 2)).reshape(x.shape)
    return [_frequency(times, x[:, k, 1], slope[:, k, 1]) for k in range(len(amplitudes))]


def _frequency(times, p, slope):
    down = np.flatnonzero((p[1:-1] > 0) & (p[2:] <= 0)) + 1
    if len(down) < 2:
        return float("nan")
    passed = [_root(times[k : k + 2], p[k : k + 2], slope[k : k + 2]) for k in (down[0], down[-1])]
    return (len(down) - 1) / (passed[1] - passed[0])


def _root(t, p, slope):
    """Where the cubic through two values and slopes is zero, by bisection."""
    h, low, high = t[1] - t[0], 0.0, 1.0

    def value(s):
        ends = (1 + 2 * s) * (1 - s) ** 2 * p[0] + s * s * (3 - 2 * s) * p[1]
        return ends + h * s * (1 - s) * ((1 - s) * slope[0] - s * slope[1])

    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if value(middle) > 0 else (low, middle)
    return t[0] + h * low


def frequency_error(law, dynamics, amplitudes):
    """Worst relative error of the frequency over the amplitudes; infinite where none is found."""
    true, found = frequencies(law, amplitudes), frequencies(dynamics, amplitudes)
    worst = float(np.max(np.abs(np.array(found) / np.array(true) - 1)))
    return worst if np.isfinite(worst) else float("inf")


def perturbed_truth(field, starts, times, seed=0, size=1e-4):
    """The chaos-aware floor: rollout error of the truth from starts moved by 1e-4 of themselves."""
    rng = np.random.default_rng(seed)
    push = rng.standard_normal(starts.shape)
    push /= np.linalg.norm(push, axis=1, keepdims=True)
    push *= size * np.linalg.norm(starts, axis=1, keepdims=True)
    return solve(field, starts, times, TIGHT), solve(field, starts + push, times, TIGHT)


def drift(law, dynamics, starts, steps=100_000, dt=0.1, integrator=None, topology=None):
    """P6: mean relative error of the true energy in the first and the last tenth of a rollout.

    Args:
        law: The truth, whose energy judges.
        dynamics: The learned field.
        starts: ``[rows, dim]``.
        steps: Steps of the rollout.
        dt: Length of a step.
        integrator: Leapfrog where it is None.
        topology: Vector systems where it is None.

    Returns:
        First tenth, last tenth, largest; infinite where the rollout was lost.
    """
    topology = topology or Topology.isolated(len(starts))
    simulator = Simulator(dynamics, integrator or Leapfrog(), dt)
    with torch.inference_mode():
        x = torch.from_numpy(starts)
        rolled = simulator.rollout(x, steps, topology, every=10, bound=1e6)
        if rolled.status != "ok":
            return (float("inf"),) * 3
        first = law.energy(x, topology)
        off = torch.stack([(law.energy(s, topology) / first - 1).abs() for s in rolled.x])
    tenth = len(off) // 10
    return float(off[:tenth].mean()), float(off[-tenth:].mean()), float(off.max())
