"""Windows: each exactly once an epoch, in an order that follows from (seed, epoch)."""

import collections
from types import SimpleNamespace

import pytest
import torch

from simlearn.component import ConfigError, DataError
from simlearn.data.module import TrajectoryData
from simlearn.data.windows import Windows
from simlearn.state import Topology, Trajectory


def track(number, steps=20, rows=2, topology=None, **changes):
    """States that say where they are from: 1000 · number + step, row / 10 and column / 100."""
    topology = topology or Topology.complete(rows)
    step = torch.arange(steps, dtype=torch.float64)
    mark = 1000.0 * number + step[:, None, None]
    x = mark + torch.arange(topology.rows)[:, None] / 10 + torch.arange(2) / 100
    fields = {"t": number + step / 8, "x": x, "topology": topology, "derivative": -x}
    return Trajectory(**{**fields, **changes})


def begins(window):
    """Where the windows of a batch begin, as (trajectory, step)."""
    firsts = window.topology.system.diff(prepend=torch.tensor([-1])) > 0
    return [divmod(int(v), 1000) for v in window.x[0, firsts, 0]]


def epoch(windows, number=0):
    windows.set_epoch(number)
    return [begin for window in windows for begin in begins(window)]


def expected(lengths, length, stride):
    return sorted((i, s) for i, n in enumerate(lengths) for s in range(0, n - length + 1, stride))


MIXED = [track(0), track(1, steps=11), track(2, rows=3), track(3, steps=4), track(4, rows=3)]


@pytest.mark.parametrize("batch_size", [None, 1, 4, 1000])
@pytest.mark.parametrize(("length", "stride"), [(5, 1), (5, 4), (2, 3), (1, 1)])
def test_every_window_appears_exactly_once_an_epoch(batch_size, length, stride):
    windows = Windows(MIXED, length, stride, batch_size)
    wanted = expected([20, 11, 20, 4, 20], length, stride)
    for number in range(3):
        assert sorted(epoch(windows, number)) == wanted
    assert windows.total == len(wanted)
    assert len(windows) == len(list(windows))
    assert batch_size is None or all(w.topology.num_systems <= batch_size for w in windows)


@pytest.mark.parametrize("tracks", [MIXED, MIXED[:2]], ids=["two graphs", "one graph"])
def test_epochs_differ_and_the_same_epoch_is_the_same_again(tracks):
    windows, again = (Windows(tracks, 5, 1, 4, seed=9) for _ in range(2))
    orders = [epoch(windows, number) for number in range(3)]
    assert orders[0] != orders[1] != orders[2] != orders[0]
    assert [epoch(again, number) for number in (2, 0, 1)] == [orders[2], orders[0], orders[1]]
    assert epoch(Windows(tracks, 5, 1, 4, seed=10)) != orders[0]


def test_without_shuffling_the_order_is_the_one_of_the_data():
    windows = Windows(MIXED[:2], 5, 4, 3, shuffle=False)
    assert epoch(windows, 0) == epoch(windows, 7) == expected([20, 11], 5, 4)


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_the_windows_and_none_is_seen_twice(world):
    ranks = [Windows(MIXED, 5, 1, 4, rank=rank, world=world) for rank in range(world)]
    everything = expected([20, 11, 20, 4, 20], 5, 1)
    for number in range(3):
        shares = [epoch(windows, number) for windows in ranks]
        seen = collections.Counter(begin for share in shares for begin in share)
        assert set(seen.values()) == {1}
        assert seen.keys() <= set(everything)
        assert len(everything) - len(seen) < world * len(ranks[0].groups)
        assert len({len(share) for share in shares}) == 1
        assert len({len(windows) for windows in ranks}) == 1


@pytest.mark.parametrize("stride", [None, 2])
def test_windows_lie_end_to_end_unless_told_otherwise(stride):
    data = TrajectoryData.of([track(0), track(1, steps=11)], stride=stride)
    data.trainer = SimpleNamespace(
        lightning_module=SimpleNamespace(
            objective=SimpleNamespace(length=lambda _: 5, epoch=lambda _: None), steps_per_call=3
        ),
        strategy=SimpleNamespace(root_device=torch.device("cpu")),
        global_rank=0,
        world_size=1,
        max_epochs=3,
        current_epoch=0,
    )
    data.setup("fit")
    bundles = list(data.train_dataloader())
    found = [place for bundle in bundles for window in bundle for place in begins(window)]
    assert sorted(found) == expected([20, 11], 5, stride or 4)


def test_bundles_hold_so_many_batches_and_lose_none():
    windows = Windows([track(0), track(1)], 4, 1, batch_size=5, bundle=3)
    bundles = list(windows)
    assert [len(bundle) for bundle in bundles] == [3, 3, 1]
    assert len(windows) == 3
    alone = Windows([track(0), track(1)], 4, 1, batch_size=5)
    for one, other in zip([w for b in bundles for w in b], alone, strict=True):
        assert torch.equal(one.x, other.x)


def test_the_length_of_windows_may_grow_with_the_epochs():
    windows = Windows([track(0)], lambda number: 3 + number, stride=None)
    for number, length in ((0, 3), (2, 5), (1, 4)):
        windows.set_epoch(number)
        assert {window.steps for window in windows} == {length}
        found = [place for window in windows for place in begins(window)]
        assert sorted(found) == expected([20], length, length - 1)
    with pytest.raises(DataError, match="needs 103 states"):
        windows.set_epoch(100)


def test_gathered_windows_are_slices_of_their_trajectories():
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(20, 2, 1, generator=rng, dtype=torch.float64)
    mask = torch.rand(20, 2, generator=rng) > 0.5
    tracks = [track(0, inputs=inputs, mask=mask), track(1, inputs=-inputs, mask=~mask)]
    for window in Windows(tracks, 5, 1, 4):
        parts = begins(window)
        assert window.topology.num_systems == len(parts)
        for system, (number, start) in enumerate(parts):
            rows = window.topology.system == system
            wanted = tracks[number].slice(start, start + 5)
            assert torch.equal(window.t[:, system], wanted.t)
            for name in ("x", "derivative", "inputs", "mask"):
                assert torch.equal(getattr(window, name)[:, rows], getattr(wanted, name))


def test_each_system_of_a_union_gets_the_times_of_its_window():
    pairs = [track(i, topology=Topology.isolated(3)) for i in range(2)]
    for window in Windows(pairs, 4, 3, 5):
        assert window.t.shape == (4, window.topology.num_systems)
        for row, (number, start) in enumerate(begins(window)):
            assert torch.equal(window.t[:, row], pairs[number].t[start : start + 4])


@pytest.mark.parametrize("name", ["system_attr", "node_attr", "edge_attr"])
def test_attributes_that_vary_are_gathered_to_their_own_windows(name):
    base = Topology.complete(3)
    length = {"system_attr": 1, "node_attr": 3, "edge_attr": 6}[name]
    values = [torch.arange(2.0 * length).reshape(-1, 2) + 10 * i for i in range(4)]
    tracks = [track(i, topology=base.replace(**{name: v})) for i, v in enumerate(values)]
    for window in Windows(tracks, 5, 4, 6):
        gathered = getattr(window.topology, name).reshape(-1, length, 2)
        for (number, _), found in zip(begins(window), gathered, strict=True):
            assert torch.equal(found, values[number])


def test_what_does_not_vary_belongs_to_one_topology_a_size():
    shared = Topology.complete(2).replace(system_attr=torch.ones(1, 1).double())
    windows = Windows([track(i, topology=shared) for i in range(3)], 5, 1, 4)
    by_size = collections.defaultdict(set)
    for number in range(2):
        windows.set_epoch(number)
        for window in windows:
            by_size[window.topology.num_systems].add(id(window.topology))
    assert by_size[4]
    assert all(len(ids) == 1 for ids in by_size.values())


def test_states_that_were_lost_are_in_no_window():
    broken = track(0, status="diverged", finite_steps=9)
    assert sorted(epoch(Windows([broken], 4))) == expected([9], 4, 1)


def test_data_shorter_than_a_window_are_refused_with_both_lengths():
    with pytest.raises(DataError, match=r"needs 30 states, the longest of 5 .* has 20"):
        Windows(MIXED, 30)
    with pytest.raises(DataError, match="longest of 1 trajectories has 9"):
        Windows([track(0, status="diverged", finite_steps=9)], 10)
    with pytest.raises(DataError, match="longest of 0"):
        Windows([], 2)


@pytest.mark.parametrize("arguments", [{"length": 0}, {"stride": 0}, {"batch_size": 0}], ids=str)
def test_sizes_below_one_are_refused(arguments):
    with pytest.raises(ConfigError, match="at least 1"):
        Windows(MIXED, **{"length": 5, **arguments})


def test_trajectories_with_a_time_for_each_system_are_refused():
    one = track(0, topology=Topology.isolated(2), t=torch.zeros(20, 2))
    with pytest.raises(DataError, match="one time axis"):
        Windows([one], 5)
