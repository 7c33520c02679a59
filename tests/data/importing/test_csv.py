"""Text tables of every make come back to the last bit."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simlearn.data.importing import Columns, Format

slack = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def same(dataset, rows):
    """One vector trajectory with these (t, columns...), to the last bit."""
    assert len(dataset) == 1
    rows = torch.tensor(rows, dtype=torch.float64)
    one = dataset[0]
    assert one.x.dtype == one.t.dtype == torch.float64
    assert torch.equal(one.t, rows[:, 0])
    assert torch.equal(one.x, rows[:, None, 1:])
    assert one.topology.rows == 1
    return one


def test_the_plainest_table(put, take, swing, swing_text):
    one = same(take(put("a.csv", swing_text)), swing)
    assert one.mask is None
    assert one.derivative is None
    assert one.inputs is None


MAKES = {
    "semicolons": lambda t: t.replace(",", ";"),
    "tabs": lambda t: t.replace(",", "\t"),
    "bars": lambda t: t.replace(",", "|"),
    "blanks": lambda t: t.replace(",", " "),
    "many blanks": lambda t: "\n".join("  " + line.replace(",", "   ") for line in t.split("\n")),
    "blanks after the delimiter": lambda t: t.replace(",", ", "),
    "quoted": lambda t: "\n".join(
        ",".join(f'"{c}"' for c in line.split(",")) for line in t.splitlines()
    ),
    "no last line end": lambda t: t.rstrip("\n"),
    "windows": lambda t: t.replace("\n", "\r\n"),
    "old mac": lambda t: t.replace("\n", "\r"),
    "comments": lambda t: '# made by "hand, 5"\n# an odd " mark\n' + t,
    "blank lines at the start": lambda t: "\n\n" + t,
    "blank lines within": lambda t: t.replace("\n", "\n\n"),
    "blank lines at the end": lambda t: t + "\n\n\n",
    "windows with blank lines": lambda t: t.replace("\n", "\r\n\r\n"),
    "delimiter at the end of rows": lambda t: t.replace("\n", ",\n").replace("v,\n", "v\n", 1),
    "delimiter at the end of every line": lambda t: t.replace("\n", ",\n"),
    "large E": lambda t: t.replace("e", "E"),
    "signs": lambda t: "\n".join(
        ",".join(c if c[0] in "-tqv" else f"+{c}" for c in line.split(","))
        for line in t.splitlines()
    ),
}


@pytest.mark.parametrize("make", MAKES.values(), ids=MAKES.keys())
def test_every_make_of_text(put, take, swing, swing_text, make):
    same(take(put("a.csv", make(swing_text))), swing)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_encodings_are_found_out(put, take, swing, swing_text, encoding, ends):
    same(take(put("a.csv", swing_text.replace("\n", ends), encoding)), swing)


def test_a_given_encoding_with_a_mark_at_the_start(put, take, swing, swing_text):
    path = put("a.csv", swing_text.replace("q", "größe"), "utf-8-sig")
    same(take(path, written=Format(encoding="utf-8")), swing)
    path = put("b.csv", swing_text.replace("q", "größe"), "latin-1")
    columns = Columns(time="t", state=["größe"], velocity=["v"])
    same(take(path, columns, out="b.h5", written=Format(encoding="latin-1")), swing)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_decimal_commas(put, take, swing, swing_text, mark):
    text = swing_text.replace(",", mark).replace(".", ",")
    same(take(put("a.csv", text), written=Format(decimal=",")), swing)


def test_decimal_commas_without_a_header(put, take, swing, table):
    rows = table("", swing, ";").replace(".", ",").lstrip("\n")
    same(take(put("a.csv", rows), written=Format(decimal=",", names=["t", "q", "v"])), swing)


@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "dat", "CSV"])
def test_endings(put, take, swing, swing_text, ending):
    same(take(put(f"a.{ending}", swing_text)), swing)


def test_no_header(put, take, swing, table):
    path = put("a.csv", table("", swing).lstrip("\n"))
    same(take(path, written=Format(names=["t", "q", "v"])), swing)


@slack
@given(
    st.lists(
        st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e300, 1e300)),
        min_size=2,
        max_size=30,
        unique_by=lambda pair: pair[0],
    ),
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_number_comes_back(put, take, table, pairs, mark, end):
    """Denormals, the largest, minus zero: time and state to the last bit."""
    pairs = sorted(pairs)
    path = put("a.csv", table(mark.join(["t", "q"]), pairs, mark, end))
    dataset = take(path, constant="keep", overwrite=True)
    same(dataset, pairs)
    bits = dataset[0].x[:, 0, 0].numpy().view(np.int64)
    assert (bits == np.array([q for _, q in pairs]).view(np.int64)).all()


def test_random_bit_patterns_come_back(put, take, rng, table):
    values = np.frombuffer(rng.bytes(8 * 20000))
    values = values[np.isfinite(values)]
    rows = list(enumerate(values.tolist()))
    path = put("a.csv", table("t,q", rows))
    assert (take(path)[0].x[:, 0, 0].numpy() == values).all()
    text = table("t;q", rows, ";")
    path = put("b.csv", text.replace(".", ","))
    found = take(path, out="b.h5", written=Format(decimal=","))
    assert (found[0].x[:, 0, 0].numpy() == values).all()


def test_columns_in_any_order_and_columns_left_out(put, take, swing, table):
    rows = [[v, "text, not a number", q, t] for t, q, v in swing]
    text = table("v;note;q;t", rows, ";")
    columns = Columns(time="t", state=["q"], velocity=["v"])
    dataset = take(put("a.csv", text), columns)
    same(dataset, swing)
    assert dataset.provenance["columns"]["velocity"] == ["v"]


def test_parts_of_the_state(put, take, rng, table):
    """Momenta, derivatives, inputs and parameters land where they belong."""
    values = rng.normal(size=(6, 9)).tolist()
    rows = [[0.5 * k, *v, 2.5, -1.0] for k, v in enumerate(values)]
    text = table("t,a,b,p1,p2,da,db,dp1,dp2,u,m,k", rows)
    columns = Columns(
        time="t",
        state=["a", "b"],
        momentum="p1,p2",
        derivative=["da", "db", "dp1", "dp2"],
        inputs=["u"],
        parameters=["k", "m"],
    )
    one = take(put("a.csv", text), columns)[0]
    want = torch.tensor(values, dtype=torch.float64)
    assert torch.equal(one.x[:, 0], want[:, :4])
    assert torch.equal(one.derivative[:, 0], want[:, 4:8])
    assert torch.equal(one.inputs[:, 0], want[:, 8:])
    assert torch.equal(one.topology.system_attr, torch.tensor([[-1.0, 2.5]]).double())
    assert one.topology.node_attr is None


def test_parts_are_guessed_from_their_names(put, take, rng, table):
    rows = [[0.5 * k, *v] for k, v in enumerate(rng.normal(size=(4, 5)).tolist())]
    dataset = take(put("a.csv", table("time,x,y,vx,vy,u", rows)))
    told = dataset.provenance["columns"]
    assert (told["time"], told["state"], told["velocity"]) == ("time", ["x", "y"], ["vx", "vy"])
    assert told["inputs"] == ["u"]
    assert torch.equal(
        dataset[0].inputs[:, 0, 0], torch.tensor([r[5] for r in rows], dtype=torch.float64)
    )


def test_a_step_instead_of_a_time(put, take, table):
    """Without a time, a line that misses its only number is a sample and no blank line."""
    path = put("a.csv", "q\n1.5\n\n2.5\n4.5\n\n\n")
    dataset = take(path, Columns(state=["q"], dt=0.25), missing="mask")
    assert dataset[0].t.tolist() == [0.0, 0.25, 0.5, 0.75]
    assert dataset[0].mask[:, 0].tolist() == [True, False, True, True]
    path = put("b.csv", "q,u\n1.5,1\n2.5,1\n4.5,2\n")
    assert take(path, Columns(dt=0.5), out="b.h5")[0].t.tolist() == [0.0, 0.5, 1.0]


def long_rows(rng, systems, nodes, steps):
    return [
        [str(s), str(n), 0.1 * k + s, *rng.normal(size=2).tolist()]
        for s in systems
        for k in range(steps[s])
        for n in nodes
    ]


def check_long(dataset, rows, systems, nodes):
    assert len(dataset) == len(systems)
    for s, one in zip(systems, dataset, strict=True):
        mine = [r for r in rows if r[0] == str(s)]
        t = sorted({r[2] for r in mine})
        assert one.t.tolist() == t
        assert one.topology.rows == len(nodes)
        for row, n in enumerate(nodes):
            want = [r[3:] for k in t for r in mine if r[1] == str(n) and r[2] == k]
            assert one.x[:, row].tolist() == want


@pytest.mark.parametrize("shuffle", ["as written", "node major", "nodes turned", "systems mixed"])
@pytest.mark.parametrize("systems", [["10", "2", "1"], ["b", "a", "c"]])
def test_long_tables(put, take, rng, table, shuffle, systems):
    """System and node columns, ragged lengths, rows in any order that keeps time growing."""
    steps = dict(zip(systems, (5, 3, 7), strict=True))
    rows = [
        [s, str(n), 0.1 * k, *rng.normal(size=2).tolist()]
        for s in systems
        for k in range(steps[s])
        for n in (0, 2, 10)
    ]
    mixed = {
        "as written": lambda: rows,
        "node major": lambda: sorted(rows, key=lambda r: (systems.index(r[0]), int(r[1]), r[2])),
        "nodes turned": lambda: sorted(rows, key=lambda r: (systems.index(r[0]), r[2], -int(r[1]))),
        "systems mixed": lambda: sorted(rows, key=lambda r: (r[2], systems.index(r[0]), r[1])),
    }[shuffle]()
    dataset = take(put("a.csv", table("run,node,t,q,v", mixed)))
    check_long(dataset, rows, systems, [0, 2, 10])
    assert dataset[0].topology.node_names == ()


def test_named_nodes_keep_their_row_in_every_system(put, take, rng, table):
    """The second system and the second file name their nodes in another order."""
    order = {"one": ["sun", "earth", "moon"], "two": ["moon", "sun", "earth"]}
    rows = [
        [s, n, float(k), *rng.normal(size=2).tolist()]
        for s in order
        for k in (0, 1)
        for n in order[s]
    ]
    last = [["three", r[1], *r[2:4], r[4] + 1] for r in rows[6:][::-1]]
    last.sort(key=lambda r: r[2])
    first = put("a.csv", table("run,body,t,q,v", rows))
    dataset = take([first, put("b.csv", table("run,body,t,q,v", last))])
    assert {one.topology.node_names for one in dataset} == {("sun", "earth", "moon")}
    check_long(dataset, rows + last, ["one", "two", "three"], ["sun", "earth", "moon"])
    assert dataset[1].topology is dataset[0].topology


@pytest.mark.parametrize("cells", ["{}, {} ,{}", ' "{}", "{}" , {}'])
def test_blanks_and_quotes_around_ids(put, take, cells):
    body = "\n".join(
        cells.format(s, n, t) + f",{s + n + t * t + 0.5}"
        for s in (1, 2)
        for t in (0, 1, 2)
        for n in (0, 1)
    )
    dataset = take(put("a.csv", f"system,node,t,x\n{body}\n"))
    assert len(dataset) == 2
    assert dataset[0].topology.rows == 2
    assert dataset[0].topology.node_names == ()


def test_a_node_may_be_called_na(put, take):
    text = "node,t,x\nNA,0,1\nCl,0,2\nNA,1,3\nCl,1,4\n"
    assert take(put("a.csv", text))[0].topology.node_names == ("NA", "Cl")


def test_wide_tables(put, take, rng, table):
    values = rng.normal(size=(5, 7)).tolist()
    rows = [[float(k), *v] for k, v in enumerate(values)]
    columns = Columns(
        time="t", state="a,b,c", wide=True, derivative="da,db,dc", inputs="u", parameters=()
    )
    dataset = take(put("a.csv", table("t,a,b,c,da,db,dc,u", rows)), columns)
    one, want = dataset[0], torch.tensor(values, dtype=torch.float64)
    assert one.x.shape == (5, 3, 1)
    assert torch.equal(one.x[:, :, 0], want[:, :3])
    assert torch.equal(one.derivative[:, :, 0], want[:, 3:6])
    assert torch.equal(one.inputs[:, :, 0], want[:, 6:].expand(5, 3))
    assert one.topology.node_names == ("a", "b", "c")


def test_parameters_of_nodes_and_of_systems(put, take, table):
    """A parameter that differs between nodes in one system belongs to the nodes in all."""
    mass = {"1": {"0": 1.0, "1": 1.0}, "2": {"0": 3.0, "1": 4.0}}
    rows = [
        [s, n, float(k), k * k + float(n) + float(s), mass[s][n], 9.81 + float(s)]
        for s in "12"
        for k in range(3)
        for n in "01"
    ]
    columns = Columns(time="t", node="node", system="run", state="x", parameters="m,g")
    first, second = take(put("a.csv", table("run,node,t,x,m,g", rows)), columns)
    assert first.topology.node_attr.tolist() == [[1.0], [1.0]]
    assert second.topology.node_attr.tolist() == [[3.0], [4.0]]
    assert first.topology.system_attr.tolist() == [[10.81]]
    assert second.topology.system_attr.tolist() == [[11.81]]
    assert first.topology.graph.key == second.topology.graph.key


def test_a_parameter_given_once_holds_for_all_samples(put, take):
    columns = Columns(time="t", state="x", parameters="k")
    one = take(put("a.csv", "t,x,k\n0,1,\n1,2,0.5\n2,4,\n"), columns)[0]
    assert one.topology.system_attr.tolist() == [[0.5]]


def test_files_and_folders(put, take, swing, swing_text, table):
    """Every table is a trajectory; those of a folder come in the order of their names."""
    for name, shift in (("b", 1.0), ("a", 0.0), ("c", 2.0)):
        rows = [[t, q + shift, v] for t, q, v in swing[: 5 + int(shift)]]
        put(f"runs/{name}.csv", table("t,q,v", rows))
    put("runs/notes.md", "no data")
    put("runs/.hidden.csv", "rubbish")
    folder = put("x.csv", swing_text).parent / "runs"
    dataset = take(folder)
    assert [one.steps for one in dataset] == [5, 6, 7]
    assert [float(one.x[0, 0, 0]) for one in dataset] == [swing[0][1] + k for k in (0.0, 1.0, 2.0)]
    files = [f["name"] for f in dataset.provenance["imported"]["files"]]
    assert files == ["a.csv", "b.csv", "c.csv"]
    turned = take([folder / "c.csv", folder / "a.csv"], out="turned.h5")
    assert [one.steps for one in turned] == [7, 5]


def test_irregular_times(put, take, table):
    rows = [[t, t * t] for t in (0.0, 0.1, 0.15, 0.7, 3.0)]
    same(take(put("a.csv", table("t,x", rows))), rows)


def test_thousand_columns(put, take, rng, table):
    """A header far longer than a disk page."""
    values = rng.normal(size=(3, 9000)).tolist()
    header = ",".join(["t", *(f"node_number_{k}" for k in range(9000))])
    rows = [[float(k), *v] for k, v in enumerate(values)]
    columns = Columns(time="t", wide=True)
    one = take(put("a.csv", table(header, rows)), columns)[0]
    assert one.x[:, :, 0].tolist() == values


def test_many_columns_have_no_directions(put, take, rng, table):
    values = rng.normal(size=(3, 1500)).tolist()
    header = ",".join(["t", *(f"x{k}" for k in range(1500))])
    rows = [[float(k), *v] for k, v in enumerate(values)]
    assert take(put("a.csv", table(header, rows)))[0].x[:, 0].tolist() == values
