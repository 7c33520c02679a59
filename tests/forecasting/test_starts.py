"""Where a forecast begins: files, numbers, names of nodes, and what is refused."""

import h5py
import numpy as np
import pytest
import torch

import simlearn
from simlearn import DataError, Simulator, Topology, Trajectory
from simlearn.dynamics import GraphCoupled
from simlearn.forecasting.attached import attached
from simlearn.forecasting.networks import Network
from simlearn.forecasting.opened import opened
from simlearn.forecasting.starts import Start, constant, read_start
from simlearn.integrators import RK4
from simlearn.state import Graph
from simlearn.training.record import ranges

MAP = {"time": "t", "node": "gene", "state": ["x", "y"], "parameters": ["k"]}


def test_a_table_is_matched_by_the_names_of_the_training(put):
    path = put("x0.csv", "gene,k,y,x,t\na,7,2,1,0.5\nb,8,4,3,0.5\n")
    found = read_start(path, 2, MAP)
    assert found.x.tolist() == [[1, 2], [3, 4]]
    assert list(found.names) == ["a", "b"]
    assert found.parameters["k"].tolist() == [7, 8]
    assert found.t == 0.5


def test_a_table_without_a_column_map_is_what_is_left(put):
    found = read_start(put("x0.csv", "node,u,v\n0,1,2\n1,3,4\n"), 2)
    assert found.x.tolist() == [[1, 2], [3, 4]]
    assert list(found.names) == ["0", "1"]
    assert not read_start(put("x1.csv", "u;v\n1;2\n"), 2).names


def test_one_row_of_a_wide_table_is_a_state(put):
    found = read_start(put("x0.csv", "t,a,b,c\n2,1,2,3\n"), 1, {"wide": True, "time": "t"})
    assert found.x.tolist() == [[1], [2], [3]]
    assert list(found.names) == ["a", "b", "c"]
    assert found.t == 2


def test_arrays_and_datasets(tmp_path):
    x = np.arange(6.0).reshape(3, 2)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "a.npz", x0=x, nodes=np.array(["a", "b", "c"]), k=np.ones(3))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x0"], file["nodes"] = x, ["a", "b", "c"]
    topology = Topology.complete(3, ("a", "b", "c"))
    one = Trajectory(torch.tensor([1.0, 2.0]), torch.from_numpy(np.stack([x - 1, x])), topology)
    simlearn.write(tmp_path / "d.h5", [one], {})
    for name in ("a.npy", "a.npz", "a.h5", "d.h5"):
        found = read_start(tmp_path / name, 2)
        assert np.array_equal(found.x.numpy(), x)
        assert list(found.names) == ([] if name == "a.npy" else ["a", "b", "c"])
    assert read_start(tmp_path / "d.h5", 2).t == 2
    assert read_start(tmp_path / "a.npz", 2).parameters["k"].tolist() == [1, 1, 1]


def test_numbers_are_the_state_of_every_node():
    assert constant("0.5", 2).x.tolist() == [[0.5, 0.5]]
    assert constant("1,2", 2).x.tolist() == [[1, 2]]
    assert constant("x0.csv", 2) is None
    for wrong in ("1,2,3", "nan"):
        with pytest.raises(DataError, match="the state of a node has 2"):
            constant(wrong, 2)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("x.csv", "gene,x,y\na,1,2\na,3,4\n", "line 3, column gene: the node a stands there twice"),
        ("x.csv", "gene,x,y\na,1,2\n,3,4\n", "line 3, column gene: the node is missing"),
        ("x.csv", "gene,x,y\na,1,2\nb,nan,4\n", "line 3, column x: the state is nan"),
        ("x.csv", "gene,x,y\na,1,2\nb,three,4\n", "line 3, column x: 'three' is no number"),
        ("x.csv", "gene,x\na,1\n", "has the columns x; the state of a node is x, y"),
        ("x.csv", "gene,x,y,t\na,1,2,0\nb,3,4,1\n", "Keep the rows of one time"),
        ("x.csv", "", "is empty"),
        ("x.npy", "no numbers", "cannot be read"),
        ("x.h5", "no numbers", "is no HDF5 file"),
        ("x.md", "1 2", "a start comes as csv"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_start_is_refused(put, name, text, told):
    with pytest.raises(DataError) as caught:
        read_start(put(name, text), 2, MAP)
    assert told in str(caught.value)


def test_arrays_of_another_shape_are_refused(tmp_path):
    for shape in ((3,), (3, 3), (1, 3, 2)):
        np.save(tmp_path / "x.npy", np.zeros(shape))
        with pytest.raises(DataError, match=r"must be \[nodes, 2\]"):
            read_start(tmp_path / "x.npy", 2)
    np.save(tmp_path / "x.npy", np.array([[0, np.inf], [0, 0]]))
    with pytest.raises(DataError, match=r"the state of node 0 is \[0.0, inf\]"):
        read_start(tmp_path / "x.npy", 2)
    np.savez(tmp_path / "x.npz", x0=np.zeros((3, 2)), nodes=np.array(["a"]))
    with pytest.raises(DataError, match="1 names for 3 nodes"):
        read_start(tmp_path / "x.npz", 2)


def carrying(features=None, parameters=None, known=("k",), **field):
    dynamics = torch.nn.Identity()
    for name, value in field.items():
        setattr(dynamics, name, value)
    topology = Topology(Graph(torch.tensor([[0], [1]]), 2))
    held = {name: torch.tensor(value) for name, value in (parameters or {}).items()}
    network = Network(topology, ("a", "b"), features or {})
    columns = {"parameters": list(known)}
    return attached(network, Start(torch.zeros(2, 1), parameters=held), dynamics, columns)


def test_parameters_come_by_name_from_the_graph_or_the_start():
    both = {"features": {"k": [1.0, 2.0], "colour": ["red", "blue"]}, "node_parameters": 1}
    assert carrying(**both).node_attr.tolist() == [[1], [2]]
    assert carrying(**both, parameters={"k": [3.0, 4.0]}).node_attr.tolist() == [[3], [4]]
    assert carrying(parameters={"k": [3.0, 4.0]}, node_parameters=0).node_attr is None
    of_system = carrying(parameters={"k": [3.0, 3.0]}, attributes=1)
    assert of_system.system_attr.tolist() == [[3]]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"node_parameters": 1}, "neither the graph's file nor --x0 has k"),
        ({"node_parameters": 1, "parameters": {"k": [1.0, float("nan")]}}, "k of node b is nan"),
        ({"node_parameters": 1, "features": {"k": [1.0, None]}}, "k of node b is nan"),
        ({"node_parameters": 2, "parameters": {"k": [1.0, 2.0]}}, "with 2 parameters"),
        ({"attributes": 1, "parameters": {"k": [1.0, 2.0]}}, "goes from 1 to 2"),
        ({"inputs": 1}, "needs --data with inputs"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(given, told):
    with pytest.raises(simlearn.SimlearnError) as caught:
        carrying(**given)
    assert told in str(caught.value)


def test_what_an_array_file_says_besides_is_used_or_left_aside(tmp_path):
    more = {"t": np.float64(3.0), "kind": np.array(["a", "b"]), "two": np.ones((2, 2))}
    np.savez(tmp_path / "x0.npz", x0=np.ones((2, 1)), k=np.array([[7.0], [8.0]]), **more)
    found = read_start(tmp_path / "x0.npz", 1)
    assert set(found.parameters) == {"k", "two"}
    assert found.parameters["k"].tolist() == [7, 8]
    assert found.parameters["two"].shape == (2, 2)


def test_a_name_that_two_rows_have_is_refused(tmp_path):
    np.savez(tmp_path / "x0.npz", x0=np.ones((3, 1)), nodes=["a", "b", "a"])
    with pytest.raises(DataError, match="the node a stands there twice"):
        read_start(tmp_path / "x0.npz", 1)


def test_kinds_of_nodes_in_a_dataset_are_no_names(tmp_path):
    topology = Topology(
        Graph(torch.zeros(2, 0, dtype=torch.int64), 3),
        node_type=torch.tensor([0, 1, 0]),
        node_names=("prey", "hunter"),
    )
    one = Trajectory(torch.zeros(1), torch.ones(1, 3, 1), topology)
    simlearn.write(tmp_path / "one.h5", [one], {})
    assert not read_start(tmp_path / "one.h5", 1).names


def test_a_start_without_rows_is_refused(tmp_path):
    np.save(tmp_path / "x0.npy", np.zeros((0, 1)))
    with pytest.raises(DataError, match="holds no node"):
        read_start(tmp_path / "x0.npy", 1)


def pair(names=()):
    edges = torch.tensor([[0, 1], [1, 0]])
    known = {"node_type": torch.arange(2), "node_names": names} if names else {}
    return Topology(Graph(edges, 2), **known)


def simulator(dtype=torch.float64):
    return Simulator(GraphCoupled(width=4).to(dtype), RK4(), 0.1)


@pytest.mark.parametrize("names", [("a", "b"), ()])
def test_rows_of_a_start_are_put_in_the_order_of_a_topology(put, names):
    first, second = names or ("0", "1")
    path = put("x0.csv", f"node,x\n{second},2\n{first},1\n")
    assert opened(simulator(), pair(names), path).begin.x.tolist() == [[1], [2]]


def test_a_start_with_other_names_than_a_topology_is_refused(put):
    path = put("x0.csv", "node,x\na,2\nc,1\n")
    with pytest.raises(DataError, match="other nodes: b, c are in one of them only"):
        opened(simulator(), pair(("a", "b")), path)


def test_a_start_that_overflows_the_numbers_of_the_simulator_is_refused():
    assert opened(simulator(), pair(), 1e300).begin.x.isfinite().all()
    with pytest.raises(DataError, match=r"not finite in torch\.float32"):
        opened(simulator(torch.float32), pair(), 1e300)


def test_a_sample_is_drawn_from_what_was_measured():
    mask = torch.tensor([[True, False]])
    x = torch.tensor([[[5.0], [0.0]]])  # what is missing is stored as zero
    seen = Trajectory(torch.zeros(1), x, pair(), mask=mask)
    assert opened(simulator(), pair(), "sample", training=[seen]).begin.x.tolist() == [[5], [5]]
    assert ranges([seen])["low"] == [5]
