"""The trajectory: what it refuses, slices, casts."""

import pytest
import torch

from simlearn.component import DataError
from simlearn.state import Topology, Trajectory

STEPS = 10


def track(**changes):
    topology = Topology.complete(3, ("a", "b", "c")).replace(
        edge_attr=torch.ones(6, 1, dtype=torch.float64)
    )
    count = torch.arange(STEPS, dtype=torch.float64)
    x = count[:, None, None] + torch.arange(3.0)[:, None] / 10 + torch.arange(2.0) / 100
    fields = {
        "t": 0.5 * count,
        "x": x,
        "topology": topology,
        "derivative": -x,
        "inputs": 2 * x[..., :1],
        "mask": x[..., 0] > 4,
    }
    return Trajectory(**{**fields, **changes})


@pytest.mark.parametrize("shape", [(STEPS, 3), (STEPS, 4, 2), (STEPS, 1, 3, 2)])
def test_states_of_another_shape_are_refused(shape):
    with pytest.raises(DataError, match=r"\[steps, rows, dim\] on 3 rows"):
        track(x=torch.zeros(shape))


@pytest.mark.parametrize("name", ["t", "derivative", "inputs", "mask"])
def test_a_field_of_another_length_is_refused(name):
    with pytest.raises(DataError, match=f"{name} has 9 steps, the states have 10"):
        track(**{name: getattr(track(), name)[:9]})


def test_every_state_counts_as_finite_until_told_otherwise():
    assert track().finite_steps == STEPS
    assert track(finite_steps=0).finite_steps == 0
    assert (track().steps, track().dim) == (STEPS, 2)


@pytest.mark.parametrize(
    ("start", "stop", "every"), [(0, None, 1), (3, 7, 1), (1, None, 3), (2, 9, 4)]
)
def test_a_slice_takes_everything_that_belongs_to_its_states(start, stop, every):
    whole = track()
    part = whole.slice(start, stop, every)
    kept = list(range(STEPS))[start:stop:every]
    assert part.steps == part.finite_steps == len(kept)
    for name in ("t", "x", "derivative", "inputs", "mask"):
        assert torch.equal(getattr(part, name), getattr(whole, name)[kept])
    assert part.topology is whole.topology


def test_a_slice_takes_the_times_of_every_system():
    topology = Topology.isolated(3)
    t = torch.arange(3.0 * STEPS).reshape(STEPS, 3)
    part = Trajectory(t, torch.zeros(STEPS, 3, 2), topology).slice(2, 5)
    assert torch.equal(part.t, t[2:5])


@pytest.mark.parametrize(
    ("start", "stop", "every", "finite"),
    [(0, None, 1, 6), (0, 4, 1, 4), (2, None, 1, 4), (0, None, 4, 2), (7, None, 1, 0)],
)
def test_a_slice_does_not_make_lost_states_finite(start, stop, every, finite):
    part = track(status="diverged", finite_steps=6).slice(start, stop, every)
    assert part.finite_steps == finite


def test_to_casts_real_values_and_leaves_ints_and_bools_alone():
    whole = track(inputs=torch.ones(STEPS, 3, 1, dtype=torch.int64))
    single = whole.to("cpu", torch.float32)
    kinds = {"t": torch.float64, "x": torch.float32, "derivative": torch.float32,
             "inputs": torch.int64, "mask": torch.bool}  # fmt: skip
    assert {name: getattr(single, name).dtype for name in kinds} == kinds
    assert single.topology.edge_attr.dtype == torch.float32
    assert single.topology.node_type.dtype == torch.int64
    assert single.topology.graph is whole.topology.graph
    torch.testing.assert_close(single.x.double(), whole.x, rtol=1e-6, atol=0)


def test_to_without_a_dtype_keeps_every_dtype_and_the_verdict():
    whole = track(status="left_bound", finite_steps=4)
    moved = whole.to("cpu")
    assert (moved.status, moved.finite_steps) == ("left_bound", 4)
    assert torch.equal(moved.x, whole.x)
    assert moved.x.dtype == torch.float64
