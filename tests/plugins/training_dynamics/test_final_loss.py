"""The forecast of the final loss in a training."""

import math

import pytest
import torch

from simlearn import ConfigError
from simlearn.analysis.training.final_loss import shipped
from simlearn_training_dynamics.callbacks import FinalLoss, Sharpness, TrainingExponent


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


def test_minibatches_and_bundles_are_counted(train):
    watch = FinalLoss()
    train(watch, batch_size=3, max_epochs=100)  # 14 batches of 40 windows
    (row,) = watch.rows
    assert watch.planned == 100 * 14
    assert row["updates"] == 140


@pytest.mark.parametrize("use", ["exponents", "both"])
def test_exponents_come_from_the_callbacks_that_measure_them(train, use):
    watch = FinalLoss(use)
    train(TrainingExponent(every=5), Sharpness(every=5), watch, max_epochs=100)
    assert watch.rows[0]["forecast_loss"] > 0
    with pytest.raises(ConfigError, match="needs TrainingExponent and Sharpness"):
        train(TrainingExponent(every=5), FinalLoss(use))
    with pytest.raises(ConfigError, match="needs the exponent of the training"):
        train(TrainingExponent(every=50), Sharpness(every=5), FinalLoss(use), max_epochs=100)


def test_a_short_training_has_no_forecast(train):
    watch = FinalLoss()
    trained = train(watch, max_epochs=30)
    assert watch.rows == []
    assert "training_dynamics" not in trained.provenance


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
