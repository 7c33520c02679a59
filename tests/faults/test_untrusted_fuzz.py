"""Fault rows 7, 8, 10 and 12: some hundreds of spoilt inputs.

``python -m tests.faults.fuzz`` reads a hundred thousand.
"""

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simlearn.component import ConfigError, DataError
from simlearn.data.importing.graphs import read_edges
from simlearn.forecasting.networks import network
from simlearn.stability.gatefile import read_gate_file
from tests.faults.fuzz import fuzzing

STRUCTURED = ("fit config", "dataset", "archive")


@pytest.mark.fault(7)
@pytest.mark.fault(8)
@pytest.mark.fault(10)
@pytest.mark.fault(12)
def test_spoilt_inputs_end_as_the_table_says(tmp_path):
    with fuzzing(tmp_path / "fuzz") as fuzz:
        for number in range(260):
            fuzz.one(2026, number)
    assert not fuzz.faults, fuzz.table()
    told = fuzz.to_json()
    assert told["inputs"] == 260
    assert sum(codes.get("0", 0) for codes in told["exits"].values()) < 130, "most are refused"


@pytest.mark.fault(8)
def test_the_fuzz_sees_what_is_wrong(tmp_path, monkeypatch):
    """A reader that raises, hangs, or leaves a file behind is an unclassified exit."""
    from tests.faults import fuzz as module

    def raises(self, folder, known):
        raise ZeroDivisionError

    def hangs(self, folder, known):
        while True:
            pass

    def leaves(self, folder, known):
        (folder / "half").touch()

    monkeypatch.setattr(module, "PATIENCE", 0.2)
    kinds = {}
    for one in (raises, hangs, leaves):
        base = module.KINDS["edge list"]
        kinds[one.__name__] = type(one.__name__, (base,), {"read": one})
    monkeypatch.setattr(module, "KINDS", kinds)
    monkeypatch.setattr(module, "SHARES", (1, 1, 1))
    with fuzzing(tmp_path / "fuzz") as fuzz:
        for number in range(12):
            fuzz.one(0, number)
    told = " ".join(fuzz.faults)
    assert "raises: exit 70, ZeroDivisionError" in told
    assert "hangs: hangs" in told
    assert "leaves: left behind: ['half']" in told
    assert sum(fuzz.faults.values()) == 12


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    with fuzzing(tmp_path_factory.mktemp("fuzz") / "one", STRUCTURED) as made:
        yield made


@pytest.mark.fault(7)
@pytest.mark.fault(8)
@pytest.mark.fault(10)
@pytest.mark.parametrize("name", STRUCTURED)
def test_whatever_is_changed_ends_as_the_table_says(fuzz, name):
    """The same changes as those of the fuzz, chosen by hypothesis, which finds the smallest one."""

    @settings(SOME, max_examples=40, database=None)
    @given(st.randoms(use_true_random=False, note_method_calls=False))
    def holds(rng):
        fuzz.faults.clear()
        fuzz.spoilt(rng, name, 0)
        assert not fuzz.faults

    holds()
    assert sum(fuzz.counts[name].values()) >= 40


TEXT = st.text(st.characters(codec="utf-8"), max_size=60)
KEYS = st.sampled_from(["schema", "suites", "seed", "data", "tolerance", "class_path", "init_args"])
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(KEYS | TEXT, one, max_size=3),
    max_leaves=8,
)
SOME = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@contextlib.contextmanager
def refusing(name):
    """Whatever is inside ends well, or is refused with the name of the file."""
    told = name
    try:
        yield
    except (ConfigError, DataError) as error:
        told = str(error)
    assert name in told


@pytest.mark.fault(8)
@SOME
@given(st.dictionaries(KEYS, TREES, max_size=5), st.booleans())
def test_any_tree_is_a_gate_or_refused(tmp_path, tree, headed):
    import yaml

    path = tmp_path / "g.yaml"
    path.write_text(yaml.safe_dump({"schema": 1, **tree} if headed else tree), encoding="utf-8")
    with refusing("g.yaml"):
        read_gate_file(path)


@pytest.mark.fault(12)
@SOME
@given(
    st.sampled_from(["g.txt", "g.json", "g.graphml"]), st.binary(max_size=80) | TEXT.map(str.encode)
)
def test_any_bytes_are_a_graph_or_refused(tmp_path, name, body):
    path = tmp_path / name
    path.write_bytes(body)
    for reader in (network, read_edges):
        with refusing(name):
            reader(path)
