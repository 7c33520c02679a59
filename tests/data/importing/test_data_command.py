"""`simlearn data`: flags, a YAML file and Python give one dataset; errors are one message."""

import json

import numpy as np
import pytest

from simlearn.data.importing import Columns, Format, import_data
from simlearn.data.store import read


@pytest.fixture
def messy(put, swing):
    """Semicolons, decimal commas, two runs, a hole."""
    rows = [f"{r};{t!r};{q + r!r};{v!r};1.5" for r in (1, 2) for t, q, v in swing]
    rows[3] = rows[3].replace(rows[3].split(";")[2], "")
    return put("messy.csv", ("run;t;a;b;c\n" + "\n".join(rows) + "\n").replace(".", ","))


FLAGS = [
    *("--time", "t", "--system", "run", "--state", "a", "--velocity", "b", "--parameters", "c"),
    *("--units", "t=s,a=m,b=m/s", "--decimal", ",", "--missing", "drop", "--held-out", "0.5"),
]
YAML = """
time: t
system: run
state: [a]
velocity: b
parameters: [c]
units: {t: s, a: m, b: m/s}
decimal: ","
missing: drop
held_out: 0.5
"""


def test_flags_yaml_and_python_are_one(say, messy, put, tmp_path):
    assert say("data", "import", messy, "--out", "flags.h5", *FLAGS)[0] == 0
    config = put("columns.yaml", YAML)
    assert say("data", "import", messy, "--out", "yaml.h5", "-c", config)[0] == 0
    columns = Columns(
        time="t",
        system="run",
        state="a",
        velocity="b",
        parameters="c",
        units={"t": "s", "a": "m", "b": "m/s"},
    )
    import_data(
        messy,
        tmp_path / "python.h5",
        columns,
        written=Format(decimal=","),
        missing="drop",
        held_out=0.5,
    )
    for test in ("", "-test"):
        made = [read(tmp_path / f"{name}{test}.h5") for name in ("flags", "yaml", "python")]
        assert len({one.digest for one in made}) == 1
        assert all(one.provenance == made[0].provenance for one in made)


def test_the_command_prints_what_it_read(say, messy):
    code, out, _ = say("data", "import", messy, "--out", "o.h5", *FLAGS)
    assert code == 0
    for part in (
        "state       a [m]\n",
        "velocity    b [m/s]\n",
        "trajectories  2\n",
        "9 to 10 samples, 19 in all",
        "time          0 to 0.9 s, irregular steps",
        "column        smallest       largest",
        "energy of the data by direction",
        "missing: 1 numbers, infinite: 0; 1 samples left out",
        "o.h5: digest",
        "o-test.h5: digest",
        "simlearn fit --data.file o.h5",
    ):
        assert part in out, part
    assert "guessed" not in out


def test_guesses_are_said_to_be_guesses(say, put, swing_text):
    out = say("data", "import", put("a.csv", swing_text), "--out", "o.h5", "--state", "q")[1]
    assert "time        t  (guessed)" in out
    assert "state       q\n" in out
    assert "missing: none" in out


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--delimiter", "tab"], "t\tq\n0\t1\n1\t2\n"),
        (["--delimiter", "space"], "t q\n0  1\n1 2\n"),
        (["--delimiter", ";"], "t;q\n0;1\n1;2\n"),
        (["--names", "t,q"], "0,1\n1,2\n"),
        (["--encoding", "latin-1"], "t,q\n0,1\n1,2\n"),
        (["--dt", "0.5", "--state", "q"], "q\n1\n2\n"),
        (["--state", "q [m]"], "t [s],q [m]\n0,1\n1,2\n"),
        (["--state=[q]", "--time=t"], "t,q\n0,1\n1,2\n"),
        (["--wide", "true"], "t,p,q\n0,1,3\n1,2,4\n"),
        (["--constant", "keep"], "t,q\n0,1\n1,1\n"),
    ],
)
def test_options(say, put, tmp_path, flags, text):
    code, _, error = say("data", "import", put("a.csv", text), "--out", "o.h5", *flags)
    assert code == 0, error
    assert read(tmp_path / "o.h5")[0].steps == 2


def test_axes_and_graph(say, tmp_path, put, rng):
    np.savez(tmp_path / "a.npz", t=np.arange(3.0), x=rng.normal(size=(3, 3)))
    edges = put("edges.csv", "0,1\n1,2\n")
    flags = ["--axes", "node,time", "--graph", edges, "--directed", "true"]
    assert say("data", "import", "a.npz", "--out", "o.h5", *flags)[0] == 0
    assert read(tmp_path / "o.h5")[0].topology.graph.edge_index.tolist() == [[0, 1], [1, 2]]


@pytest.mark.parametrize(
    ("flags", "code", "told"),
    [
        ([], 3, "line 3, column q: the number is missing"),
        (["--state", "w"], 2, "no column 'w'"),
        (["--stat", "q"], 2, "stat"),
        (["--missing", "maybe"], 2, "wanted one of error, drop, mask, got maybe"),
        (["--units", "q"], 2, "name=unit"),
        (["--units", "q=parrots"], 3, "parrots"),
        (["--delimiter", ";"], 2, "Is the delimiter a comma?"),
        (["--delimiter", "ab"], 2, "one character"),
        (["--encoding", "utf-99"], 2, "utf-99"),
        (["--dt", "soon"], 2, "soon"),
        (["--graph", "nowhere.csv"], 3, "no graph nowhere.csv"),
        (["--held-out", "2"], 2, "share"),
        (["-c", "nowhere.yaml"], 2, "no config nowhere.yaml"),
        (["--out", "a.csv", "--overwrite"], 2, "one of the sources"),
    ],
)
def test_refusals_are_one_message(say, put, tmp_path, flags, code, told):
    path = put("a.csv", "t,q\n0,1\n1,\n2,3\n")
    before = path.read_bytes()
    found, _, error = say("data", "import", "a.csv", "--out", "o.h5", *flags)
    assert found == code, error
    assert told in error
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    assert path.read_bytes() == before


def test_too_little_memory_is_the_machines_fault(say, put, swing_text, monkeypatch):
    from simlearn.data.importing import memory

    monkeypatch.setattr(memory, "budget", lambda: 100)
    code, _, error = say("data", "import", put("a.csv", swing_text), "--out", "o.h5")
    assert code == 6
    assert "100 bytes may be used" in error


def test_a_yaml_with_a_wrong_key(say, put, swing_text):
    put("a.csv", swing_text)
    config = put("c.yaml", "state: q\nvelocty: v\n")
    code, _, error = say("data", "import", "a.csv", "--out", "o.h5", "-c", config)
    assert code == 2
    assert "velocty" in error


def test_verify_and_show(say, put, tmp_path, swing_text):
    say("data", "import", put("a.csv", swing_text), "--out", "o.h5", "--units", "q=m")
    digest = read(tmp_path / "o.h5").digest
    code, out, _ = say("data", "verify", "o.h5")
    assert (code, "whole. 1 trajectories, 10 samples" in out, digest[:12] in out) == (0, True, True)
    code, out, _ = say("data", "show", "o.h5")
    assert code == 0
    assert "q " in out
    assert "a.csv" in out
    told = json.loads(say("data", "show", "o.h5", "--json")[1])
    assert told["digest"] == digest
    assert told["columns"] == ["q", "v"]
    assert told["provenance"]["imported"]["files"][0]["name"] == "a.csv"
    raw = bytearray((tmp_path / "o.h5").read_bytes())
    at = raw.index(np.float64(swing_text.split("\n")[3].split(",")[1]).tobytes())
    raw[at] ^= 1
    (tmp_path / "o.h5").write_bytes(raw)
    for action in ("verify", "show"):
        assert say("data", action, "o.h5")[0] == 3
    assert say("data", "verify", "nowhere.h5")[0] == 3


def test_usage(say):
    assert "import SRC" in say("data")[1]
    assert say("data", "--help")[0] == 0
    assert say("data", "import", "--help")[0] == 0
    code, _, error = say("data", "improt")
    assert code == 2
    assert "'improt'" in error
    assert say("data", "import", "a.csv")[0] == 2
    assert say("data", "import", "--out", "o.h5")[0] == 2
