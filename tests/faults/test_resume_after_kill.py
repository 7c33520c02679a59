"""Fault rows 1 and 2: killed at any moment, resumed, and no bit of the result differs."""

import os
import random
import signal
import time

import pytest
import torch

from simlearn.data.generate import sample_times
from simlearn.data.windows import Windows
from simlearn.training.ladder.evidence import regress
from simlearn_mechanics import MassSpring
from tests.faults.kills import CONFIGS, FIT, PHASES, WEIGHTS, folder, trials


def killed(forks, place, name, kills, seed, phases):
    """Where so many deaths were, after none of which anything differed."""
    places = []
    for deaths, wrong in trials(forks, place, name, kills, seed, phases):
        assert not wrong, (deaths, wrong)
        places += deaths
    return places


@pytest.mark.fault(1)
@pytest.mark.fault(2)
@pytest.mark.parametrize("name", ["adam", "curriculum"])
def test_a_training_that_is_killed_ends_as_if_nothing_had_been(forks, tmp_path, name):
    places = killed(forks, tmp_path, name, 3, 0, ("saving", "step", "validation"))
    assert any("saving" in inside for inside in places)


@pytest.mark.slow
@pytest.mark.fault(1)
@pytest.mark.fault(2)
@pytest.mark.parametrize("name", CONFIGS)
def test_forty_eight_kills_change_no_bit(forks, tmp_path, name):
    """Twelve for each config, in every phase, some of them while a training is resumed."""
    places = killed(forks, tmp_path, name, 12, 1, PHASES)
    assert any("saving" in inside for inside in places)
    assert any("step" in inside for inside in places)


@pytest.mark.slow
@pytest.mark.fault(1)
def test_a_clock_kills_as_well(forks, tmp_path, sha256):
    """Not at an event, but whenever it happens: also before the folder is there."""
    code, process = forks.run(folder(tmp_path / "whole", "adam"), *FIT)
    assert code == 0, process.said()
    rng = random.Random(2)
    for number in range(8):
        here = folder(tmp_path / str(number), "adam")
        process = forks.start(here, *FIT)
        time.sleep(rng.uniform(0.0, 2.0))
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() in (-9, 0)
        code, process = forks.run(here, *FIT, "--resume")
        assert code == 0, process.said()
        assert sha256(here / WEIGHTS) == sha256(tmp_path / "whole" / WEIGHTS)


@pytest.mark.fault(1)
def test_without_the_place_in_the_data_the_bits_differ(forks, tmp_path, sha256):
    """What the tests above see is not trivial: a training that loses a batch ends elsewhere."""
    first, second = (folder(tmp_path / name, "adam") for name in ("one", "two"))
    assert forks.run(first, *FIT)[0] == 0
    assert forks.run(second, *FIT, "--trainer.limit_train_batches", "3")[0] == 0
    assert sha256(first / WEIGHTS) != sha256(second / WEIGHTS)


@pytest.mark.fault(1)
def test_a_closed_form_has_the_same_bits_wherever_it_is_worked_out():
    """A training that is killed before its first checkpoint solves again, elsewhere in memory."""
    rows = torch.randn(60, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    penalised = torch.tensor([0.0] * 7 + [1.0] * 5, dtype=torch.float64)
    rng, found = random.Random(0), set()
    for _ in range(60):
        between = [torch.empty(rng.randrange(1, 3000)) for _ in range(rng.randrange(60))]
        found.add(tuple(regress(rows, penalised).weights.tolist()))
        del between
    assert len(found) == 1


@pytest.mark.fault(1)
def test_the_orders_of_the_epochs_differ():
    tracks = list(MassSpring().draw(range(2), sample_times(30, 0.1), 0))
    loader, seen = Windows(tracks, 4, batch_size=5, bundle=2), []
    for epoch in range(3):
        loader.set_epoch(epoch)
        seen.append([float(window.x[0, 0, 0]) for bundle in loader for window in bundle])
    assert len({tuple(order) for order in seen}) == 3
    again = Windows(tracks, 4, batch_size=5, bundle=2)
    again.set_epoch(1)
    iterator = iter(again)
    next(iterator)
    place = again.state_dict()
    resumed = Windows(tracks, 4, batch_size=5, bundle=2)
    resumed.load_state_dict(place)
    resumed.set_epoch(1)
    left = [float(window.x[0, 0, 0]) for bundle in resumed for window in bundle]
    assert left == seen[1][2:]
    assert len(list(resumed)) == len(resumed), "the next iteration is whole"
