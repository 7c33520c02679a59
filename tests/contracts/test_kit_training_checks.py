"""The kit can fail: objectives, stabilizers and checks with one fault each."""

import itertools

import pytest
import torch

import simlearn
from simlearn import Finding, Metric
from simlearn.testing import asked

ASPECTS = {a.__name__: a for _, _, aspects in asked.ASKED for a in aspects}
count = itertools.count()


class Loss(simlearn.Objective):
    """Abstract: two states."""

    def length(self, training):
        return 2


class Flat(Loss):
    """No weight matters."""

    def loss(self, simulator, window):
        return sum(p.sum() for p in simulator.parameters()) * 0 + 1


class NanBlind(Loss):
    """Leaves NaN out of the mean."""

    def loss(self, simulator, window):
        return (simulator.step(window.x[0], window.topology) - window.x[1]).square().nanmean()


class NothingToDo(simlearn.Stabilizer):
    """Overrides nothing."""

    bias = "It does nothing worth a name."


class Poison(simlearn.SplitField):
    """NaN."""

    def drift(self, p, topology):
        return p * torch.nan

    def kick(self, t, q, topology):
        return q

    def energy(self, x, topology):
        return topology.per_system(x.sum(-1))


class Wrapping(simlearn.Stabilizer):
    """Puts something else in the place of the dynamics."""

    bias = "Replaces what was learned by nonsense."

    def wrap(self, dynamics):
        return dynamics if isinstance(dynamics, simlearn.Map) else Poison()


class InPlace(simlearn.Stabilizer):
    """Writes into the caller's window."""

    bias = "Moves the data of the caller away."

    def perturb(self, window, simulator, rng):
        window.x[0] += 1
        return window


class RowPenalty(simlearn.Stabilizer):
    """Penalises by row."""

    bias = "Pulls every row to the origin alone."

    def penalty(self, simulator, window):
        return simulator.step(window.x[0], window.topology).square().sum(-1)


class DicingPrepare(simlearn.Stabilizer):
    """Draws from the global generator."""

    bias = "None, but for the dice it throws."

    def prepare(self, simulator, training):
        torch.rand(1)


class Passing(simlearn.Check):
    """Passes everything."""

    def run(self, simulator, evidence):
        return Finding.of([Metric("made up", 1.0, 2.0)], "All is well.")


class Speechless(simlearn.Check):
    """Says nothing."""

    def run(self, simulator, evidence):
        return Finding.of([Metric("made up", 1.0, 2.0)], "")


class Meddling(simlearn.Check):
    """Trains."""

    def run(self, simulator, evidence):
        with torch.no_grad():
            for value in simulator.parameters():
                value.mul_(2)
        return Finding.of([Metric("made up", 1.0, 2.0)], "Better now.")


class Moody(simlearn.Check):
    """Says something else each time."""

    def run(self, simulator, evidence):
        return Finding.of([Metric("mood", float(next(count)))], "Who knows.")


class Nameless(simlearn.Check):
    """Two metrics of one name."""

    def run(self, simulator, evidence):
        return Finding.of([Metric("twin", 1.0), Metric("twin", 2.0)], "Which is which?")


class Lenient(simlearn.Check):
    """Passes although a metric is NaN."""

    def run(self, simulator, evidence):
        return Finding("pass", (Metric("nothing", float("nan")),), "Never mind.")


class Raising(simlearn.Check):
    """Breaks where the simulator does."""

    def run(self, simulator, evidence):
        rolled = simulator.rollout(evidence.held_out[0].x[0], 100)
        raise ZeroDivisionError(rolled.status)


@pytest.mark.parametrize(
    ("cls", "aspect", "told"),
    [
        (Flat, "loss_is_a_scalar_with_a_gradient", "no weight has a gradient"),
        (NanBlind, "nan_data_never_look_good", "data of NaN cost"),
        (NothingToDo, "overrides_something_and_says_its_bias", None),
        (Wrapping, "wrapped_dynamics_still_run", None),
        (InPlace, "perturb_is_a_pure_function", "in place"),
        (RowPenalty, "penalty_is_a_scalar_or_none", "not a scalar"),
        (DicingPrepare, "training_hooks_leave_the_global_rng_alone", None),
        (Speechless, "judges_or_declines", "in a paragraph"),
        (Meddling, "leaves_the_simulator_alone", "changed dynamics.stiffness"),
        (Moody, "is_repeatable", None),
        (Nameless, "names_its_metrics", "share a name"),
        (Lenient, "names_its_metrics", "although nothing is nan"),
        (Passing, "never_passes_a_broken_simulator", "passes a simulator whose rollout blows up"),
    ],
)
def test_it_fails(cls, aspect, told):
    with pytest.raises(AssertionError, match=told):
        ASPECTS[aspect](cls)


def test_only_errors_of_simlearn_may_leave_a_check():
    with pytest.raises(ZeroDivisionError):
        ASPECTS["never_passes_a_broken_simulator"](Raising)
