"""npz, HDF5 and Parquet: every layout comes back to the last bit."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from simlearn.component import ConfigError, DataError
from simlearn.data.importing import Columns

SYSTEMS, TIMES, NODES, DIM = 3, 7, 4, 2
T = 0.1 * np.arange(TIMES) ** 1.5


@pytest.fixture
def save(tmp_path):
    """Writes arrays as npz, or as HDF5 with names as paths."""

    def write(name, **arrays):
        path = tmp_path / name
        if name.endswith("npz"):
            np.savez(path, **arrays)
            return path
        with h5py.File(path, "w") as file:
            for key, value in arrays.items():
                file[key.replace("__", "/")] = value
        return path

    return write


def states(dataset):
    return np.stack([one.x.numpy() for one in dataset])


SHAPES = {
    "[T]": ((TIMES,), lambda x: x[None, :, None, None]),
    "[T,d]": ((TIMES, DIM), lambda x: x[None, :, None, :]),
    "[n,T]": ((SYSTEMS, TIMES), lambda x: x[:, :, None, None]),
    "[n,T,d]": ((SYSTEMS, TIMES, DIM), lambda x: x[:, :, None, :]),
    "[T,rows,d]": ((TIMES, NODES, DIM), lambda x: x[None]),
    "[n,T,rows,d]": ((SYSTEMS, TIMES, NODES, DIM), lambda x: x),
}


@pytest.mark.parametrize("kind", ["npz", "h5", "hdf5", "NPZ"])
@pytest.mark.parametrize(("shape", "wanted"), SHAPES.values(), ids=SHAPES.keys())
def test_shapes_tell_their_axes(save, take, rng, kind, shape, wanted):
    x = rng.normal(size=shape)
    path = save(f"a.{kind.lower()}", t=T, x=x)
    dataset = take(path.rename(path.with_suffix(f".{kind}")))
    assert (states(dataset) == wanted(x)).all()
    assert all((one.t.numpy() == T).all() for one in dataset)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8, np.bool_, ">f8"])
def test_types_of_numbers(save, take, rng, dtype):
    x = (10 * rng.normal(size=(TIMES, DIM))).astype(dtype)
    x[0], x[1] = 0, 1
    found = take(save("a.npz", t=T, x=x))[0].x
    assert found.dtype == torch.float64
    assert (found[:, 0].numpy() == x.astype(np.float64)).all()


def test_every_order_of_axes(save, take, rng):
    x = rng.normal(size=(DIM, TIMES, SYSTEMS))
    dataset = take(save("a.npz", t=T, x=x), axes=["column", "time", "system"])
    assert (states(dataset)[:, :, 0] == x.transpose(2, 1, 0)).all()
    y = rng.normal(size=(NODES, TIMES))
    dataset = take(save("b.npz", t=T, x=y), out="b.h5", axes=["node", "time"])
    assert (states(dataset)[0, :, :, 0] == y.T).all()


def test_each_system_has_its_times(save, take, rng):
    t = T + rng.uniform(size=(SYSTEMS, 1))
    dataset = take(save("a.npz", t=t, x=rng.normal(size=(SYSTEMS, TIMES, DIM))))
    assert (np.stack([one.t.numpy() for one in dataset]) == t).all()


def test_times_of_each_system_tell_the_axes(save, take, rng):
    """As many systems as times: the two axes of the time are those of the state."""
    t, x = T + rng.uniform(size=(TIMES, 1)), rng.normal(size=(TIMES, TIMES, DIM))
    dataset = take(save("a.npz", t=t, x=x))
    assert (states(dataset)[:, :, 0] == x).all()


def test_momenta_derivatives_inputs_and_parameters(save, take, rng):
    q, p = rng.normal(size=(2, SYSTEMS, TIMES, DIM))
    dx = rng.normal(size=(SYSTEMS, TIMES, 2 * DIM))
    u, k = rng.normal(size=(SYSTEMS, TIMES)), rng.normal(size=(SYSTEMS, 2))
    columns = Columns(
        time="t", state="q", momentum="p", derivative="dx", inputs="u", parameters="g,k"
    )
    dataset = take(save("a.npz", t=T, q=q, p=p, dx=dx, u=u, k=k, g=np.float64(9.81)), columns)
    assert (states(dataset)[:, :, 0] == np.concatenate([q, p], 2)).all()
    assert (np.stack([one.derivative.numpy()[:, 0] for one in dataset]) == dx).all()
    assert (np.stack([one.inputs.numpy()[:, 0, 0] for one in dataset]) == u).all()
    found = [one.topology.system_attr.tolist() for one in dataset]
    assert found == [[[9.81, *row]] for row in k.tolist()]
    told = dataset.provenance["columns"]
    assert told["state"] == ["q[0]", "q[1]"]
    assert told["momentum"] == ["p[0]", "p[1]"]


def test_arrays_of_several_widths(save, take, rng):
    """A column [n, T] beside columns [n, T, d]."""
    a, b = rng.normal(size=(SYSTEMS, TIMES)), rng.normal(size=(SYSTEMS, TIMES, DIM))
    columns = Columns(time="t", state=["a", "b"], units={"b": "m"})
    dataset = take(save("a.npz", t=T, a=a, b=b), columns)
    assert (states(dataset)[:, :, 0] == np.concatenate([a[:, :, None], b], 2)).all()
    told = dataset.provenance["columns"]
    assert told["state"] == ["a", "b[0]", "b[1]"]
    assert told["units"]["b[1]"] == "m"


@pytest.mark.parametrize("shape", [(NODES,), (SYSTEMS, NODES), (SYSTEMS, NODES, 1)])
def test_parameters_of_nodes(save, take, rng, shape):
    m = rng.uniform(size=shape)
    columns = Columns(time="t", state="x", parameters="m,k")
    x = rng.normal(size=(SYSTEMS, TIMES, NODES, DIM))
    axes = ["system", "time", "node", "column"] if m.ndim == 2 else None  # or it is ambiguous
    dataset = take(save("a.npz", t=T, x=x, m=m, k=np.arange(3.0)), columns, axes=axes)
    wanted = np.broadcast_to(m.reshape(-1, NODES), (SYSTEMS, NODES))
    assert [one.topology.node_attr[:, 0].tolist() for one in dataset] == wanted.tolist()
    assert [one.topology.system_attr.tolist() for one in dataset] == [[[0.0]], [[1.0]], [[2.0]]]


def test_parameters_of_a_single_trajectory(save, take, rng):
    columns = Columns(time="t", state="x", parameters="k")
    one = take(save("a.npz", t=T, x=rng.normal(size=(TIMES, 2)), k=[1.0, 2.0, 3.0]), columns)[0]
    assert one.topology.system_attr.tolist() == [[1.0, 2.0, 3.0]]
    path = save("b.npz", t=T, x=rng.normal(size=(TIMES, NODES, 2)), k=np.arange(4.0))
    one = take(path, columns, out="b.h5")[0]
    assert one.topology.node_attr.tolist() == [[0.0], [1.0], [2.0], [3.0]]
    assert one.topology.system_attr is None


def test_inputs_of_the_system_act_on_every_node(save, take, rng):
    u = rng.normal(size=(SYSTEMS, TIMES, 1, 2))
    x = rng.normal(size=(SYSTEMS, TIMES, NODES, DIM))
    dataset = take(save("a.npz", t=T, x=x, u=u), Columns(time="t", state="x", inputs="u"))
    assert all((one.inputs.numpy() == u[k].repeat(NODES, 1)).all() for k, one in enumerate(dataset))


@pytest.mark.parametrize("kind", ["npz", "h5"])
@pytest.mark.parametrize("ids", ["numbers", "text"])
def test_flat_arrays_with_systems_are_ragged(save, take, rng, kind, ids):
    run = np.array([3, 3, 3, 1, 1, 2, 2, 2, 2])
    t = np.array([0, 1, 2, 0, 1, 0, 1, 2, 3.0])
    x, v = rng.normal(size=(2, 9, 2))
    if ids == "text":
        run = run.astype("S" if kind == "h5" else "U")
    path = save(f"a.{kind}", t=t, run=run, x=x, v=v, unused=np.zeros(3))
    columns = Columns(time="t", system="run", state="x", velocity="v", units={"x": "m"})
    dataset = take(path, columns)
    assert [one.steps for one in dataset] == [3, 2, 4]
    found = np.concatenate([one.x.numpy()[:, 0] for one in dataset])
    assert (found == np.concatenate([x, v], 1)).all()
    assert dataset.provenance["columns"]["units"]["x[1]"] == "m"


def test_hdf5_groups_are_trajectories(save, take, rng):
    lengths = {"run1": 4, "run2": 6, "run10": 5}
    x = {name: rng.normal(size=(n, 3)) for name, n in lengths.items()}
    arrays = {f"{n}__x": x[n] for n in ("run10", "run2", "run1")}
    arrays |= {f"{n}__t": np.arange(float(k)) for n, k in lengths.items()}
    dataset = take(save("a.h5", **arrays))
    assert [one.steps for one in dataset] == [4, 6, 5], "run2 comes before run10"
    for one, name in zip(dataset, lengths, strict=True):
        assert (one.x.numpy()[:, 0] == x[name]).all()


def test_parquet_equals_csv(put, take, tmp_path, rng):
    frame = pd.DataFrame(rng.normal(size=(12, 2)), columns=["q [m]", "v [m/s]"])
    frame.insert(0, "t [s]", [0.1 * k for k in range(3) for _ in range(2)] * 2)
    frame.insert(0, "node", [0, 1] * 6)
    frame.insert(0, "run", [7] * 6 + [5] * 6)
    frame.to_parquet(tmp_path / "a.parquet")
    frame.set_index("t [s]").to_parquet(tmp_path / "b.pq")
    digests = [take(put("a.csv", frame.to_csv(index=False))).digest]
    digests += [take(tmp_path / n, out=f"{n}.h5").digest for n in ("a.parquet", "b.pq")]
    assert len(set(digests)) == 1


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    hnp.arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(2, 5), st.integers(1, 3), st.integers(1, 3)),
        elements=st.floats(allow_nan=False, allow_infinity=False),
    )
)
def test_any_array_comes_back(tmp_path, take, x):
    np.savez(tmp_path / "a.npz", x=x)
    columns = Columns(state="x", dt=0.1)
    dataset = take(tmp_path / "a.npz", columns, constant="keep", overwrite=True)
    assert states(dataset).tobytes() == x.tobytes()
    assert all((one.t.numpy() == 0.1 * np.arange(x.shape[1])).all() for one in dataset)


@pytest.mark.parametrize(
    ("arrays", "axes", "told"),
    [
        ({"x": (7, 7)}, None, ["fits several ways", "--axes"]),
        ({"x": (7, 7, 2)}, None, ["fits several ways"]),
        ({"x": (6, 2)}, None, ["does not fit the time of shape [7]"]),
        ({"x": (7, 2)}, ["time"], ["--axes", "[7, 2]"]),
        ({"x": (7, 2)}, ["time", "time"], ["--axes"]),
        ({"x": (7, 2)}, ["system", "node"], ["time among them"]),
        ({"x": (7, 2)}, ["time", "colum"], ["--axes", "colum"]),
    ],
)
def test_ambiguous_axes_are_refused(save, take, arrays, axes, told):
    path = save("a.npz", t=T, **{k: np.zeros(shape) for k, shape in arrays.items()})
    with pytest.raises(ConfigError) as error:
        take(path, axes=axes)
    for part in told:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("arrays", "columns", "told"),
    [
        ({"x": (3, 7, 2), "y": (2, 7, 2)}, {"state": "x,y"}, ["y has the shape [2, 7, 2]"]),
        ({"x": (3, 7, 4, 2), "u": (3, 7, 2, 1)}, {"state": "x", "inputs": "u"}, ["u has", "nodes"]),
        ({"x": (7, 3, 2), "y": (7, 2)}, {"state": "x,y"}, ["y has the shape"]),
        ({"x": (3, 7, 2), "k": (5,)}, {"state": "x", "parameters": "k"}, ["k has", "3 systems"]),
        ({"x": (0, 7, 2)}, {"state": "x"}, ["empty"]),
        ({"x": (7, 2), "k": (2,)}, {"state": "x", "system": "k"}, ["t has the shape [7], k [2]"]),
    ],
)
def test_shapes_that_do_not_agree_are_refused(save, take, rng, arrays, columns, told):
    path = save("a.npz", t=T, **{k: rng.normal(size=shape) for k, shape in arrays.items()})
    with pytest.raises(DataError) as error:
        take(path, Columns(time="t", **columns))
    for part in ["a.npz", *told]:
        assert part in str(error.value)


def test_places_in_arrays(save, take, rng):
    x = rng.normal(size=(3, 7, 2))
    x[1, 4, 1] = np.nan
    with pytest.raises(
        DataError, match=r"a.npz, trajectory 1, sample 4, node 0, x\[1\]: .*missing"
    ):
        take(save("a.npz", t=T, x=x))
    t = np.tile(T, (3, 1))
    t[2, 3] = t[2, 2]
    with pytest.raises(DataError, match=r"trajectory 2, sample 3.*t: the time .* occurs twice"):
        take(save("b.npz", t=t, x=rng.normal(size=(3, 7, 2))))
    with pytest.raises(DataError, match=r"c.h5:run, trajectory 0, sample 2"):
        take(save("c.h5", run__t=np.array([0, 1, 0.5]), run__x=np.arange(3.0)))


def test_wide_is_for_tables(save, take, rng):
    with pytest.raises(ConfigError, match="--axes"):
        take(save("a.npz", t=T, x=rng.normal(size=(7, 3))), Columns(time="t", wide=True))


def damaged_hdf5(path):
    with h5py.File(path, "w") as file:
        file["t"] = T
        file.create_dataset("x", data=np.arange(7.0), chunks=(7,), fletcher32=True)
        at = file["x"].id.get_chunk_info(0).byte_offset
    raw = bytearray(path.read_bytes())
    raw[at + 9] ^= 1
    path.write_bytes(raw)


def damaged_npz(path):
    np.savez_compressed(path, t=T, x=np.random.default_rng(0).normal(size=7))
    raw = bytearray(path.read_bytes())
    at = raw.index(b"x.npy")
    raw[at + 70 : at + 90] = bytes(20)
    path.write_bytes(raw)


def garbled_parquet(path):
    pd.DataFrame({"t": T, "zebra": T}).to_parquet(path)
    path.write_bytes(path.read_bytes().replace(b"zebra", b"\x91ebra"))  # no UTF-8


DAMAGED = {
    "rubbish.npz": lambda p: p.write_bytes(b"PK\3\4 rubbish"),
    "rubbish.h5": lambda p: p.write_bytes(b"\x89HDF rubbish"),
    "rubbish.parquet": lambda p: p.write_bytes(b"PAR1 rubbish"),
    "garbled.parquet": garbled_parquet,
    "flipped.h5": damaged_hdf5,
    "flipped.npz": damaged_npz,
    "objects.npz": lambda p: np.savez(p, t=T, x=np.array([{}] * 7, dtype=object)),
    "text.npz": lambda p: np.savez(p, t=T, x=np.array(["a"] * 7)),
    "complex.npz": lambda p: np.savez(p, t=T, x=1j * T),
    "date.npz": lambda p: np.savez(p, t=T.astype("M8[s]"), x=T),
    "none.npz": lambda p: np.savez(p),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_and_foreign_arrays_are_refused(tmp_path, take, name):
    DAMAGED[name](tmp_path / name)
    with pytest.raises((DataError, ConfigError), match=name):
        take(tmp_path / name)


@pytest.mark.parametrize("values", [["a", "b", "c"], [1.0, None, 2.0]])
def test_parquet_cells(tmp_path, take, values):
    pd.DataFrame({"t": [0.0, 1.0, 2.0], "x": values}).to_parquet(tmp_path / "a.parquet")
    row = 0 if values[0] == "a" else 1
    with pytest.raises(DataError, match=rf"a.parquet, row {row}, column x"):
        take(tmp_path / "a.parquet")


def test_parquet_without_pyarrow(tmp_path, take, monkeypatch):
    pd.DataFrame({"t": [0.0, 1.0], "x": [1.0, 2.0]}).to_parquet(tmp_path / "a.parquet")
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    from simlearn.component import EnvironmentFault

    with pytest.raises(EnvironmentFault, match=r"simlearn\[parquet\]"):
        take(tmp_path / "a.parquet")


def test_a_missing_system_in_parquet(tmp_path, take):
    pd.DataFrame({"run": ["a", None], "t": [0.0, 1.0], "x": [1.0, 2.0]}).to_parquet(
        tmp_path / "a.parquet"
    )
    with pytest.raises(DataError, match=r"row 1, column run: the system is missing"):
        take(tmp_path / "a.parquet")


def test_links_are_refused(tmp_path, take):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"] = T
        file["x"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(DataError, match="link"):
        take(tmp_path / "a.h5")
