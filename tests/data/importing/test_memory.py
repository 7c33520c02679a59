"""A table larger than memory is read trajectory by trajectory, or refused with an estimate."""

import numpy as np
import pytest

from simlearn.component import DataError, EnvironmentFault
from simlearn.data.importing import Columns, memory
from simlearn.data.importing.memory import _allotted, budget, told

SYSTEMS, TIMES = 30, 400


@pytest.fixture
def long(put, rng, table):
    rows = [
        [f"run{s}", 0.1 * k, *rng.normal(size=2).tolist()]
        for s in range(SYSTEMS)
        for k in range(TIMES + s)
    ]
    return rows, lambda rows: put("long.csv", table("run,t,q,v", rows))


@pytest.fixture
def small(monkeypatch):
    """As much memory as a few of the trajectories need."""

    def limit(size):
        monkeypatch.setattr(memory, "budget", lambda: size)

    return limit


def test_streaming_gives_the_same_dataset(long, take, small):
    rows, put = long
    whole = take(put(rows))
    small(400_000)
    streamed = take(put(rows), out="b.h5")
    assert streamed.digest == whole.digest
    assert [one.steps for one in streamed] == [TIMES + s for s in range(SYSTEMS)]


def test_a_streamed_table_never_holds_much(long, take, small, monkeypatch):
    from simlearn.data.importing import tables

    rows, put = long
    small(400_000)
    held = []
    joined = tables._joined
    monkeypatch.setattr(
        tables,
        "_joined",
        lambda p, s: held.append(sum(len(one.frame) for one in p)) or joined(p, s),
    )
    take(put(rows))
    assert len(held) == SYSTEMS
    assert max(held) == TIMES + SYSTEMS - 1


def test_blank_lines_do_not_end_a_streamed_trajectory(long, take, small, tmp_path):
    rows, put = long
    whole = take(put(rows))
    small(400_000)
    path = put(rows)
    lines = path.read_text().splitlines()
    for at in (8000, 2000, 10):
        lines.insert(at, "")
    path.write_text("\n".join(lines))
    assert take(path, out="b.h5").digest == whole.digest


@pytest.mark.parametrize("at", [50, 9000])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_lines_of_a_streamed_table_are_true(long, take, small, at, ends):
    rows, put = long
    small(400_000)
    rows[at][2] = float("nan")
    path = put(rows)
    path.write_bytes(("# note\n" + path.read_text()).replace("\n", ends).encode())
    with pytest.raises(
        DataError, match=rf"long.csv, line {at + 3}, column q: the number is missing"
    ):
        take(path)


def test_a_streamed_table_must_be_sorted(long, take, small):
    rows, put = long
    small(400_000)
    rows.append(["run0", 1e6, 1.0, 2.0])
    with pytest.raises(DataError, match=rf"line {len(rows) + 1}, column run: .*sort it by the sys"):
        take(put(rows))


def test_a_streamed_row_without_a_system(long, take, small):
    rows, put = long
    small(400_000)
    rows[9000][0] = ""
    with pytest.raises(DataError, match=r"line 9002, column run: the system is missing"):
        take(put(rows))


def test_one_trajectory_too_large_is_refused_with_an_estimate(long, take, small, put, table):
    rows, write = long
    small(60_000)
    with pytest.raises(
        EnvironmentFault, match=r"system 'run0' alone would take about \d+ kB of mem"
    ):
        take(write(rows))
    path = put("one.csv", table("t,q", [[float(k), k**0.5] for k in range(5000)]))
    with pytest.raises(EnvironmentFault, match=r"one.csv: one trajectory .* 60 kB may be used"):
        take(path)


def test_the_estimate_of_a_table_is_near(put, table, rng):
    from simlearn.data.importing import Format
    from simlearn.data.importing.texts import open_csv

    rows = rng.normal(size=(5000, 3)).tolist()
    for encoding in ("utf-8", "utf-16"):
        source = open_csv(put("a.csv", table("t,q,v", rows), encoding), Format())
        assert 0.9 < source.bytes / (8 * 3 * 5000) < 1.1


@pytest.mark.parametrize("kind", ["npz", "h5", "flat npz", "flat h5"])
def test_arrays_too_large_are_refused(tmp_path, take, small, rng, kind):
    arrays = {"t": np.arange(1000.0), "x": rng.normal(size=(1000, 4))}
    if "flat" in kind:
        arrays["run"] = np.arange(1000) // 10
    path = tmp_path / f"a.{kind.split()[-1]}"
    if kind.endswith("npz"):
        np.savez(path, **arrays)
    else:
        import h5py

        with h5py.File(path, "w") as file:
            file.update(arrays)
    small(100_000)
    with pytest.raises(EnvironmentFault, match=r"about \d+ kB of memory, 100 kB may be used"):
        take(path)
    small(10_000_000)
    assert len(take(path)) == (100 if "flat" in kind else 1)


def test_hdf5_systems_are_read_one_by_one(tmp_path, take, small, rng):
    import h5py

    x = rng.normal(size=(50, 100, 4))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["t"], file["x"] = np.arange(100.0), x
    small(20_000)  # one system needs 12.8 kB, all of them fifty times that
    dataset = take(tmp_path / "a.h5", Columns(time="t", state="x"))
    assert (np.stack([one.x.numpy()[:, 0] for one in dataset]) == x).all()


def test_columns_that_are_left_out_take_no_memory(put, take, small, rng, table):
    rows = [[float(k), *rng.normal(size=20).tolist()] for k in range(500)]
    path = put("a.csv", table(",".join(["t", *(f"c{k}" for k in range(20))]), rows))
    small(100_000)
    with pytest.raises(EnvironmentFault):
        take(path)
    assert take(path, Columns(time="t", state="c3"))[0].dim == 1


@pytest.mark.parametrize(
    ("size", "wanted"),
    [(12, "12 bytes"), (3.2e3, "3 kB"), (4e7, "40 MB"), (2.55e10, "25.5 GB"), (3e13, "30000.0 GB")],
)
def test_sizes_are_told(size, wanted):
    assert told(size) == wanted


def group(folder, **files):
    """A control group as the kernel shows it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"memory.{name}").write_text(f"{text}\n")


def test_what_a_container_leaves_is_the_least_of_its_groups(tmp_path):
    """Version 2: a group has the limits of all above it; files in memory can be dropped."""
    mine, root = tmp_path / "cgroup", tmp_path / "fs"
    mine.write_bytes(b"0::/job/step\n")
    group(root / "job/step", max="max", current="700")
    group(root / "job", max="1000", current="800", stat="anon 400\ninactive_file 250")
    assert _allotted(mine, root) == 1000 - 800 + 250
    group(root / "job/step", max="750", current="700")
    assert _allotted(mine, root) == 50
    group(root / "job/step", max="600", current="700")
    assert _allotted(mine, root) == 0


def test_groups_of_the_first_version_count_too(tmp_path):
    """In a container the path is that outside; the group itself is mounted at the top."""
    mine, root = tmp_path / "cgroup", tmp_path / "fs"
    mine.write_text("5:cpu,cpuacct:/x\n4:memory:/docker/abc\n")
    told = {"limit_in_bytes": 900, "usage_in_bytes": 500, "stat": "total_inactive_file 100"}
    group(root / "memory", **told)
    assert _allotted(mine, root) == 500


def test_names_of_groups_may_be_any_bytes(tmp_path):
    (tmp_path / "cgroup").write_bytes(b"0::/j\xf6b\n")
    assert _allotted(tmp_path / "cgroup", tmp_path) == float("inf")


def test_where_there_are_no_groups_nothing_is_taken_away(tmp_path):
    assert _allotted(tmp_path / "none", tmp_path) == float("inf")
    assert budget() > 0
