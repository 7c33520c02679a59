"""What the callbacks find is what independent computations find."""

import math

import lightning.pytorch as pl
import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.analysis.flat import random_frame
from simlearn.data.windows import Windows
from simlearn.dynamics import LinearField
from simlearn.integrators import RK4
from simlearn.training.objectives import DerivativeMatching
from simlearn_mechanics import MassSpring
from simlearn_training_dynamics.callbacks import SGDExponent, Sharpness, TrainingSpectrum


def flat(simulator):
    return torch.nn.utils.parameters_to_vector(simulator.parameters()).detach()


def hessian(simulator, objective, windows):
    """Dense, in the order of the parameters."""
    names = [name for name, _ in simulator.named_parameters()]
    shapes = [p.shape for p in simulator.parameters()]

    def loss(w):
        parts = w.split([s.numel() for s in shapes])
        given = {n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        held = torch.nn.Module()
        held.simulator = simulator
        held.forward = lambda: objective.loss(simulator, windows)
        return torch.func.functional_call(held, {f"simulator.{n}": v for n, v in given.items()}, ())

    return torch.func.hessian(loss)(flat(simulator))


class Losses(pl.Callback):
    """The loss of every epoch."""

    def __init__(self):
        self.seen = []

    def on_train_epoch_end(self, trainer, pl_module):
        self.seen.append(float(pl_module.ledger.loss))


# Sharpness


def test_the_sharpness_is_that_of_the_dense_hessian_at_the_last_weights(train, tracks):
    watch = Sharpness(every=1, tolerance=1e-10, products=65)
    trained = train(watch, max_epochs=7)
    objective = DerivativeMatching(scale="none")
    dense = hessian(trained, objective, next(iter(Windows(tracks, 1, shuffle=False))))
    found = watch.rows[-1]
    assert found["sharpness"] == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), abs=1e-9)
    assert found["sharpness_limit"] == pytest.approx(2 / 0.4)


def test_descent_on_full_batches_rises_to_the_edge_of_stability(train):
    """2-16-1 tanh, 40 states: within 5 % of 2/η, and the loss is not monotone any more."""
    watch, losses = Sharpness(every=25), Losses()
    train(watch, losses, max_epochs=1600)
    first, late = watch.rows[0], watch.rows[-12:]
    assert first["edge_of_stability"] < 0.8
    assert all(abs(row["edge_of_stability"] - 1) < 0.05 for row in late)
    rises = sum(b > a for a, b in zip(losses.seen[800:], losses.seen[801:], strict=False))
    assert rises > 100
    assert losses.seen[-1] < 0.02 * losses.seen[0]


def test_a_small_step_stays_below_it_and_its_loss_falls_at_every_step(train):
    watch, losses = Sharpness(every=25), Losses()
    optimizer = lambda w: torch.optim.SGD(w, lr=0.1)  # noqa: E731
    train(watch, losses, max_epochs=500, optimizer=optimizer)
    assert all(row["edge_of_stability"] < 0.5 for row in watch.rows)
    assert all(b < a for a, b in zip(losses.seen, losses.seen[1:], strict=False))


@pytest.mark.parametrize(
    ("optimizer", "limit"),
    [
        (lambda w: torch.optim.SGD(w, lr=0.02, momentum=0.9), 3.8 / 0.02),
        (lambda w: torch.optim.Adam(w, lr=0.02), 38 / 0.02),
        (lambda w: torch.optim.RMSprop(w, lr=0.02), 2 / 0.02),
    ],
)
def test_each_optimizer_has_its_own_limit(train, optimizer, limit):
    watch = Sharpness(every=5)
    train(watch, optimizer=optimizer)
    assert watch.rows[-1]["sharpness_limit"] == pytest.approx(limit)
    assert all(row["sharpness_residual"] <= 0.01 * row["sharpness"] for row in watch.rows)


def test_the_draw_is_the_same_whatever_the_batches(train):
    """Sharpness of the same weights: η = 0 but for rounding."""
    still = lambda w: torch.optim.SGD(w, lr=1e-30)  # noqa: E731
    found = []
    for batch in (None, 3):
        watch = Sharpness(every=1, tolerance=1e-10, products=65)
        train(watch, optimizer=still, batch_size=batch, max_epochs=1)
        found.append(watch.rows[-1]["sharpness"])
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_a_warm_up_from_zero_is_looked_at_once_it_moves(train):
    """One update an epoch, at rates of 0, 0.1, 0.2 ..."""
    watch = Sharpness(every=1)
    rise = lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda e: min(1.0, e / 4))  # noqa: E731
    train(watch, scheduler=rise, max_epochs=6)
    assert [row["updates"] for row in watch.rows] == [2, 3, 4, 5, 6]
    assert watch.rows[0]["sharpness_limit"] == pytest.approx(2 / 0.1)


# Spectra and minima, on a loss that is quadratic


@pytest.fixture
def linear():
    """A linear field on a linear oscillator: Hessians are known, and it can be fitted exactly."""

    def run(*callbacks, rate=0.2, momentum=0.0, decay=0.0, count=4, **given):
        springs = list(MassSpring().draw(range(count), simlearn.sample_times(9 - count, 0.3), 0))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            simulator = Simulator(LinearField(2), RK4(), 0.3)
        objective = DerivativeMatching(scale="none")
        trained = simlearn.fit(
            simulator,
            springs,
            objective=objective,
            optimizer=lambda w: torch.optim.SGD(w, lr=rate, momentum=momentum, weight_decay=decay),
            callbacks=list(callbacks),
            progress=False,
            **given,
        )
        return trained, objective, springs

    return run


def test_all_exponents_of_descent_on_a_quadratic(linear):
    watch = TrainingSpectrum(every=10, count=4, vectors=40)
    trained, objective, springs = linear(watch, max_epochs=80)
    values = torch.linalg.eigvalsh(hessian(trained, objective, next(iter(Windows(springs, 1)))))
    wanted = (1 - 0.2 * values).abs().log().sort(descending=True).values.tolist()
    found = [watch.rows[-1][f"training_exponent_{k}"] for k in (1, 2, 3, 4)]
    assert sum(found) == pytest.approx(sum(wanted), abs=1e-10)
    assert found == pytest.approx(wanted, abs=0.03)
    numbers = trained.provenance["training_dynamics"]["TrainingSpectrum"]["numbers"]
    assert 0 <= numbers["least_angle"] <= numbers["median_angle"] <= math.pi / 2


def test_the_exponents_of_a_heavy_ball_add_up(linear):
    watch = TrainingSpectrum(every=20, count=8)
    linear(watch, rate=0.1, momentum=0.8, max_epochs=60)
    found = [watch.rows[-1][f"training_exponent_{k}"] for k in range(1, 9)]
    # the first step of torch begins without memory, and each step shrinks volume by β⁴
    assert sum(found) == pytest.approx(4 * math.log(0.8), abs=1e-9)


def test_covariant_vectors_of_descent_on_a_quadratic_are_eigenvectors(linear):
    """η h of 0.8 and 1.5, so that they settle soon."""
    watch = TrainingSpectrum(every=10, count=4, vectors=300)
    trained, objective, springs = linear(watch, rate=30.0, count=1, max_epochs=300)
    dense = hessian(trained, objective, next(iter(Windows(springs, 1))))
    found = watch.covariant()[0][100]
    along = (found.T @ dense @ found).diagonal()
    torch.testing.assert_close(dense @ found, along * found, rtol=0, atol=1e-8)
    values = torch.linalg.eigvalsh(dense)
    torch.testing.assert_close(along.sort().values, values, rtol=0, atol=1e-8)


def test_the_exponent_at_an_interpolating_minimum_is_that_of_the_batches(linear):
    watch = SGDExponent(batches=60)
    trained, objective, springs = linear(watch, rate=0.3, batch_size=2, max_epochs=60)
    found = watch.found
    assert found["probe_loss"] < 1e-20
    windows = Windows(springs, 1, None, 2, seed=0)
    vector = None
    logs = []
    for epoch in range(61, 65):
        windows.set_epoch(epoch)
        for window in windows:
            if vector is None:
                whole = hessian(trained, objective, next(iter(Windows(springs, 1))))
                _, normal = torch.linalg.eigh(whole)
                vector = normal @ random_frame(1, 4, 1, 0)[0, :, 0]
            if len(logs) < 60:
                vector = vector - 0.3 * hessian(trained, objective, window) @ vector
                logs.append(float(vector.norm().log()))
                vector = vector / vector.norm()
    assert found["normal_directions"] == 4
    assert found["sgd_exponent"] == pytest.approx(sum(logs) / 60, abs=0.05)
    assert found["sgd_exponent"] < 0
    values = torch.linalg.eigvalsh(whole)
    assert found["gd_exponent"] == pytest.approx(
        float((1 - 0.3 * values).abs().log().max()), abs=1e-9
    )
    told = trained.provenance["training_dynamics"]["SGDExponent"]
    assert "can settle here" in told["caption"]


def test_weight_decay_bends_the_loss_in_every_direction(linear):
    """With full batches both exponents are those of I − η (H + decay)."""
    watch = SGDExponent(batches=400)
    trained, objective, springs = linear(watch, rate=0.3, decay=0.4, max_epochs=5)
    values = torch.linalg.eigvalsh(hessian(trained, objective, next(iter(Windows(springs, 1)))))
    wanted = float((1 - 0.3 * (values + 0.4)).abs().log().max())
    assert watch.found["gd_exponent"] == pytest.approx(wanted, abs=1e-9)
    assert watch.found["sgd_exponent"] == pytest.approx(wanted, abs=5e-3)


def test_whoever_does_not_move_any_more_has_no_exponent(linear):
    watch = SGDExponent(batches=10)
    fade = lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda e: 1 - e / 5)  # noqa: E731
    trained, *_ = linear(watch, scheduler=fade, max_epochs=5)
    assert watch.found == {}
    assert "training_dynamics" not in trained.provenance
