"""Fault rows 10 to 12: datasets, tables and graphs that somebody made to do harm.

The digests of every dataset here are right: only what it says is wrong.
"""

import gzip
import io
import json
import zipfile
from contextlib import suppress

import h5py
import numpy as np
import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError
from simlearn.data.importing import import_data
from simlearn.data.importing.graphs import read_edges
from simlearn.data.module import TrajectoryData
from simlearn.data.store import read
from simlearn.forecasting.networks import network
from simlearn.forecasting.starts import read_start
from tests.faults.forged import sign_dataset


@pytest.fixture
def intact(tmp_path):
    """Two trajectories of three named nodes."""
    topology = simlearn.Topology.complete(3, ("a", "b", "c"))
    topology = topology.replace(edge_attr=torch.ones(6, 1, dtype=torch.float64))
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    x = torch.stack([t.sin(), t.cos()], -1)[:, None].expand(11, 3, 2).clone()
    path = tmp_path / "d.h5"
    simlearn.write(path, [simlearn.Trajectory(t, x, topology)] * 2, {"seed": 1})
    return path


def refused(path, *words, reader=read):
    with pytest.raises(DataError) as caught:
        reader(path)
    message = str(caught.value)
    assert str(path) in message
    for word in words:
        assert word in message, message


def put(name, value, **options):
    def change(file):
        if name in file:
            del file[name]
        file.create_dataset(name, data=value, **options)

    return change


def edited(name, change):
    def edit(file):
        file[name][...] = change(file[name][()])

    return edit


def one_text_for_many(file):
    """Every name points at the same long text: 16 bytes that stand for a megabyte."""
    del file["topologies/node_names"]
    text = h5py.string_dtype()
    made = file.create_dataset("topologies/node_names", (4096,), text, chunks=(4096,))
    made[...] = "x" * 1000


def bytes_at_once(file):
    del file["trajectories/finite_steps"]
    file.create_dataset(
        "trajectories/finite_steps", (2,), "i8", chunks=(1 << 26,), maxshape=(None,)
    )


def unknown_filter(file):
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((2,))
    made.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((2,))
    h5py.h5d.create(file.id, b"alien", h5py.h5t.NATIVE_DOUBLE, space, made)


def many_claims(file):
    for k in range(100):
        file.create_dataset(f"alien{k}", (1 << 17,), "f8", chunks=(1 << 12,))


def packed(file):
    file.create_dataset("alien", data=np.zeros(1 << 22), chunks=(1 << 16,), compression="gzip",
                        compression_opts=9)  # fmt: skip


@pytest.mark.fault(12)
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (unknown_filter, "alien is packed by the filter 32015, which is not read"),
        (bytes_at_once, "trajectories/finite_steps has chunks of 536870912 bytes"),
        (many_claims, "and what comes before it claim"),
        (packed, "alien claims 33554432 bytes in a smaller file"),
        (put("graphs/rows", np.array([1 << 40])), "more rows than a file of this size"),
        (put("graphs/rows", np.array([-1])), "d.h5"),
        (put("trajectories/x/offsets", np.array([0, 1 << 40, 1 << 41])), "d.h5"),
        (put("trajectories/x/shapes", np.array([[1 << 40, 3, 2]] * 2)), "d.h5"),
        (put("trajectories/topology", np.array([5, 5])), "d.h5"),
        (put("topologies/num_systems", np.array([1 << 40])), "d.h5"),
        (put("topologies/node_names", [b"{}"]), "d.h5"),
        (put("topologies/node_names", [b"[" * 100000]), "d.h5"),
        (put("topologies/node_names", [b'[["a"], 2, null]']), "a name of a node is no text"),
        (put("topologies/node_names", [b'["a"]']), "node_type goes from 0 to 2, there are 1"),
        (put("trajectories/status", [b"<b>", b"ok"]), "the status '<b>' is none of"),
        (edited("topologies/system/values", lambda v: v + 7), "system goes from 7 to 7"),
        (edited("graphs/edge_index/values", lambda v: v + 3), "edge_index names rows 3 to 5"),
        (put("trajectories/x/values", np.zeros((66, 2), "i8")), "x holds torch.int64"),
        (put("trajectories/t/values", np.zeros(22, "i4")), "t holds torch.int32"),
        (put("trajectories/finite_steps", np.array([99, 99])), "of 11 states cannot be finite"),
    ],
)  # fmt: skip
def test_a_dataset_that_lies_is_refused_before_it_is_used(intact, change, told):
    with h5py.File(intact, "r+") as file:
        change(file)
    if change not in (many_claims, bytes_at_once, unknown_filter, packed):
        sign_dataset(intact)
    refused(intact, told)


@pytest.mark.fault(12)
def test_a_text_that_stands_for_many_fills_no_memory(intact):
    """HDF5 keeps long texts apart and points at them: nothing keeps all pointers from being one."""
    with h5py.File(intact, "r+") as file:
        one_text_for_many(file)
    raw = intact.read_bytes()
    first = raw.index(b"x" * 1000)
    # each pointer is a length, the address of a collection and a number within it
    collection = raw.rindex(b"GCOL", 0, first)
    pointer = (1000).to_bytes(4, "little") + collection.to_bytes(8, "little")
    place = raw.index(pointer)
    one = raw[place : place + 16]
    many = bytearray(raw)
    many[place : place + 16 * 4096] = one * 4096
    intact.write_bytes(bytes(many))
    refused(intact)


@pytest.mark.fault(10)
@pytest.mark.parametrize(
    "provenance",
    [
        "[]",
        '"text"',
        "[" * 100_000,
        "1" * 5000,
        '{"columns": []}',
        '{"units": [1]}',
        '{"columns": {"state": "abc"}}',
        '{"columns": {"state": [1, 2]}}',
        '{"columns": {"units": []}}',
        '{"columns": {"time": {}}}',
        "",
        "\x00",
    ],
)
def test_provenance_of_another_kind_is_refused(intact, provenance):
    with h5py.File(intact, "r+") as file:
        file.attrs["provenance"] = provenance if provenance != "\x00" else np.zeros(3)
        if provenance == "\x00":
            file.attrs["provenance_sha256"] = ""
    if provenance != "\x00":
        sign_dataset(intact)
    refused(intact)


@pytest.mark.fault(10)
@pytest.mark.parametrize("name", ["format", "schema", "complete", "manifest", "digest"])
@pytest.mark.parametrize("value", [["many"] * 9, np.zeros((2, 2)), np.nan, b"\xff\xfe", 7, ""])
def test_a_mark_of_another_kind_is_refused(intact, name, value):
    with h5py.File(intact, "r+") as file:
        file.attrs[name] = np.bytes_(value) if isinstance(value, bytes) else value
    refused(intact)


def spoiled(values, bad):
    values[7, 0] = bad
    return values


@pytest.mark.fault(11)
@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (
            "trajectories/x/values",
            lambda v: np.where(np.arange(len(v)) == 40, np.nan, v.T).T,
            "nan",
        ),
        (
            "trajectories/x/values",
            lambda v: np.where(np.arange(len(v)) == 40, np.inf, v.T).T,
            "inf",
        ),
        ("trajectories/t/values", lambda v: v[::-1].copy(), "Times must grow"),
        ("trajectories/t/values", lambda v: v * np.nan, "the time is no number"),
    ],
)
def test_numbers_that_are_none_are_found_at_load(intact, name, change, told):
    with h5py.File(intact, "r+") as file:
        edited(name, change)(file)
    sign_dataset(intact)
    with pytest.raises(DataError, match=told):
        TrajectoryData(file=str(intact)).setup("fit")


@pytest.mark.fault(11)
def test_a_column_that_stands_still_is_told_at_import(tmp_path):
    (tmp_path / "a.csv").write_text("t,q,k\n" + "".join(f"{n},{n * n},3\n" for n in range(9)))
    with pytest.raises(DataError, match="k = 3 in every sample"):
        import_data(tmp_path / "a.csv", tmp_path / "o.h5")
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.fault(12)
@pytest.mark.parametrize("change", [unknown_filter, packed, many_claims])
def test_a_start_and_an_import_look_first_too(tmp_path, change):
    path = tmp_path / "s.h5"
    with h5py.File(path, "w") as file:
        file["x0"] = np.zeros((3, 2))
        change(file)
    refused(path, "alien", reader=lambda p: read_start(p, 2))


def npy(header, body=b""):
    handle = io.BytesIO()
    np.lib.format.write_array_header_1_0(handle, header)
    return handle.getvalue() + body


@pytest.mark.fault(12)
@pytest.mark.parametrize("name", ["s.npy", "s.npz"])
@pytest.mark.parametrize(
    "shape", [(1 << 40, 2), (1 << 62, 1 << 62), (-1, 2), (3, 2, 1 << 30)], ids=str
)
def test_arrays_that_claim_to_be_huge_are_never_made(tmp_path, name, shape):
    body = npy({"descr": "<f8", "fortran_order": False, "shape": shape}, bytes(48))
    if name.endswith("z"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("x0.npy", body)
    else:
        (tmp_path / name).write_bytes(body)
    refused(tmp_path / name, reader=lambda p: read_start(p, 2))


class Malice:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.fault(12)
@pytest.mark.parametrize("name", ["s.npy", "s.npz"])
def test_arrays_of_objects_are_never_unpickled(tmp_path, name):
    canary = tmp_path / "canary"
    array = np.array([Malice(str(canary))], dtype=object)
    (np.savez if name.endswith("z") else np.save)(tmp_path / name, array, allow_pickle=True)
    refused(tmp_path / name, reader=lambda p: read_start(p, 2))
    if name.endswith("z"):
        with pytest.raises((DataError, ConfigError)):
            import_data(tmp_path / name, tmp_path / "o.h5")
    assert not canary.exists()


@pytest.mark.fault(12)
def test_an_npz_that_unpacks_without_end_is_refused(tmp_path):
    """A megabyte that is a gigabyte: refused by its header, or by the memory it would take."""
    path = tmp_path / "s.npz"
    header = npy({"descr": "<f8", "fortran_order": False, "shape": (1 << 27, 2)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../x0.npy", header + bytes(1 << 20))
    refused(path, "claims the shape", reader=lambda p: read_start(p, 2))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.npz"], "and nothing is unpacked"


TABLES = {
    "a huge field": "t,q\n0," + "9" * 1_000_000 + "\n1,2\n",
    "a huge text": "t,q\n0," + "x" * 1_000_000 + "\n1,2\n",
    "a huge name": "t," + "q" * 3_000_000 + "\n0,1\n",
    "a quoted name": 't,"' + "q" * 200_000 + '"\n0,1\n',
    "an open quote": 't,q\n0,"1\n' + "1,2\n" * 50_000,
    "a million columns": ",".join(f"c{n}" for n in range(1_000_000)) + "\n1,2\n",
    "a long row": "t,q\n" + "0," * 100_000 + "\n",
    "nul": "t,q\n0,\x00\n1,2\n",
    "only quotes": '"' * 100_000,
    "huge numbers": "t,q\n0,1e99999\n1,2\n2,-1e99999\n",
    "no number": "t,q\n0,0x1F\n1,2\n",
}


@pytest.mark.fault(12)
@pytest.mark.parametrize("what", TABLES)
def test_tables_that_burst_are_refused(tmp_path, command, capsys, what):
    (tmp_path / "a.csv").write_text(TABLES[what])
    assert command("data", "import", "a.csv", "--out", "o.h5") in (2, 3, 6)
    said = capsys.readouterr().err
    assert len(said) < 2100
    assert not (tmp_path / "o.h5").exists()


@pytest.mark.fault(12)
def test_a_packed_table_is_not_unpacked(tmp_path, command, capsys):
    """Half a megabyte of gzip may be half a gigabyte of rows."""
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"t,q\n" + b"0,1\n" * 1_000_000))
    assert command("data", "import", "a.csv.gz", "--out", "o.h5") == 3
    assert "the ending .gz is not known" in capsys.readouterr().err


ENTITIES = '<!DOCTYPE g [<!ENTITY a "xxxxxxxxxx">' + "".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(9)
)
GRAPHML = (
    '<?xml version="1.0"?>{head}<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
    '<graph edgedefault="undirected"><node id="{id}"/></graph></graphml>'
)
GRAPHS = {
    "entities.graphml": GRAPHML.format(head=ENTITIES + "]>", id="&j;"),
    "file.graphml": GRAPHML.format(
        head='<!DOCTYPE g [<!ENTITY f SYSTEM "file:///etc/passwd">]>', id="&f;"
    ),
    "remote.graphml": GRAPHML.format(head='<!DOCTYPE g SYSTEM "http://127.0.0.1:9/g">', id="a"),
    "deep.graphml": "<graphml>" + "<graph>" * 50_000,
    "empty.graphml": "",
    "deep.json": "[" * 1_000_000,
    "objects.json": '{"nodes": ' + '{"a":' * 100_000,
    "digits.json": '{"nodes": [{"id": ' + "9" * 10_000 + '}], "edges": []}',
    "names.json": json.dumps({"nodes": [{"id": "9" * 10_000}, {"id": "1"}], "edges": []}),
    "weights.json": json.dumps(
        {"nodes": [{"id": 0}, {"id": 1}], "edges": [{"source": 0, "target": 1, "w": 10**400}]}
    ),
    "nodes.json": json.dumps({"nodes": [{"id": 0}] * 100_000, "edges": []}),
    "kinds.json": '{"nodes": 7, "edges": {}}',
    "numbers.txt": "0 1\n1 " + "9" * 10_000 + "\n",
    "rows.txt": "0 1\n1 9223372036854775807\n",
    "cells.csv": "0,1," + "1" * 200_000 + "\n",
    "quotes.csv": '0,1,"' + "1" * 200_000 + "\n",
    "bytes.txt": "\x00\x01\x02",
}


@pytest.mark.fault(12)
@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_are_traps_are_refused(tmp_path, name):
    (tmp_path / name).write_text(GRAPHS[name])
    harmless = ("rows.txt", "names.json", "numbers.txt")
    for reader in (network, read_edges):
        if name in harmless:
            with suppress(DataError):
                reader(tmp_path / name)
        else:
            refused(tmp_path / name, reader=reader)


@pytest.mark.fault(12)
@pytest.mark.parametrize("encoding", ["utf-16", "utf-8"])
def test_a_graph_may_not_define_what_it_says(tmp_path, encoding):
    text = GRAPHS["file.graphml"].replace('"1.0"', f'"1.0" encoding="{encoding}"')
    (tmp_path / "g.graphml").write_bytes(text.encode(encoding))
    refused(tmp_path / "g.graphml", "defines", reader=read_edges)
