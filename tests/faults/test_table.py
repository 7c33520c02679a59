"""The table of faults: every row has tests, and a fault that is not survived is seen."""

import pathlib
import re
import subprocess
import sys

from tests.faults.rows import NEEDED, ROWS

HERE = pathlib.Path(__file__).parent
PLANTED = """
import pytest
@pytest.mark.fault(3)
@pytest.mark.parametrize("number", [1, 2])
def test_survived(number): pass
@pytest.mark.fault(4)
@pytest.mark.fault(5)
def test_not_survived(): assert False
@pytest.mark.fault(5)
def test_survived_all_the_same(): pass
@pytest.mark.fault(6)
@pytest.mark.skip
def test_not_run(): pass
@pytest.mark.fault(7)
def test_not_asked_for(): assert False
@pytest.mark.fault(9)
@pytest.mark.skip
def test_needed(): pass
@pytest.mark.fault(9)
def test_of_a_part(): pass
"""
RUN = """
import pathlib, sys
from tests.faults import __main__ as table
table.TESTS = pathlib.Path(sys.argv[1])
table.NEEDED = {9: ("test_needed",)}
sys.exit(table.main(["-p", "no:cacheprovider", "--rows", *sys.argv[2:]]))
"""


def run(folder, *rows):
    return subprocess.run(
        [sys.executable, "-c", RUN, folder, *rows],
        cwd=HERE.parents[1], capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_every_row_has_a_test():
    assert list(ROWS) == list(range(1, 31))
    texts = [path.read_text(encoding="utf-8") for path in HERE.parent.rglob("test_*.py")]
    marked = {int(row) for text in texts for row in re.findall(r"mark\.fault\((\d+)\)", text)}
    assert not set(ROWS) - marked - {19}, "rows without a test (19: by parameter)"
    defined = {name for text in texts for name in re.findall(r"^def (test_\w+)", text, re.M)}
    assert not {name for names in NEEDED.values() for name in names} - defined


def test_what_fails_or_is_not_run_is_not_survived(tmp_path):
    (tmp_path / "test_planted.py").write_text(PLANTED)
    done = run(tmp_path, "3", "4", "5", "6", "8", "9")
    assert done.returncode == 1
    lines = {int(m[1]): m[2] for m in re.finditer(r"^ +(\d+) +(\d+.{20})", done.stdout, re.M)}
    assert {row: " ".join(line.split()) for row, line in lines.items()} == {
        3: "2 survived", 4: "1 FAILED", 5: "2 FAILED", 6: "0 1 not shown", 8: "0 not shown",
        9: "1 1 not shown",
    }, done.stdout  # fmt: skip
    assert "1 of 6 faults survived" in done.stdout
    assert run(tmp_path, "3").returncode == 0
