"""Rollouts of held-out data meet the times of the data, however little one window tells of them."""

import lightning.pytorch as pl
import pytest
import torch

import simlearn
from simlearn import ConfigError, Simulator, Topology, Trajectory
from simlearn.data.module import TrajectoryData
from simlearn.dynamics import LinearMap
from simlearn.integrators import RK4
from simlearn.training.fit import DEFAULTS
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import OneStep
from simlearn.training.progress import quiet
from simlearn.training.validation import through
from simlearn_mechanics import MassSpring

GAPS = {
    "one": torch.tensor([0.16]),
    "several of one length": torch.full((9,), 0.2),
    "shorter than a step": torch.full((9,), 0.03),
    "uneven": torch.tensor([0.05, 0.3, 0.1]),
    "the step": torch.full((9,), 0.1, dtype=torch.float64),
    "none": torch.zeros(0),
}


def orbit(gaps, number=0, t0=0.7):
    """An exact orbit of a spring at times of these gaps."""
    t = t0 + torch.cat([torch.zeros(1).double(), gaps.double()]).cumsum(0)
    (one,) = MassSpring().draw(range(number, number + 1), t, 0)
    return Trajectory(one.t, one.x, one.topology)


def truth(dt=0.1):
    return Simulator(MassSpring().truth(), RK4(), dt)


@pytest.mark.parametrize("gaps", GAPS.values(), ids=GAPS)
def test_the_exact_law_meets_every_window(gaps):
    window = orbit(gaps)
    found = through(truth(), window)
    torch.testing.assert_close(found.t, window.t, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.x, window.x, rtol=0, atol=1e-5)


class Springs(simlearn.VectorField):
    """The exact law and a weight that is zero: something to train that changes nothing much."""

    dim = 2

    def __init__(self):
        super().__init__()
        self.truth = MassSpring().truth()
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def forward(self, t, x, topology):
        return self.truth(t, x, topology) + self.weight * x


def trained(tracks, batch_size, held_out=0.0):
    """A module after one epoch at a vanishing rate, its trainer and its data."""
    module = SimulatorModule(
        Simulator(Springs(), RK4(), 0.1),
        OneStep(),
        optimizer=lambda weights: torch.optim.SGD(weights, lr=1e-12),
    )
    data = TrajectoryData.of(tracks, held_out=held_out, batch_size=batch_size)
    trainer = pl.Trainer(**{**DEFAULTS, "max_epochs": 1, "accelerator": "cpu"})
    with quiet():
        trainer.fit(module, datamodule=data)
    return module, trainer, data


def test_a_forecast_of_one_gap_is_where_the_data_are():
    """Windows of `OneStep` are single gaps, in batches of one no gap differs from another."""
    gaps = 0.04 + 0.3 * torch.rand(12, generator=torch.Generator().manual_seed(0))
    track = orbit(gaps)
    module, trainer, data = trained([track], batch_size=1)
    with quiet():
        found = trainer.predict(module, datamodule=data)
    assert len(found) == 12
    for k, one in enumerate(found):
        torch.testing.assert_close(one.t[:, 0], track.t[k : k + 2])
        torch.testing.assert_close(one.x, track.x[k : k + 2], rtol=0, atol=1e-4)


def test_the_error_does_not_depend_on_how_windows_are_batched():
    """Held-out data of two intervals: alone, each window is even."""
    slow, fast = torch.full((12,), 0.2), torch.full((12,), 0.1)
    tracks = [orbit(gaps, k) for k, gaps in enumerate((slow, fast, slow, fast))]
    errors = []
    for batch_size in (1, None):
        _, trainer, data = trained(tracks, batch_size, held_out=0.5)
        assert data.interval is None
        errors.append(float(trainer.callback_metrics["rollout_error"]))
    assert max(errors) < 1e-4


def test_a_map_says_where_it_cannot_follow():
    """Two of its steps are a gap that it meets, one and a half are none."""
    shift = Simulator(LinearMap(2).double(), None, 0.1)
    window = orbit(GAPS["several of one length"])
    assert through(shift, window).steps == window.steps
    x = torch.zeros(2, 1, 2, dtype=torch.float64)
    half = Trajectory(torch.tensor([0.0, 0.15]).double(), x, Topology.isolated(1))
    with pytest.raises(ConfigError, match="takes no other"):
        through(shift, half)
