"""An assertion that keeps the measured error, and a tight reference solver."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp


@pytest.fixture
def within(record_property):
    """Assert that two arrays agree, and note by how much in the report of the run."""

    def check(value, exact, limit):
        error = float(np.abs(np.asarray(value) - np.asarray(exact)).max())
        record_property("error", f"{error:.1e}")
        assert error < limit

    return check


@pytest.fixture
def reference():
    """Solve dy/dt = rhs(y) by DOP853 at relative tolerance 1e-12, ``[steps, ...]``."""

    def solve(rhs, y0, times):
        times = np.asarray(times)
        done = solve_ivp(
            lambda t, y: rhs(y), times[[0, -1]], y0, "DOP853", times, rtol=1e-12, atol=1e-13
        )
        return done.y.T

    return solve


@pytest.fixture
def kepler():
    """Relative motion by Lagrange's f and g functions, ``[steps, 2 · dimension]``.

    Battin, An Introduction to the Mathematics and Methods of Astrodynamics.
    """

    def solve(x0, times, mu):
        q, v = np.split(np.asarray(x0), 2)
        r0, t = np.linalg.norm(q), np.asarray(times) - float(times[0])
        a = 1 / (2 / r0 - v @ v / mu)
        n, drift = np.sqrt(mu / a**3), q @ v / np.sqrt(mu * a)
        e = n * t
        for _ in range(200):
            off = e + drift * (1 - np.cos(e)) - (1 - r0 / a) * np.sin(e) - n * t
            slope = 1 + drift * np.sin(e) - (1 - r0 / a) * np.cos(e)
            e = e - np.clip(off / slope, -0.5, 0.5)
        assert np.abs(off).max() < 1e-12
        f, g = 1 - a / r0 * (1 - np.cos(e)), t - (e - np.sin(e)) / n
        now = np.outer(f, q) + np.outer(g, v)
        r = np.linalg.norm(now, axis=1)
        df, dg = -n * a * a / (r * r0) * np.sin(e), 1 - a / r * (1 - np.cos(e))
        return np.concatenate([now, np.outer(df, q) + np.outer(dg, v)], axis=1)

    return solve


@pytest.fixture
def alone():
    """The one trajectory of a small draw."""

    def draw(system, times, i=0, seed=0):
        (track,) = system.draw(range(i, i + 1), times, seed)
        assert (track.x[0] - track.x[-1]).abs().max() > 1e-3
        return track

    return draw


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
