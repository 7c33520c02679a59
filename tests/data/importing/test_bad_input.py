"""What cannot be read is refused with file, line and column, and nothing is left behind."""

import pytest

from simlearn.component import ConfigError, DataError
from simlearn.data.importing import Columns, Format, import_data, tables
from simlearn.data.store import read

GOOD = "0,1,5\n1,2,6\n2,4,9\n"


def refused(take, sources, *told, columns=None, kind=DataError, **options):
    with pytest.raises(kind) as error:
        take(sources, columns, **options)
    for part in told:
        assert part in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ["is empty"]),
        ("\n\n", ["is empty"]),
        ("# only a comment\n", ["is empty"]),
        ("t,q,v\n", ["no row"]),
        ("t,q,v\n\n\n", ["no row"]),
        ("t,q,v\n0,1,2\n", ["two complete samples", "1"]),
        (GOOD, ["line 1", "header is missing", "--names"]),
        ("# a\n\n" + GOOD, ["line 3", "header is missing"]),
        ("t,q,q\n" + GOOD, ["line 1", "two columns named 'q'"]),
        ("# a\nt,q,q [m]\n" + GOOD, ["line 2", "two columns named 'q'"]),
        ("t,,v\n" + GOOD, ["line 1", "without a name"]),
        ("t,q,v\n0,1,5\n2,2,6\n1,4,9\n", ["line 4, column t", "1.0 comes after 2.0"]),
        ("t,q,v\n0,1,5\n1,2,6\n1,4,9\n", ["line 4, column t", "1.0 occurs twice", "--system"]),
        ("t,q,v\n0,1,5\n,2,6\n1,4,9\n", ["line 3, column t", "time is missing"]),
        ("t,q,v\n0,1,5\ninf,2,6\n", ["line 3, column t", "time is infinite"]),
        ("t,q,v\n0,1,5\n1,,6\n2,4,9\n", ["line 3, column q", "missing", "--missing"]),
        ("t,q,v\n0,1,5\n1,2\n2,4,9\n", ["line 3, column v", "missing"]),
        ("t,q,v\n0,1,5\n1,2,-Inf\n2,4,9\n", ["line 3, column v", "infinite"]),
        ("t,q,v\n0,1,5\n1,1e999,6\n", ["line 3, column q", "infinite"]),
        ("t,q,v\n0,1,5\n1,oops,6\n2,4,9\n", ["line 3, column q", "'oops' is no number"]),
        ("t,q,v\n0,1,5\n1,2,1_000\n2,4,9\n", ["line 3, column v", "'1_000'"]),
        ("t,q,v\n0,1,5\n1,2,6,7\n2,4,9\n", ["line 3 has 4 cells", "3: t, q, v"]),
        ("t,q,v\n0,1,5,7\n1,2,6\n2,4,9\n", ["line 2 has 4 cells"]),
        ("t,q,v\n0,1,5,7\n1,2,6,7\n2,4,9,8\n", ["line 2 has 4 cells"]),
        ("t,q\n0,1,5\n1,2,5\n", ["line 2 has 3 cells"]),
        ("t q v\n0 1 5\n1 2 6 7\n2 4 9\n", ["line 3 has 4 cells"]),
        ("t;q;v\n0;1,5;2\n1;2,5;3\n", ["line 2, column q", "'1,5'", "--decimal ,"]),
        ("t,q\n0;1\n1;2\n", ["line 2, column t", "another delimiter"]),
        ("t,q\n0,1\n# note\n1,2\n", ["line 3, column t", "before the header"]),
        ("t,q\n2024-01-01,1\n2024-01-02,2\n", ["line 2, column t", "seconds"]),
        ("t,q,v\n0,1,5\n1,2,5\n2,4,5\n", ["v = 5", "--constant keep"]),
        ("node,t,q\n0,0,1\n,1,2\n", ["line 3, column node", "node is missing"]),
        ("run,t,q\n0,0,1\n,1,2\n", ["line 3, column run", "system is missing"]),
        ("node,t,q\n0,0,1\n1,0,2\n0,1,3\n1,1,4\n0,1,5\n", ["line 6", "of node 0 occurs twice"]),
        ("node,t,q\n0,0,1\n1,0,2\n0,1,3\n", ["node 1 at t = 1", "no such row"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("make", ["plain", "windows", "utf-16"])
def test_tables_are_refused(put, take, text, told, make):
    """Line numbers are those of the file, whatever its line ends and encoding."""
    text = text.replace("\n", "\r\n") if make == "windows" else text
    path = put("bad.csv", text, "utf-16" if make == "utf-16" and text else "utf-8")
    refused(take, path, "bad.csv", *told)


@pytest.mark.parametrize("start", ['# one\n# "two\n', "\n", "# a\n\n# b\n"])
@pytest.mark.parametrize("rows", [3, 5000])
def test_lines_are_counted_truly(put, take, monkeypatch, start, rows):
    """Comments, blank lines, and the second frame of a file that is read in pieces."""
    monkeypatch.setattr(tables, "PIECE_BYTES", 1)  # frames of a thousand rows
    body = [f"{k},{k * k}\n" + ("\n" if k == 1 else "") for k in range(rows)]
    before = start.count("\n") + 1 + rows + 1  # header, rows, a blank line
    for bad, told in [
        (f"{rows},x\n", f"line {before + 1}, column q: 'x' is no number"),
        (f"{rows},\n", f"line {before + 1}, column q: the number is missing"),
        (f"{rows - 1},1\n", f"line {before + 1}, column t: the time {rows - 1}.0 occurs twice"),
        (f"{rows},1,2\n", f"line {before + 1} has 3 cells"),
    ]:
        text = start + "t,q\n" + "".join(body) + bad + f"{rows + 1},7\n"
        for ends in ("\n", "\r\n"):
            refused(take, put("bad.csv", text.replace("\n", ends)), told)


def test_the_first_bad_cell_is_told(put, take):
    text = "t,q,v\n0,1,5\n1,2,bad\n2,worse,9\n"
    refused(take, put("a.csv", text), "line 3, column v: 'bad'")


def test_decimal_commas_and_points_mixed(put, take):
    text = "t;q\n0;1,5\n1;2.5\n"
    refused(take, put("a.csv", text), "line 3, column q: '2.5'", written=Format(decimal=","))


def test_bytes_that_are_no_text(put, take):
    body = "".join(f"{k},{k * k}\n" for k in range(300_000))
    text = f"t,q\n{body}".encode() + b"300000,\xe9\n"
    refused(take, put("a.csv", text), "a.csv, line 300002", "0xe9", "utf-8", "--encoding latin-1")
    refused(take, put("b.csv", b"t,gr\xf6\n0,1\n"), "b.csv, line 1", "0xf6")
    refused(take, put("c.csv", "t,q\n0,1\n1,2\n".encode("utf-16")[:-1]), "c.csv")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"written": {"delimiter": ";"}}, ["'t,q,v'", "Is the delimiter a comma?"]),
        ({"written": {"names": ["t", "q"]}}, ["line 1", "3 cells", "2"]),
        ({"columns": {"state": "qq"}}, ["no column 'qq'", "did you mean 'q'"]),
        ({"columns": {"units": {"w": "m"}}}, ["no column 'w'", "t, q, v"]),
        ({"columns": {"state": "q", "velocity": "v", "derivative": "t", "dt": 1}}, ["q, v", "t"]),
        ({"columns": {"state": "q,v", "velocity": "t", "dt": 1}}, ["2 positions", "got 1"]),
        ({"columns": {"dt": 1}}, ["dt is given", "'t'", "--state"]),
        ({"missing": "forget"}, ["error, drop or mask", "forget"]),
        ({"constant": "drop"}, ["error or keep"]),
        ({"held_out": 1.0}, ["[0, 1)"]),
    ],
)
def test_wishes_that_do_not_fit(put, take, options, told):
    path = put("a.csv", "t,q,v\n" + GOOD)
    columns, written = Columns(**options.get("columns", {})), Format(**options.get("written", {}))
    rest = {k: v for k, v in options.items() if k not in ("columns", "written")}
    with pytest.raises(ConfigError) as error:
        take(path, columns, written=written, **rest)
    for part in told:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("build", "told"),
    [
        (lambda: Format(delimiter="::"), "one character"),
        (lambda: Format(delimiter=""), "one character"),
        (lambda: Format(decimal=",,"), "one character"),
        (lambda: Format(delimiter=",", decimal=","), "other than the delimiter"),
        (lambda: Format(encoding="utf-9"), "utf-9"),
        (lambda: Columns(state="q", velocity="q"), "q twice"),
        (lambda: Columns(velocity="v", momentum="p"), "not both"),
        (lambda: Columns(wide=True, node="n"), "wide"),
        (lambda: Columns(dt=-1), "positive"),
        (lambda: Columns(dt=1, time="t"), "no time column"),
    ],
)
def test_maps_that_cannot_be(build, told):
    with pytest.raises(ConfigError, match=told):
        build()


def test_an_encoding_of_no_text(put, take):
    path = put("a.csv", "t,q,v\n" + GOOD)
    refused(take, path, "hex", kind=ConfigError, written=Format(encoding="hex"))


def test_a_delimiter_without_a_time(put, take):
    refused(take, put("a.csv", "q,v\n1,2\n3,4\n"), "no time column", "--dt", kind=ConfigError)


def test_parameters_that_are_none(put, take):
    columns = Columns(time="t", state="q", parameters="k")
    path = put("a.csv", "t,q,k\n0,1,5\n1,2,6\n")
    refused(take, path, "line 3, column k", "changes from 5 to 6", "--inputs", columns=columns)
    path = put("b.csv", "t,q,k\n0,1,\n1,2,\n")
    refused(take, path, "line 2, column k", "parameter k is missing", columns=columns)
    path = put("c.csv", "t,q,k\n0,1,inf\n1,2,inf\n")
    refused(take, path, "line 2, column k", "infinite", columns=columns)


def test_a_parameter_that_becomes_one_of_nodes(put, take):
    columns = Columns(time="t", node="n", state="q", parameters="m")
    first = put("a.csv", "t,n,q,m\n0,0,1,1\n0,1,2,1\n1,0,3,1\n1,1,5,1\n")
    second = put("b.csv", "t,n,q,m\n0,0,1,1\n0,1,2,2\n1,0,3,1\n1,1,5,2\n")
    refused(take, [first, second], "b.csv, line 3, column m", "first", columns=columns)
    found = take([second, first], columns)
    assert [one.topology.node_attr[:, 0].tolist() for one in found] == [[1.0, 2.0], [1.0, 1.0]]


def test_wide_columns_are_told_by_name(put, take):
    columns = Columns(time="t", state="a,b", derivative="da,db", wide=True)
    text = "t,a,b,da,db\n0,1,2,3,4\n1,5,6,7,\n2,1,1,1,1\n"
    refused(take, put("a.csv", text), "line 3, column db", columns=columns)
    text = "t,a,b,da,db\n0,1,2,3,4\n1,5,,7,1\n2,1,1,1,1\n"
    refused(take, put("b.csv", text), "line 3, column b:", columns=columns)


def test_a_dead_channel_of_a_wide_table(put, take):
    columns = Columns(time="t", state="a,b", wide=True)
    path = put("a.csv", "t,a,b\n0,1,2.5\n1,5,2.5\n")
    refused(take, path, "a.csv: b = 2.5 in every sample", columns=columns)
    assert take(path, columns, constant="keep")[0].x[:, 1, 0].tolist() == [2.5, 2.5]
    take(put("b.csv", "node,t,q\n0,0,1\n1,0,0\n0,1,2\n1,1,0\n"), out="b.h5")  # a fixed body


def test_files_that_do_not_match(put, take):
    first = put("a.csv", "t,q,v\n" + GOOD)
    refused(take, [first, put("b.csv", "t,q,w\n" + GOOD)], "b.csv", "state q, w", "q, v")
    refused(take, [first, put("c.csv", "t,q,v\n")], "c.csv", "no row")
    refused(take, [first, first], "given twice")
    refused(take, put("d.md", "t,q\n"), "ending .md")
    refused(take, first.parent / "nowhere.csv", "no file")
    (first.parent / "empty").mkdir()
    refused(take, first.parent / "empty", "holds no")
    refused(take, put("e.csv", ""), "e.csv is empty")


def test_nothing_is_replaced_unasked(put, take, tmp_path):
    path = put("a.csv", "t,q,v\n" + GOOD)
    before = take(path).digest
    refused(take, path, "exists already", "--overwrite")
    bad = put("b.csv", "t,q,v\n0,1,x\n")
    refused(take, bad, "'x'", overwrite=True)
    assert read(tmp_path / "made/out.h5").digest == before, "a refused import replaces nothing"


def test_a_source_is_not_overwritten(put):
    import h5py

    path = put("a.csv", "t,q\n0,1\n1,2\n").with_suffix(".h5")
    with h5py.File(path, "w") as file:
        file["t"], file["x"] = [0.0, 1.0, 2.0], [1.0, 2.0, 4.0]
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="one of the sources"):
        import_data(path, path, overwrite=True)
    assert path.read_bytes() == before


def test_a_dataset_needs_no_import(put, take, tmp_path):
    take(put("a.csv", "t,q,v\n" + GOOD))
    refused(take, tmp_path / "made/out.h5", "dataset of simlearn already", out="b.h5")


HOLES = "t,q,v\n0,1,5\n1,,6\n2,3,7\n3,inf,nan\n4,5,1\n"


def test_missing_numbers_are_dropped_and_counted(put, take):
    dataset = take(put("a.csv", HOLES), missing="drop")
    assert dataset[0].t.tolist() == [0.0, 2.0, 4.0]
    assert dataset[0].x[:, 0].tolist() == [[1.0, 5.0], [3.0, 7.0], [5.0, 1.0]]
    assert dataset[0].mask is None
    told = dataset.provenance["imported"]["missing"]
    assert told == {"policy": "drop", "nan": 2, "infinite": 1, "samples": 2}


def test_missing_numbers_are_masked_and_counted(put, take):
    dataset = take(put("a.csv", HOLES), missing="mask")
    assert dataset[0].mask[:, 0].tolist() == [True, False, True, False, True]
    assert dataset[0].x[:, 0].tolist() == [[1, 5], [0, 6], [3, 7], [0, 0], [5, 1]]
    told = dataset.provenance["imported"]["missing"]
    assert told == {"policy": "mask", "nan": 2, "infinite": 1, "samples": 2}


def test_rows_of_nodes_are_masked_one_by_one(put, take):
    text = "node,t,q\n0,0,1\n1,0,2\n0,1,3\n0,2,4\n1,2,nan\n0,3,1\n1,3,9\n"
    dataset = take(put("a.csv", text), missing="mask")
    assert dataset[0].mask.tolist() == [[True, True], [True, False], [True, False], [True, True]]
    dropped = take(put("a.csv", text), missing="drop", out="b.h5")
    assert dropped[0].t.tolist() == [0.0, 3.0]


def test_too_little_is_left(put, take):
    text = "t,q\n0,1\n1,\n2,\n"
    refused(take, put("a.csv", text), "two complete samples", missing="drop")


def test_a_missing_derivative_or_input_makes_the_sample_incomplete(put, take):
    columns = Columns(time="t", state="q", derivative="d", inputs="u")
    text = "t,q,d,u\n0,1,1,1\n1,2,,1\n2,3,1,\n3,5,1,1\n"
    refused(take, put("a.csv", text), "line 3, column d", columns=columns)
    assert take(put("a.csv", text), columns, missing="drop")[0].t.tolist() == [0.0, 3.0]
