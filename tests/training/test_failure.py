"""When a training has failed, and when it has not."""

import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.component import NumericalError
from simlearn.data.generate import sample_times
from simlearn.dynamics import MLPField
from simlearn.integrators import RK4
from simlearn.training.failure import Guard
from simlearn.training.objectives import MultiStep
from simlearn_mechanics import MassSpring


@pytest.fixture
def window():
    return next(iter(MassSpring().draw(range(1), sample_times(5, 0.1), 0)))


def losses(*values):
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def test_the_reference_is_the_first_loss_the_data_or_one(window):
    ones = [torch.ones(2)]
    for first, scale, wanted in ((7.0, 1.0, 7.0), (1e-9, 1e-9, 1.0), (1e-9, 1e3, None)):
        guard = Guard(explosion=1e6)
        moved = simlearn.Trajectory(window.t, scale * window.x, window.topology)
        assert guard.fault(losses(first), ones, moved) is None
        square = float(moved.x.square().mean())
        assert guard.reference == pytest.approx(square if wanted is None else wanted)


@pytest.mark.parametrize(
    ("values", "weights", "told"),
    [
        ((1.0, float("nan"), 1.0), [1.0], "the loss became nan"),
        ((1.0, float("inf")), [1.0], "the loss became inf"),
        ((1.0, 2e6), [1.0], "the loss exploded to 2e+06"),
        ((1.0, -2e6), [1.0], "the loss exploded to -2e+06"),
        ((1.0, 9e5), [1.0], None),
        ((1.0,), [1.0, float("nan")], "the weights became nan"),
        ((1.0,), [float("-inf")], "the weights became inf"),
    ],
)
def test_what_is_a_failure(window, values, weights, told):
    guard = Guard(explosion=1e6)
    assert guard.fault(losses(*values), [torch.tensor(weights)], window) == told
    if told and "exploded" in told:
        assert Guard().fault(losses(*values), [torch.tensor(weights)], window) is None


def test_a_line_search_may_try_what_is_no_number(seeded):
    """L-BFGS with strong Wolfe conditions tries steps that blow up, and takes none of them."""
    tracks = list(MassSpring().draw(range(3), sample_times(20, 0.1), 0))
    tried = []

    class Cliff(MultiStep):
        """No number beyond a distance from the first weights."""

        def loss(self, simulator, window):
            weight = next(simulator.parameters())
            tried.append(float((weight - origin).norm().detach()))
            found = super().loss(simulator, window)
            return found if tried[-1] < 0.02 else found * float("nan")

    simulator = Simulator(MLPField(dim=2, width=8), RK4(), 0.1)
    origin = next(simulator.parameters()).detach().double().clone()
    try:
        simlearn.fit(
            simulator,
            tracks,
            objective=Cliff(horizon=4),
            optimizer=lambda weights: torch.optim.LBFGS(
                weights, lr=0.01, max_iter=3, line_search_fn="strong_wolfe"
            ),
            max_epochs=2,
            progress=False,
        )
    except NumericalError as error:
        pytest.fail(str(error))
    assert max(tried) > 0.02


def test_from_python_nothing_is_written(seeded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracks = list(MassSpring().draw(range(3), sample_times(20, 0.1), 0))
    simulator = Simulator(MLPField(dim=2, width=8), RK4(), 0.1)
    with pytest.raises(NumericalError, match="in epoch 0, update 0: the weights became inf"):
        simlearn.fit(
            simulator,
            tracks,
            objective=MultiStep(horizon=4),
            optimizer=lambda weights: torch.optim.SGD(weights, lr=float("inf")),
            batch_size=4,
            max_epochs=2,
            progress=False,
        )
    assert not list(tmp_path.iterdir())
