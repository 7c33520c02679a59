"""Twins against trainings that the framework runs twice."""

import math
from dataclasses import replace

import pytest
import torch

from simlearn.analysis.training import directions
from simlearn.training.objectives import MultiStep, OneStep
from simlearn_stabilizers import NoiseInjection
from simlearn_training_dynamics.callbacks import OrbitalStability, TrainingExponent


def flat(simulator):
    return torch.nn.utils.parameters_to_vector(simulator.parameters()).detach()


WAYS = {
    "descent": {},
    "minibatches, noise, momentum": {
        "batch_size": 4,
        "stabilizers": [NoiseInjection(0.1)],
        "optimizer": lambda w: torch.optim.SGD(w, lr=0.05, momentum=0.9),
        "objective": OneStep(),
        "clip": 1.0,
    },
    "growing rollouts, a schedule": {
        "optimizer": lambda w: torch.optim.SGD(w, lr=0.05),
        "scheduler": lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5),
        "objective": MultiStep(4, start=1, grow_over=6),
        "max_epochs": 12,
    },
    "Adam": {"optimizer": lambda w: torch.optim.Adam(w, lr=0.01), "batch_size": 10},
}


def rounded(track):
    """The numbers that a training in float32 sees."""
    slope = track.derivative.float().double()
    return replace(track, x=track.x.float().double(), derivative=slope)


@pytest.mark.parametrize(("dtype", "near"), [("float64", 1e-6), ("float32", 1e-4)])
@pytest.mark.parametrize("way", WAYS)
def test_the_exponent_is_that_of_two_trainings_by_hand(train, tracks, way, dtype, near):
    """A second training by the framework itself, begun ε apart: ln(d/ε)/K."""
    size, first, data = 1e-8, flat(train(max_epochs=0)), [rounded(one) for one in tracks]
    twin, orbit = TrainingExponent(every=1, twins=1, size=size), OrbitalStability(1, size=size)
    train(twin, orbit, data=data, dtype=dtype, **WAYS[way])
    epsilon = size * float(first.norm())
    one = train(data=data, **WAYS[way])
    other = train(moved=epsilon * directions(len(first), 1, 0)[0], data=data, **WAYS[way])
    apart = float((flat(one) - flat(other)).norm())
    steps = one.provenance["optimizer"]["updates"]
    assert twin.rows[-1]["training_exponent"] == pytest.approx(
        math.log(apart / epsilon) / steps, abs=near
    )
    assert orbit.rows[-1]["twin_distance"] == pytest.approx(apart / epsilon, rel=10 * near)
    assert orbit.rows[-1]["orbit_distance"] <= orbit.rows[-1]["twin_distance"]


def test_twins_of_a_training_in_single_precision_live_in_double(train):
    exact, rounded = (TrainingExponent(every=20, twins=2) for _ in range(2))
    train(exact, max_epochs=60)
    train(rounded, max_epochs=60, dtype="float32")
    assert rounded.rows[-1]["training_exponent"] == pytest.approx(
        exact.rows[-1]["training_exponent"], abs=1e-4
    )


def test_a_training_at_rest_has_no_exponent(train):
    watch = TrainingExponent(every=1, twins=3)
    told = train(watch, optimizer=lambda w: torch.optim.SGD(w, lr=1e-12))
    assert watch.rows[-1]["training_exponent"] == pytest.approx(0.0, abs=1e-9)
    caption = told.provenance["training_dynamics"]["TrainingExponent"]["caption"]
    assert "neither parts nor gathers" in caption
