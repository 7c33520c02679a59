"""Where nodes stand in the picture of a graph."""

import numpy as np
import pytest
import torch

from simlearn.forecasting.pictures import _laid_out


def ring(first, count):
    here = torch.arange(count)
    return first + torch.stack([here, here.roll(1)])


def spread(place):
    return float(np.linalg.norm(place.max(0) - place.min(0)))


def test_nodes_that_are_alone_do_not_push_the_others_into_a_corner():
    edges = torch.cat([ring(0, 40), ring(40, 3)], dim=1)
    place, how = _laid_out(60, edges)
    main, small, alone = place[:40], place[40:43], place[43:]
    assert "smaller parts below" in how
    assert spread(main) > 0.7 * spread(place)
    assert small[:, 1].max() < main[:, 1].min()
    assert alone[:, 1].max() < main[:, 1].min()
    apart = np.linalg.norm(alone[:, None] - alone, axis=2) + np.eye(17)
    assert apart.min() > 0.05


@pytest.mark.parametrize("alone", [1, 5])
def test_a_graph_of_one_part_or_of_none_is_laid_out(alone):
    place, how = _laid_out(40, ring(0, 40))
    assert spread(place) > 1
    assert "below" not in how
    place, _ = _laid_out(alone, torch.zeros(2, 0, dtype=torch.int64))
    assert len(np.unique(place, axis=0)) == alone
