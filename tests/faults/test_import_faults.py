"""Imports that went through silently, or broke: each is refused, or read as it was meant."""

import io
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from simlearn.component import ConfigError, DataError
from simlearn.data.importing import Columns, import_data
from simlearn.data.importing.columns import state_names
from simlearn.data.importing.graphs import read_edges
from simlearn.data.store import read
from simlearn.data.writer import Writer

T = 0.1 * np.arange(7.0)
ROWS = "0,1,5\n1,2,6\n2,4,9\n"


@pytest.fixture
def put(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def save(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "a.npz", **arrays)
        return tmp_path / "a.npz"

    return write


@pytest.fixture
def take(tmp_path):
    def run(sources, columns=None, **options):
        import_data(sources, tmp_path / "made/o.h5", columns, **options)
        return read(tmp_path / "made/o.h5")

    return run


def refused(take, sources, *told, columns=None, **options):
    with pytest.raises((DataError, ConfigError)) as error:
        take(sources, columns, **options)
    for part in told:
        assert part in str(error.value), error.value


@pytest.mark.parametrize("header", ["t [ms],q [m]", "t [s],q [mm]", "t [s],q", "time [ms],q [m]"])
def test_files_have_one_unit(put, take, header):
    files = [put("a.csv", "t [s],q [m]\n0,1\n1,2\n"), put("b.csv", header + "\n0,1\n1,2\n")]
    refused(take, files, "b.csv", "a.csv", "'t" if "ms" in header else "'q'")


def test_units_written_in_another_way_are_the_same(put, take):
    files = [put("a.csv", "t,q [m/s]\n0,1\n1,2\n"), put("b.csv", "t,q [m s**-1]\n0,1\n1,2\n")]
    assert len(take(files)) == 2


def test_later_files_have_the_columns_of_the_first(put, take):
    first = put("a.csv", "t,q,u1,u2\n0,1,3,4\n1,2,5,6\n")
    other = put("b.csv", "u2,u1,q,t\n4,3,1,0\n6,5,2,1\n")
    one, two = take([first, other])
    assert one.inputs.tolist() == two.inputs.tolist()
    fewer = put("c.csv", "t,q,u1\n0,1,3\n1,2,5\n")
    refused(take, [first, fewer], "c.csv", "inputs u1", "u1, u2", overwrite=True)


def graphml(body):
    return (
        '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
        '<key id="w" for="edge" attr.name="weight" attr.type="double"/>'
        '<key id="k" for="edge" attr.name="kind" attr.type="string"/>'
        '<key id="l" for="edge" attr.name="length" attr.type="int"/>'
        f'<graph edgedefault="undirected"><node id="0"/><node id="1"/>{body}</graph></graphml>'
    )


def test_graphml_is_read_whole_or_refused(put, take):
    edge = '<edge source="0" target="1">'
    inside = '<data key="w">2.5</data><data key="l">3</data></edge>'
    found = read_edges(put("g.graphml", graphml(edge + inside)))
    assert found.weights.tolist() == [[2.5, 3.0], [2.5, 3.0]]
    twice = graphml(f'{edge}</edge><edge source="1" target="0"/>')
    with pytest.raises(DataError, match=r"1 - 0|0 - 1.*twice"):
        read_edges(put("g.graphml", twice))
    with pytest.raises(DataError, match="kind is the text 'soft'"):
        read_edges(put("g.graphml", graphml(f'{edge}<data key="k">soft</data></edge>')))
    data = put("a.csv", "node,t,x\n0,0,1\n1,0,2\n0,1,3\n1,1,5\n")
    graph = put("g.graphml", graphml(f'<node id="earth"/>{edge}</edge>'))
    refused(take, data, "only in the graph earth", graph=graph)


@pytest.mark.parametrize(
    ("header", "state", "second"),
    [
        ("x,y,vy,vx", ["x", "y"], ["vx", "vy"]),
        ("x,y,v_y,v_x", ["x", "y"], ["v_x", "v_y"]),
        ("x,y,py,px", ["x", "y"], ["px", "py"]),
        ("q1,q2,v2,v1", ["q1", "q2"], ["v1", "v2"]),
        ("q1,q2,q2_dot,q1_dot", ["q1", "q2"], ["q1_dot", "q2_dot"]),
        ("pos_x,pos_y,vel_y,vel_x", ["pos_x", "pos_y"], ["vel_x", "vel_y"]),
        ("a,b,v2,v1", ["a", "b"], ["v2", "v1"]),
    ],
)
def test_velocities_are_paired_by_name(put, take, header, state, second):
    told = take(put("a.csv", f"t,{header}\n0,1,2,3,4\n1,5,7,6,9\n")).provenance["columns"]
    assert (told["state"], told["velocity"] or told["momentum"]) == (state, second)


def test_derivatives_are_paired_by_name(put, take):
    text = "t,x,vx,dvx_dt,dx_dt\n0,1,2,3,4\n1,5,7,6,9\n"
    assert take(put("a.csv", text))[0].derivative[0].tolist() == [[4.0, 3.0]]


def test_ambiguous_constants_are_refused(save, take, rng):
    x = rng.normal(size=(3, 7, 3, 2))
    axes = ["system", "time", "node", "column"]
    for k in (np.arange(3.0), rng.normal(size=(3, 3))):
        path = save(t=T, x=x, k=k)
        columns = Columns(time="t", state="x", parameters="k")
        refused(take, path, "ambiguous", "--axes", columns=columns)
        found = take(path, columns, axes=axes, overwrite=True)[1].topology
        shutil.rmtree(path.parent / "made")
        assert (found.node_attr is None) == (k.ndim == 1)


@pytest.fixture
def rng():
    return np.random.default_rng(3)


@pytest.mark.parametrize("shape", [(5, 50), (5, 50, 2)])
def test_a_step_does_not_tell_axes(save, take, rng, shape):
    path = save(x=rng.normal(size=shape))
    refused(take, path, "several ways", "--axes", columns=Columns(dt=0.1))


def test_names_of_trajectories_are_no_samples(save, take, rng):
    path = save(run=np.arange(3), x=rng.normal(size=(3, 7)), t=np.tile(T, (3, 1)))
    refused(take, path, "run has one entry for each trajectory")
    path = save(run=np.arange(7), x=rng.normal(size=7), t=np.tile(T[:, None], 2))
    refused(take, path, "t has the shape [7, 2]")


def test_both_files_or_none(put, tmp_path, monkeypatch):
    whole = Writer.complete

    def fails(self, provenance):
        if "-test" in self.path.name:
            raise OSError("disk full")
        return whole(self, provenance)

    monkeypatch.setattr(Writer, "complete", fails)
    path = put("a.csv", "t,q\n" + "".join(f"{k},{k * k}\n" for k in range(9)))
    with pytest.raises(OSError, match="disk full"):
        import_data(path, tmp_path / "o.h5", held_out=0.3)
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]


def test_a_stale_held_out_file_is_refused(put, tmp_path):
    path = put("a.csv", "t,q\n" + "".join(f"{k},{k * k}\n" for k in range(9)))
    import_data(path, tmp_path / "o.h5", held_out=0.3)
    with pytest.raises(DataError, match=r"o-test.h5 holds out .*--held-out"):
        import_data(path, tmp_path / "o.h5", overwrite=True)
    path.write_text("t,q\n0,1\n1,3\n2,9\n")
    with pytest.raises(DataError, match=r"o-test.h5"):
        import_data(path, tmp_path / "o.h5", overwrite=True)
    (tmp_path / "o-test.h5").unlink()
    import_data(path, tmp_path / "o.h5", overwrite=True)


def test_the_held_out_file_is_no_source(save, tmp_path, rng):
    source = save(t=T, x=rng.normal(size=(7, 2))).rename(tmp_path / "o-test.h5")
    with h5py.File(source, "w") as file:
        file["t"], file["x"] = T, T**2
    with pytest.raises(ConfigError, match=r"o-test.h5 is one of the sources"):
        import_data(source, tmp_path / "o.h5", held_out=0.5, overwrite=True)


def test_only_what_is_used_of_a_foreign_file_is_judged(tmp_path, take):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["t"], file["x"] = T, T**2
        file["meta"] = np.zeros(2, [("a", "f8")])
        file["also"] = h5py.SoftLink("/x")
        file["far"] = h5py.ExternalLink("nowhere.h5", "/x")
        file["loop/again"] = file["/"]
    assert take(path)[0].x[:, 0, 0].tolist() == (T**2).tolist()
    for name in ("meta", "far", "also"):
        refused(take, path, name, columns=Columns(time="t", state=name), overwrite=True)


def test_npz_headers_that_lie(tmp_path, take, save):
    path = save(t=T, x=T**2, objects=np.array([{}], dtype=object))
    assert take(path, Columns(time="t", state="x"))[0].steps == 7
    handle = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(handle, header)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y.npy", handle.getvalue() + bytes(56))
    refused(take, path, "y.npy claims", columns=Columns(time="t", state="y"), overwrite=True)


@pytest.mark.parametrize("mark", [" ", ","])
def test_the_header_of_savetxt(tmp_path, take, mark):
    table = np.stack([T, T**2, T**3], 1)
    np.savetxt(tmp_path / "a.txt", table, header="t,q,v", delimiter=mark)
    with pytest.warns(UserWarning, match="read from a comment: '# t,q,v'"):
        dataset = take(tmp_path / "a.txt")
    assert dataset.provenance["columns"]["velocity"] == ["v"]
    assert dataset[0].steps == 7


def test_names_of_the_state_are_one_answer():
    wide = {"state": ["a", "b"], "wide": True}
    assert state_names(wide, 1) == ["x"]
    assert state_names({"state": ["q"], "velocity": ["v"]}, 2) == ["q", "v"]
    assert state_names(None, 2, "column ") == ["column 0", "column 1"]
