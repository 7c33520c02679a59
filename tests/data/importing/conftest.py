"""Files of one's own, what an import makes of them, and what the command says."""

import math

import numpy as np
import pytest

from simlearn import cli
from simlearn.data.importing import import_data
from simlearn.data.store import read


@pytest.fixture
def put(tmp_path):
    """Writes a file: text in an encoding, or bytes."""

    def write(name, content, encoding="utf-8"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
        return path

    return write


@pytest.fixture
def take(tmp_path):
    """Imports sources and reads the dataset back; a refused import leaves nothing behind."""

    def run(sources, columns=None, out="out.h5", **options):
        target = tmp_path / "made" / out
        before = set(target.parent.iterdir()) if target.parent.exists() else set()
        try:
            import_data(sources, target, columns, **options)
        except Exception:
            after = set(target.parent.iterdir()) if target.parent.exists() else set()
            assert after == before, "a refused import leaves nothing behind"
            raise
        return read(target)

    return run


@pytest.fixture
def say(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder: (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        capsys.readouterr()
        code = cli.run([str(a) for a in argv])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        assert told.err.count("\n") <= 2, told.err
        assert not list(tmp_path.rglob("*.partial"))
        return code, told.out, told.err

    return run


def lines(header, rows, mark=",", end="\n"):
    """A text table; numbers to the last bit."""
    shown = [mark.join(c if isinstance(c, str) else repr(c) for c in row) for row in rows]
    return end.join([header, *shown]) + end


@pytest.fixture
def table():
    return lines


@pytest.fixture
def swing():
    """(t, q, v) of ten samples, to the last bit no round numbers."""
    t = [0.1 * k for k in range(10)]
    return [[x, math.sin(x + 1 / 3), math.cos(x + 1 / 3)] for x in t]


@pytest.fixture
def swing_text(swing):
    return lines("t,q,v", swing)


@pytest.fixture
def rng():
    return np.random.default_rng(7)
