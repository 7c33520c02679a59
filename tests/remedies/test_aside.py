"""Evidence that chooses, and evidence that is kept aside."""

import pytest
import torch

import simlearn
from simlearn.remedies.aside import set_aside
from simlearn_mechanics import EmbeddedOscillator, Pendulum

TIMES = simlearn.sample_times(11, 0.1)
HELD_OUT = list(Pendulum().draw(range(5), TIMES, 1))


class Same(simlearn.DatasetGenerator):
    """Records that are what they are."""

    def draw(self, indices, times, seed):
        yield from Pendulum().draw(indices, times, 1)


class Broken(simlearn.DatasetGenerator):
    """A server that is down."""

    def draw(self, indices, times, seed):
        raise simlearn.DataError("The server is down.")
        yield


def test_a_generator_draws_what_is_kept_anew():
    (found,) = set_aside(HELD_OUT, (), Pendulum(), 0)
    assert found.choosing is HELD_OUT
    assert len(found.kept) == 5
    starts = torch.stack([one.x[0] for one in (*found.choosing, *found.kept)])
    assert len(starts.flatten(1).unique(dim=0)) == 10
    assert torch.equal(found.kept[0].t, HELD_OUT[0].t)
    assert "5 that Pendulum drew with another seed" in found.told
    (again,) = set_aside(HELD_OUT, (), Pendulum(), 0)
    assert torch.equal(again.kept[2].x, found.kept[2].x)


@pytest.mark.parametrize(
    ("generator", "why"),
    [(Same(), "the same ones whatever the seed"), (Broken(), "The server is down"), (None, "")],
)
def test_without_fresh_ones_every_other_trajectory_is_kept(generator, why):
    first, second, whole = set_aside(HELD_OUT, (), generator, 0)
    assert first.choosing == HELD_OUT[::2]
    assert first.kept == HELD_OUT[1::2]
    assert (second.choosing, second.kept) == (first.kept, first.choosing)
    assert (whole.choosing, len(whole.kept)) == (HELD_OUT, 0)
    assert why in first.told
    assert "3 of the 5 trajectories" in first.told


def test_fresh_ones_are_none_of_the_training():
    seed = simlearn.randomness.derived(0, 1)
    training = list(Pendulum().draw(range(5), TIMES, seed))
    assert "whatever the seed" in set_aside(HELD_OUT, training, Pendulum(), 0)[0].told


def test_of_one_trajectory_nothing_is_kept():
    (found,) = set_aside(HELD_OUT[:1], (), None, 0)
    assert not found.kept
    assert "nothing was kept aside" in found.told
    assert len(set_aside(HELD_OUT[:1], (), Pendulum(), 0)[0].kept) == 1


def test_a_plane_of_eight_sensors_is_drawn_in_the_same_plane():
    system = EmbeddedOscillator(columns=8)
    held_out = list(system.draw(range(3), TIMES, 1))
    (found,) = set_aside(held_out, (), system, 0)
    normal = torch.linalg.svd(torch.cat([one.x[:, 0] for one in held_out])).Vh[2:]
    assert float((found.kept[0].x[:, 0] @ normal.T).abs().max()) < 1e-10
