"""The forecast of the final loss in a training."""

import math

import pytest
import torch

from simlearn import ConfigError
from simlearn.analysis.training.final_loss import Early, shipped
from simlearn.training.objectives import DerivativeMatching
from simlearn_training_dynamics.callbacks import FinalLoss, Sharpness, TrainingExponent, forecast


def test_it_is_told_once_at_a_tenth_with_what_became_of_it(train):
    watch = FinalLoss()
    trained = train(watch, max_epochs=200)
    (row,) = watch.rows
    assert row["updates"] == 20
    assert row["forecast_loss_low"] < row["forecast_loss"] < row["forecast_loss_high"]
    told = trained.provenance["training_dynamics"]["FinalLoss"]
    assert told["numbers"]["final_loss"] == pytest.approx(trained.provenance["loss"], rel=0.05)
    assert told["numbers"]["skill"] == shipped("loss").skill
    assert "After 20 of 200 steps" in told["caption"]
    assert "on systems it had not seen" in told["caption"].lower()


class Noted(DerivativeMatching):
    """Keeps the losses of the live training; a copy of it keeps its own."""

    def __init__(self):
        super().__init__(scale="none")
        self.told = []

    def loss(self, simulator, window):
        found = super().loss(simulator, window)
        self.told.append(float(found.detach()))
        return found


@pytest.mark.parametrize(("epochs", "at"), [(100, 140), (60, 84)])
def test_the_loss_of_every_step_counts_as_in_the_study(train, epochs, at):
    """Minibatches, 14 a call of Lightning, and a tenth that ends inside a call."""
    watch, noted = FinalLoss(), Noted()
    train(watch, objective=noted, batch_size=3, max_epochs=epochs)
    (row,) = watch.rows
    assert watch.planned == epochs * 14 == len(noted.told)
    assert watch.found["steps_of_forecast"] == at <= row["updates"] < at + 14
    losses = noted.told[:at]  # losses[0] is that of the first weights
    wanted = shipped("loss").forecast(Early.of(range(1, at + 1), losses), losses[0])
    names = ("forecast_loss", "forecast_loss_low", "forecast_loss_high")
    assert [row[name] for name in names] == pytest.approx(wanted, rel=1e-12)
    assert watch.found["first_loss"] == losses[0]
    late = noted.told[-round(0.025 * len(noted.told)) :]
    mean = sum(map(math.log, late)) / len(late)
    assert watch.found["final_loss"] == pytest.approx(math.exp(mean), rel=1e-12)


def test_of_very_many_steps_some_are_kept_from_the_first_on(train, monkeypatch):
    monkeypatch.setattr(forecast, "MOST", 20)
    watch, noted = FinalLoss(), Noted()
    train(watch, objective=noted, max_epochs=400)
    (row,) = watch.rows
    steps = range(1, 41, 2)
    losses = [noted.told[step - 1] for step in steps]
    wanted = shipped("loss").forecast(Early.of(steps, losses), losses[0])
    assert row["forecast_loss"] == pytest.approx(wanted[0], rel=1e-12)


@pytest.mark.parametrize(("given", "planned"), [({"max_steps": 30}, 210), ({"max_steps": 7}, 49)])
def test_steps_of_lightning_are_calls_of_several(train, given, planned):
    """Seven batches an epoch, all of them in one call."""
    watch = FinalLoss()
    trained = train(watch, batch_size=6, max_epochs=-1, **given)  # 7 batches of 40 windows
    assert watch.planned == planned == trained.provenance["optimizer"]["updates"]


@pytest.mark.parametrize("use", ["exponents", "both"])
def test_exponents_come_from_the_callbacks_that_measure_them(train, use):
    watch = FinalLoss(use)
    train(TrainingExponent(every=5), Sharpness(every=5), watch, max_epochs=100)
    assert watch.rows[0]["forecast_loss"] > 0


class Never(Sharpness):
    """The learning rate may be zero all the time."""

    def look(self):
        return {}


@pytest.mark.parametrize(
    "watches",
    [
        [TrainingExponent(every=5), FinalLoss("both")],
        [TrainingExponent(every=5), FinalLoss("both"), Sharpness(every=5)],
        [TrainingExponent(every=11), Sharpness(every=5), FinalLoss("exponents")],
    ],
    ids=["missing", "after it", "too seldom"],
)
def test_exponents_that_come_too_late_are_refused_before_the_first_step(train, watches):
    noted = Noted()
    with pytest.raises(ConfigError, match=r"before it, each with `every` at most .* steps, 10"):
        train(*watches, objective=noted, max_epochs=100)
    assert noted.told == []


def caption(trained):
    return trained.provenance["training_dynamics"]["FinalLoss"]["caption"]


@pytest.mark.parametrize("use", ["exponents", "both"])
def test_exponents_that_were_not_found_do_not_end_a_training(train, use):
    watch = FinalLoss(use)
    trained = train(TrainingExponent(every=5), Never(every=5), watch, max_epochs=100)
    assert watch.rows == []
    assert trained.provenance["optimizer"]["updates"] == 100
    assert "There is no forecast: A forecast from" in caption(trained)


def test_a_short_training_has_no_forecast_and_says_so(train):
    watch = FinalLoss()
    assert "at least 8 positive losses and no others, got 3" in caption(train(watch, max_epochs=30))
    assert watch.rows == []


def test_a_training_that_ends_before_a_tenth_says_so(train):
    class Stop(TrainingExponent):
        def look(self):
            self.copy.trainer.should_stop = self.copy.updates >= 5
            return super().look()

    trained = train(FinalLoss(), Stop(every=1), max_epochs=200)
    assert "The training ended before step 20 of 200" in caption(trained)


def test_compiled_steps_that_tell_only_some_losses_are_refused(train):
    with pytest.raises(ConfigError, match="compiled steps tell only the last"):
        train(FinalLoss(), optimizer=None, compile=True)


def test_an_endless_training_has_no_end_to_forecast(train):
    with pytest.raises(ConfigError, match="how long the training is"):
        train(FinalLoss(), max_epochs=-1, max_time="00:00:01:00")


def test_a_training_that_stops_early_says_so(train):
    watch = FinalLoss()
    stop = torch.optim.SGD

    class Stop(TrainingExponent):
        def look(self):
            self.copy.trainer.should_stop = self.copy.module.ledger.updates >= 60
            return super().look()

    trained = train(watch, Stop(every=1), max_epochs=200, optimizer=lambda w: stop(w, lr=0.2))
    told = trained.provenance["training_dynamics"]["FinalLoss"]
    assert "the training ended before" in told["caption"]
    assert "final_loss" not in told["numbers"]
    assert math.isfinite(told["numbers"]["forecast_loss"])


def test_an_unknown_use_is_refused():
    with pytest.raises(ConfigError, match="loss, exponents, both"):
        FinalLoss("luck")
