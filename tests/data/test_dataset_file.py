"""The dataset file gives back what was written, to the bit, and stores a graph once."""

import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlearn.component import DataError
from simlearn.data.store import read, write
from simlearn.data.writer import Writer
from simlearn.state import Graph, Topology, Trajectory


def returned(trajectories, provenance=None):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.h5"
        digest = write(path, trajectories, provenance or {})
        data = read(path)
    assert data.digest == digest
    return data


@pytest.mark.parametrize("per_system", [False, True])
@pytest.mark.parametrize("kind", [1, 3, "ring", "isolated"])
def test_a_trajectory_with_every_field_comes_back_to_the_bit(make, kind, per_system):
    track = make(kind, per_system=per_system)
    (found,) = returned([track]).trajectories
    assert make.content(found) == make.content(track)


@pytest.mark.parametrize("kinds", [[2, 2], [2, 4, 3], ["isolated", "ring", 1]], ids=str)
@pytest.mark.parametrize("name", ["nothing", "mask"])
def test_trajectories_of_different_graphs_share_a_file(make, kinds, name):
    tracks = [
        make(kind, steps=4 + i, seed=i, without=() if name == "mask" else ("mask",))
        for i, kind in enumerate(kinds)
    ]
    found = returned(tracks).trajectories
    assert list(map(make.content, found)) == list(map(make.content, tracks))


def test_times_of_each_system_may_differ_in_number(make):
    tracks = [make(kind, per_system=True, without=("mask",)) for kind in (1, 3)]
    found = returned(tracks).trajectories
    assert list(map(make.content, found)) == list(map(make.content, tracks))


@settings(max_examples=30, deadline=None, derandomize=True)
@given(data=st.data())
@pytest.mark.parametrize("alike", [True, False], ids=["one graph", "ragged"])
def test_any_trajectories_come_back_to_the_bit(make, alike, data):
    kinds = st.sampled_from([1, 2, 3, "ring", "isolated"])
    common, per_system = data.draw(kinds), data.draw(st.booleans())
    tracks = [
        make(
            common if alike else data.draw(kinds),
            steps=data.draw(st.integers(1, 7)),
            seed=data.draw(st.integers(0, 99)),
            without=data.draw(st.sets(st.sampled_from(make.optional))),
            per_system=per_system,
        )
        for _ in range(data.draw(st.integers(0, 4)))
    ]
    found = returned(tracks).trajectories
    assert list(map(make.content, found)) == list(map(make.content, tracks))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_a_file_keeps_the_precision(make, dtype):
    track = make(3).to("cpu", dtype)
    (found,) = returned([track]).trajectories
    assert found.x.dtype == dtype
    assert make.content(found) == make.content(track)


def test_a_file_does_not_round_to_the_precision_of_its_first_trajectory(make):
    with pytest.raises(DataError, match="float64"):
        returned([make(3).to("cpu", torch.float32), make(3)])


def test_provenance_comes_back():
    told = {"generator": {"class_path": "a.B", "init_args": {"é": [1, 2.5, None, True]}}, "seed": 7}
    assert returned([], told).provenance == told


def simple(value, topology):
    x = torch.full((3, topology.rows, 2), value, dtype=torch.float64)
    return Trajectory(torch.arange(3.0, dtype=torch.float64), x, topology)


def test_a_shared_graph_is_stored_once(tmp_path):
    twins = [Topology.complete(3), Topology.complete(3)]
    other = twins[0].replace(system_attr=torch.ones(1, 1))
    tracks = [simple(i, t) for i, t in enumerate([*twins, twins[0], other, Topology.complete(2)])]
    write(tmp_path / "data.h5", tracks, {})
    with h5py.File(tmp_path / "data.h5") as file:
        assert file["graphs/rows"][()].tolist() == [3, 2]
        assert file["topologies/graph"][()].tolist() == [0, 0, 1]
        assert file["trajectories/topology"][()].tolist() == [0, 0, 0, 1, 2]
    found = [t.topology for t in read(tmp_path / "data.h5").trajectories]
    assert found[0] is found[1] is found[2]
    assert found[0].graph is found[1].graph is found[3].graph
    assert found[4].graph.rows == 2


def test_equal_data_have_equal_digests(make):
    one, same = (returned([make(3), make(3, seed=1)]) for _ in range(2))
    assert one.digest == same.digest
    assert returned([make(3), make(3, seed=2)]).digest != one.digest
    assert returned([make(3), make(3, seed=1)], {"seed": 5}).digest == one.digest


def changed(track, name):
    if name == "x":
        x = track.x.clone()
        x[0, 0, 0] = torch.nextafter(x[0, 0, 0], torch.tensor(9.0).double())
        return Trajectory(track.t, x, track.topology)
    if name == "dtype":
        return track.to("cpu", torch.float32)
    if name == "status":
        return Trajectory(track.t, track.x, track.topology, status="left_bound")
    if name == "finite_steps":
        return Trajectory(track.t, track.x, track.topology, finite_steps=1)
    still = {
        "names": track.topology.replace(node_names=("a", "b", "d")),
        "edges": track.topology.replace(
            graph=Graph(track.topology.graph.edge_index.flip(0), 3),
        ),
        "kind": track.topology.replace(edge_attr=torch.zeros(6, 1, dtype=torch.int64)),
        "types": track.topology.replace(node_type=torch.tensor([0, 2, 1])),
    }
    return Trajectory(track.t, track.x, still[name])


@pytest.mark.parametrize(
    "name", ["x", "dtype", "status", "finite_steps", "names", "edges", "types", "kind"]
)
def test_different_data_have_different_digests(name):
    none = torch.zeros(6, 1, dtype=torch.float64)
    track = simple(1.0, Topology.complete(3, ("a", "b", "c")).replace(edge_attr=none))
    assert returned([changed(track, name)]).digest != returned([track]).digest


def test_the_order_of_the_trajectories_is_part_of_the_digest():
    tracks = [simple(i, Topology.complete(2)) for i in range(2)]
    assert returned(tracks).digest != returned(tracks[::-1]).digest


def test_a_trajectory_may_be_written_in_pieces(tmp_path):
    """The same file, bit by bit, as one that was written at once."""
    t = torch.arange(7.0, dtype=torch.float64)
    one = Trajectory(t, torch.arange(42.0).reshape(7, 3, 2).double(), Topology.complete(3))
    with Writer(tmp_path / "b.h5") as writer:
        for part in (one, one.slice(0, 4)):
            writer.append(part.slice(0, 3))
            writer.extend(part.slice(3))
        pieces = writer.finish({})
    assert pieces == write(tmp_path / "c.h5", [one, one.slice(0, 4)], {})


def test_what_belongs_to_the_data_stands_beside_them(tmp_path):
    one = Trajectory(torch.zeros(1), torch.zeros(1, 3, 2), Topology.complete(3))
    with Writer(tmp_path / "a.h5") as writer:
        writer.append(one)
        for k in range(3):
            writer.beside("more/p", np.full((2, 3), k), meaning="a number")
        writer.finish({})
    assert torch.equal(read(tmp_path / "a.h5")[0].x, one.x)
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        assert file["more/p"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]
        assert file["more/p"].attrs["meaning"] == "a number"
        file["more/p"][0, 0] = 9
    with pytest.raises(DataError, match="more/p does not have the digest"):
        read(tmp_path / "a.h5")
