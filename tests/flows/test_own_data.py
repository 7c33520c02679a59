"""The page "From a csv to a gated simulator" is run as it stands, in an empty folder."""

import contextlib
import io
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from simlearn import cli

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs/own-data.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python|sh|yaml)\n(.*?)```", PAGE, re.S)


def launched(line, here):
    """Exit code and output of a command line, or of a Python text, in processes of its own."""
    # the installed command, not the one of the checkout that this test stands in
    found = shutil.which("simlearn", path=f"{pathlib.Path(sys.executable).parent}")
    paths = [str(pathlib.Path(p).parent) for p in (found, sys.executable) if p]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PATH": ":".join([*paths, os.environ["PATH"]])}
    done = subprocess.run(
        line, shell=isinstance(line, str), cwd=here, env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def called(line, here):
    """The same in this process, which has imported already what takes each command seconds."""
    told = io.StringIO()
    out, errors = contextlib.redirect_stdout(told), contextlib.redirect_stderr(told)
    with contextlib.chdir(here), out, errors:
        code = cli.run(shlex.split(line)[1:])
    return code, told.getvalue()


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder after the whole page, and what each command said.

    The table and the five commands run as they stand; later commands, where they are simlearn's,
    in this process.
    """
    here = tmp_path_factory.mktemp("page")
    said, five = {}, BLOCKS[:2]
    assert [kind for kind, _ in five] == ["python", "sh"]
    for kind, block in BLOCKS:
        if kind == "yaml":
            (here / re.match(r"# (\S+)", block)[1]).write_text(block)
            continue
        lines = [[sys.executable, "-c", block]] if kind == "python" else block.strip().splitlines()
        for line in lines:
            alike = (kind, block) not in five and kind == "sh" and line.startswith("simlearn ")
            code, told = (called if alike else launched)(line, here)
            assert code == 0, f"{line}\n{told}"
            said[str(line)] = told
    return here, said


def test_the_whole_page_runs(walked):
    _, said = walked
    assert len(said) >= 20


def test_the_gate_passes(walked):
    here, said = walked
    told = said["simlearn check runs/pendulum --data pendulum-test.h5"]
    assert "gate passed" in told
    assert "FAIL" not in told
    for name in ("report.html", "report.json", "junit.xml", "summary.md"):
        assert (here / "runs/pendulum/report" / name).is_file()


def test_the_import_guesses_what_the_page_says(walked):
    _, said = walked
    told = said["simlearn data import pendulum.csv --out pendulum.h5 --held_out 0.2"]
    for part in ("time        t [s]", "state       q [rad]", "velocity    v [rad/s]"):
        assert f"{part}  (guessed)" in told
    assert "system      run  (guessed)" in told


def test_the_map_in_a_file_reads_the_same_data(walked):
    import simlearn

    here, _ = walked
    assert simlearn.read(here / "mapped.h5").digest == simlearn.read(here / "pendulum.h5").digest


def test_the_forecast_follows_the_pendulum(walked):
    """Over 500 steps that were never seen: within a tenth of the swing of the true one."""
    import numpy as np
    import pandas as pd
    from scipy.integrate import solve_ivp

    table = pd.read_csv(walked[0] / "forecast.csv")
    assert list(table.columns) == ["run", "t [s]", "q [rad]", "v [rad/s]"]
    table.columns = ["run", "t", "q", "v"]
    assert table.groupby("run").size().tolist() == [501] * 10
    for _, one in table.groupby("run"):
        t, start = one.t.to_numpy(), (one.q.iloc[0], one.v.iloc[0])
        span = (t[0], t[-1])
        true = solve_ivp(
            lambda _, x: (x[1], -9.81 * np.sin(x[0])), span, start, t_eval=t[:-1], rtol=1e-9
        )
        error = np.abs(one.q.to_numpy()[:-1] - true.y[0]).max()
        assert error < 0.1 * np.ptp(true.y[0])


TABLE = "t,q,v\n0,1,0\n0.1,0.9,0.2\n0.2,0.8,0.3\n"
TROUBLES = {
    "has no time column": ("a,q,v\n0,1,0\n1,0.9,0.2\n", (), 2),
    "has no column 'angle'": (TABLE, ("--state", "angle"), 2),
    "need as many velocities or momenta": (
        "t,q,v,w\n0,1,0,2\n0.1,0.9,0.2,1\n",
        ("--state", "q", "--velocity", "v,w"),
        2,
    ),
    "is no number": ("t;q;v\n0;1,5;0\n0,1;1,4;0,2\n", (), 3),
    "the number is missing": ("t,q,v\n0,1,0\n0.1,,0.2\n0.2,0.8,0.3\n", (), 3),
    "Times must grow": ("t,q,v\n0,1,0\n0.2,0.9,0.2\n0.1,0.8,0.3\n", (), 3),
    "in every sample": ("t,q,m\n0,1,2\n0.1,0.9,2\n", (), 3),
    "they differ by a factor of": ("t [s],q [m],v [km/s]\n0,1,0\n0.1,0.9,0.2\n", (), 3),
    "the data have no nodes": (TABLE, ("--graph", "edges.csv"), 2),
    "exists already": (TABLE, (), 3),
}


def test_the_page_lists_these_errors_and_no_others():
    listed = re.findall(r"^\| `([^`]+)` \|", PAGE.split("## What the errors mean")[1], re.M)
    assert sorted(listed) == sorted(TROUBLES)


@pytest.mark.parametrize("message", TROUBLES)
def test_every_error_of_the_page_is_said_with_its_code(message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text, options, code = TROUBLES[message]
    pathlib.Path("table.csv").write_text(text)
    pathlib.Path("edges.csv").write_text("a,b\nb,c\n")
    if message == "exists already":
        pathlib.Path("out.h5").touch()
    assert cli.run(["data", "import", "table.csv", "--out", "out.h5", *options]) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
