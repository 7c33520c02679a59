"""Randomness that follows from the place: another place, other numbers."""

import itertools

import pytest
import torch

from simlearn.randomness import derived, generator


def test_the_same_place_gives_the_same_numbers():
    first, second = (torch.randn(8, generator=generator(3, 1, 4)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("length", [1, 2, 4, 5])
def test_places_of_one_length_all_differ(length):
    places = list(itertools.product(range(3), repeat=length))
    assert len({derived(*place) for place in places}) == len(places)


def test_a_seed_fits_a_torch_generator():
    assert all(0 <= derived(seed, 1) < 2**63 for seed in range(200))


def test_places_of_different_lengths_differ():
    places = [(5,), (5, 0), (5, 0, 0), (5, 0, 0, 0), (5, 0, 0, 0, 0), (5, 0, 0, 0, 0, 0)]
    assert len({derived(*place) for place in places}) == len(places)


def test_a_large_seed_is_not_a_small_one_with_another_key():
    assert derived(2**32) != derived(0, 1)
