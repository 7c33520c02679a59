"""An assertion that keeps the measured error, and states to ask laws about."""

import numpy as np
import pytest
import torch

from simlearn import sample_times


@pytest.fixture
def within(record_property):
    """Assert that two arrays agree, and note by how much in the report of the run."""

    def check(value, exact, limit):
        error = float(np.abs(np.asarray(value) - np.asarray(exact)).max())
        record_property("error", f"{error:.1e}")
        assert error < limit

    return check


@pytest.fixture
def normal():
    """Standard normal numbers of a shape, float64, always the same."""
    return lambda *shape: torch.from_numpy(np.random.default_rng(3).normal(size=shape))


@pytest.fixture
def tracks():
    """All states of the first trajectories of a system, ``[trajectories, steps, rows, dim]``."""

    def draw(system, count=64, steps=2, dt=0.1, seed=0):
        drawn = system.draw(range(count), sample_times(steps, dt), seed)
        return np.stack([track.x.numpy() for track in drawn])

    return draw


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
