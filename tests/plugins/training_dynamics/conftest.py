"""Small trainings to be watched."""

import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn.training.objectives import DerivativeMatching
from simlearn_mechanics import Pendulum


@pytest.fixture(scope="session")
def tracks():
    """Forty states of a pendulum that nearly turns over."""
    times = simlearn.sample_times(5, 0.4)
    return list(Pendulum(amplitude=3.0, gravity=2.0).draw(range(8), times, 0))


@pytest.fixture
def train(tracks):
    """Trains an acceleration 2-16-1; ``moved`` is added to its first weights, flat."""

    def run(*callbacks, moved=None, width=16, dtype="float64", data=None, **given):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            field = MLPField(2, width, 1, second_order=True)
        if moved is not None:
            field.double()
            flat = torch.nn.utils.parameters_to_vector(field.parameters()).detach()
            torch.nn.utils.vector_to_parameters(flat + moved, field.parameters())
        given = {"max_epochs": 20, "objective": DerivativeMatching(scale="none"), **given}
        given.setdefault("optimizer", lambda w: torch.optim.SGD(w, lr=0.4))
        return simlearn.fit(
            Simulator(field, RK4(), 0.4),
            tracks if data is None else data,
            callbacks=list(callbacks),
            progress=False,
            dtype=dtype,
            **given,
        )

    return run
