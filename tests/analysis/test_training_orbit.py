"""How far from the path of another training, whatever the time."""

import math

import pytest
import torch

from simlearn.analysis.training import Descent, Path, to_orbit, training_map
from simlearn.component import ConfigError

F64 = torch.float64


def test_the_distance_to_a_circle_is_the_difference_of_radii():
    angle = torch.linspace(0, 2 * math.pi, 4001, dtype=F64)
    circle = torch.stack([angle.cos(), angle.sin()], -1)
    points = torch.tensor([[0.0, 1.5], [0.25, 0.0], [0.0, -1.0], [math.sqrt(0.5)] * 2], dtype=F64)
    found, where = to_orbit(points, circle)
    wanted = torch.tensor([0.5, 0.75, 0.0, 0.0], dtype=F64)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        where[:3], torch.tensor([1000.0, 0.0, 3000.0], dtype=F64), rtol=0, atol=1.0
    )


def test_what_is_small_is_not_lost_far_from_the_origin():
    path = torch.stack([torch.linspace(0, 1, 11), torch.full((11,), 1.0)], -1).to(F64) * 1e3
    point = torch.tensor([[255.0, 1000.0 + 1e-7]], dtype=F64)
    found, where = to_orbit(point, path)
    assert float(found) == pytest.approx(1e-7, rel=1e-5)
    assert float(where) == pytest.approx(2.55, abs=1e-6)


def test_a_path_of_one_point_and_one_that_rests():
    here = torch.tensor([[1.0, 0.0]], dtype=F64)
    point = torch.tensor([[1.0, 2.0]], dtype=F64)
    assert float(to_orbit(point, here)[0]) == 2.0
    assert float(to_orbit(point, here.repeat(5, 1))[0]) == 2.0


@pytest.mark.parametrize(("points", "orbit"), [((2, 3), (0, 3)), ((2, 3), (4, 2)), ((2, 3), (3,))])
def test_what_is_no_path_is_refused(points, orbit):
    with pytest.raises(ConfigError, match="at least 1"):
        to_orbit(torch.zeros(points), torch.zeros(orbit))


def test_a_training_that_only_lags_is_on_the_orbit():
    """From a start a step ahead on the way down a quadratic: apart in time, not in space."""
    h = torch.tensor([1.0, 0.3], dtype=F64)
    motion = training_map(Descent(0.01), lambda w, number: (h * w * w).sum() / 2)
    first = torch.tensor([[1.0, 1.0]], dtype=F64)
    lagging = first - 0.05 * h * first
    paths = []
    for x in (first, lagging):
        states = [x]
        for k in range(300):
            states.append(motion(states[-1], float(k)))
        paths.append(torch.cat(states))
    apart = (paths[0] - paths[1]).norm(dim=-1)
    across, _ = to_orbit(paths[1], paths[0])
    # an Euler step of 0.05 is off the path of five steps of 0.01 by its second order
    assert float((across[:100] / apart[:100]).max()) < 0.05


def test_a_path_keeps_even_intervals_however_long_it_gets():
    path = Path(8)
    for step in range(0, 1000, 5):
        path.add(step, torch.tensor([float(step)]), torch.tensor([-float(step)]))
    assert 4 <= len(path.steps) <= 8
    gaps = {b - a for a, b in zip(path.steps, path.steps[1:], strict=False)}
    assert len(gaps) == 1
    one, other = path.stacked()
    assert one[:, 0].tolist() == [float(s) for s in path.steps]
    torch.testing.assert_close(one, -other)


@pytest.mark.parametrize("capacity", [2, 7])
def test_a_path_must_have_room(capacity):
    with pytest.raises(ConfigError, match="even number"):
        Path(capacity)
