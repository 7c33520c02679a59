"""What an import found: counts, ranges, steps, and the energy of every direction."""

import numpy as np
import pytest
import torch

from simlearn.data.importing import Census, Columns
from simlearn.state import Topology, Trajectory


def trajectory(x, t=None, topology=None, **parts):
    x = torch.as_tensor(x, dtype=torch.float64)
    t = torch.arange(len(x)) * 0.5 if t is None else torch.as_tensor(t)
    return Trajectory(t.double(), x, topology or Topology.isolated(x.shape[1]), **parts)


def test_counts_and_ranges(rng):
    a, b = rng.normal(size=(5, 1, 2)), rng.normal(size=(8, 1, 2))
    census = Census.of([trajectory(a), trajectory(b)], ["q", "v"])
    told = census.to_json()
    assert told["trajectories"] == 2
    assert told["length"] == [5, 8]
    assert told["samples"] == 13
    assert told["step"] == 0.5
    assert told["time"] == [0.0, 3.5]
    both = np.concatenate([a, b])
    assert told["low"] == both.min((0, 1)).tolist()
    assert told["high"] == both.max((0, 1)).tolist()
    assert "5 to 8 samples, 13 in all" in census.to_text()
    assert "step 0.5" in census.to_text()


def test_irregular_steps_are_told():
    census = Census.of([trajectory(np.zeros((3, 1, 1)), [0.0, 1.0, 1.25])])
    assert census.step is None
    assert "irregular steps from 0.25 to 1" in census.to_text()


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_directions_are_those_of_the_correlation(rng, shift):
    """Against numpy over all rows at once, also far from zero."""
    mix = rng.normal(size=(3, 3))
    x = rng.normal(size=(400, 3)) @ mix + shift
    census = Census.of([trajectory(part[:, None]) for part in np.split(x, [10, 150])])
    wanted = np.linalg.eigvalsh(np.corrcoef(x.T))[::-1] / 3
    assert np.allclose([share for share, _ in census.directions()], wanted, atol=1e-8)


def test_a_direction_without_energy_is_told(rng):
    q = rng.normal(size=(50, 1, 1))
    census = Census.of([trajectory(np.concatenate([q, -2 * q], 2))], ["a", "b"])
    (first, made), (second, _) = census.directions()
    assert first == pytest.approx(1.0)
    assert second == pytest.approx(0.0, abs=1e-12)
    assert made in ("+0.71 a -0.71 b", "-0.71 a +0.71 b", "+0.71 b -0.71 a")
    assert "1 of 2 directions carry almost no energy" in census.to_text()


def test_masked_samples_do_not_count():
    x = np.array([[[1.0]], [[99.0]], [[2.0]]])
    mask = torch.tensor([[True], [False], [True]])
    census = Census.of([trajectory(x, mask=mask)])
    assert census.masked == 1
    assert (census.low.tolist(), census.high.tolist()) == ([1.0], [2.0])


def test_constant_columns():
    x = np.stack([np.full(4, 0.1), np.arange(4.0), np.full(4, 1e9)], 1)[:, None]
    x[2, 0, 2] += 1e-7
    census = Census.of([trajectory(x)])
    assert census.constant() == {0: 0.1, 2: 1e9}
    census.add(trajectory(x + 1))
    assert census.constant() == {}


def test_huge_numbers_and_systems_of_several_sizes(rng):
    census = Census.of([trajectory(1e300 * rng.normal(size=(5, 1, 2)))])
    assert census.directions() == []
    assert census.to_text()
    census = Census.of([trajectory(rng.normal(size=(5, n, 2))) for n in (3, 4)])
    assert census.to_json()["rows"] == [3, 4]
    assert census.directions() == []


def test_the_census_of_an_import_is_that_of_its_file(put, take, tmp_path, swing_text):
    from simlearn.data.importing import import_data

    path = put("a.csv", swing_text)
    found = import_data(path, tmp_path / "a.h5", Columns())
    dataset = take(path)
    assert found.digests == [dataset.digest]
    assert Census.of(dataset, ["q", "v"]).to_json() == found.census.to_json()


def counts(put, take, tmp_path, lengths, share, table):
    from simlearn.data.importing import import_data
    from simlearn.data.store import read

    for k, steps in enumerate(lengths):
        put(f"in/{k:03}.csv", table("t,q", [[0.5 * s, s * s + k] for s in range(steps)]))
    import_data(tmp_path / "in", tmp_path / "o.h5", held_out=share)
    assert sorted(p.name for p in tmp_path.glob("*.h5")) == ["o-test.h5", "o.h5"]
    return read(tmp_path / "o.h5"), read(tmp_path / "o-test.h5")


@pytest.mark.parametrize(
    ("trajectories", "share", "held"),
    [
        (10, 0.2, 2),
        (10, 0.5, 5),
        (2, 0.1, 1),
        (2, 0.9, 1),
        (3, 0.1, 1),
        (10, 0.9, 9),
        (20, 0.25, 5),
    ],
)
def test_trajectories_are_held_out(put, take, tmp_path, table, trajectories, share, held):
    kept, test = counts(put, take, tmp_path, [4] * trajectories, share, table)
    assert (len(kept), len(test)) == (trajectories - held, held)
    starts = sorted(float(one.x[0, 0, 0]) for data in (kept, test) for one in data)
    assert starts == [float(k) for k in range(trajectories)], "each of them once"
    assert kept.provenance == test.provenance


def test_the_end_of_a_single_trajectory_is_held_out(put, take, tmp_path, table):
    kept, test = counts(put, take, tmp_path, [20], 0.2, table)
    assert kept[0].t.tolist() == [0.5 * k for k in range(16)]
    assert test[0].t.tolist() == [0.5 * k for k in range(16, 20)]
    assert test[0].x[:, 0, 0].tolist() == [float(k * k) for k in range(16, 20)]


def test_what_is_too_short_is_not_split(put, take, tmp_path):
    from simlearn.component import DataError
    from simlearn.data.importing import import_data

    with pytest.raises(DataError, match="too short to be split"):
        import_data(put("a.csv", "t,q\n0,1\n1,2\n2,4\n"), tmp_path / "o.h5", held_out=0.5)
    with pytest.raises(DataError, match="no row"):
        import_data(put("a.csv", "t,q\n"), tmp_path / "o.h5", held_out=0.5)
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
