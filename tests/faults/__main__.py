"""``python -m tests.faults``: runs every test that shows a fault to be survived; prints the table.

The exit code is 1 where a row has no test, one that fails, or none of those that it needs passed.
"""

import argparse
import collections
import pathlib
import sys
import tempfile

import pytest

from tests.faults.rows import NEEDED, ROWS

TESTS = pathlib.Path(__file__).parents[1]
SETTINGS = TESTS.with_name("pyproject.toml")


class Table:
    """Keeps the tests of the wanted rows, and counts how they end.

    Args:
        wanted: Numbers of rows.
    """

    def __init__(self, wanted):
        self.wanted = wanted
        self.rows = {}
        self.ended = collections.defaultdict(dict)

    def pytest_collection_modifyitems(self, config, items):
        kept, left = [], []
        for item in items:
            rows = {mark.args[0] for mark in item.iter_markers("fault")}
            assert rows <= set(ROWS), f"{item.nodeid}: there is no row {rows - set(ROWS)}"
            self.rows[item.nodeid] = rows & set(self.wanted)
            (kept if self.rows[item.nodeid] else left).append(item)
        items[:] = kept
        config.hook.pytest_deselected(items=left)

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            for row in self.rows[report.nodeid]:
                if self.ended[row].get(report.nodeid) != "failed":
                    self.ended[row][report.nodeid] = report.outcome

    def count(self, row, outcome):
        """How many tests of a row ended so."""
        return list(self.ended[row].values()).count(outcome)

    def shown(self, row):
        """Whether one of the tests passed that a row cannot do without."""
        passed = {test for test, outcome in self.ended[row].items() if outcome == "passed"}
        names = {test.rpartition("::")[2].partition("[")[0] for test in passed}
        return bool(names.intersection(NEEDED.get(row, names)))

    def survived(self, row):
        """Whether a row is shown, and no test of it failed."""
        return self.shown(row) and not self.count(row, "failed")

    def word(self, row):
        """What the table says of a row."""
        if self.survived(row):
            return "survived"
        return "FAILED" if self.count(row, "failed") else "not shown"

    def __str__(self):
        lines = [f"{'#':>3}  {'tests':>5}  {'skipped':>7}  {'':<9}  fault"]
        for row in self.wanted:
            skipped = self.count(row, "skipped")
            count = len(self.ended[row]) - skipped
            told = f"{row:>3}  {count:>5}  {skipped or '':>7}  {self.word(row):<9}  {ROWS[row]}"
            lines.append(told)
        good = sum(map(self.survived, self.wanted))
        return "\n".join([*lines, "", f"{good} of {len(self.wanted)} faults survived"])


def main(argv=None):
    reader = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    reader.add_argument(
        "--rows", type=int, nargs="+", choices=ROWS, default=list(ROWS), metavar="N"
    )
    reader.add_argument("--kills", type=int, metavar="K", help="kill so many trainings instead")
    given, rest = reader.parse_known_args(argv)
    if given.kills is not None:
        from tests.faults.kills import count

        with tempfile.TemporaryDirectory() as folder:
            return count(given.kills, pathlib.Path(folder))
    table = Table(given.rows)
    # the import of a test file takes long, and most have no row
    files = [p for p in TESTS.rglob("test_*.py") if "mark.fault(" in p.read_text(encoding="utf-8")]
    settings = ["-c", str(SETTINGS), "-o", "addopts=--strict-markers --import-mode=importlib", "-q"]
    code = pytest.main([*settings, *map(str, sorted(files)), *rest], plugins=[table])
    sys.stdout.write(f"\n{table}\n")
    return 0 if code == 0 and all(map(table.survived, given.rows)) else 1


if __name__ == "__main__":
    sys.exit(main())
