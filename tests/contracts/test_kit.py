"""The contract kit: what every component is asked, and how failures are expected."""

import inspect
import pathlib
import re
import sys
import types

import pytest

import simlearn.testing
from simlearn.component import ConfigError, PluginError
from simlearn.testing import asked
from simlearn.testing.spawn import elsewhere

ROOT = pathlib.Path(__file__).parents[2]

ASPECTS = {a.__name__: a for _, _, aspects in asked.ASKED for a in aspects}


class Field(simlearn.VectorField):
    """Abstract: a broken field says only what is broken about it."""


class WithoutExamples(Field):
    """Sound, but nobody can try it."""

    @classmethod
    def examples(cls):
        return []

    def forward(self, t, x, topology):
        return -x


class Undocumented(Field):
    """Says nothing of its argument."""

    def __init__(self, rate: float = 1.0):
        super().__init__()
        self.rate = rate

    def forward(self, t, x, topology):
        return -self.rate * x


class OwnForward(simlearn.HamiltonianField):
    """Overrides what its kind computes."""

    def energy(self, x, topology):
        return topology.per_system((x**2).sum(-1))

    def forward(self, t, x, topology):
        return -x


class Doubling(Field):
    """Keeps twice what it was given.

    Args:
        rate: A rate.
    """

    def __init__(self, rate: float = 1.0):
        super().__init__()
        self.rate = 2 * rate

    def forward(self, t, x, topology):
        return -self.rate * x


class WithLambda(Field):
    """Cannot be pickled."""

    def __init__(self):
        super().__init__()
        self.rate = lambda: 1.0

    def forward(self, t, x, topology):
        return -x


@pytest.mark.parametrize(
    ("cls", "aspect", "told"),
    [
        (WithoutExamples, "offers_an_example", "nothing could be tested"),
        (Undocumented, "documents_every_argument", "does not document rate"),
        (
            OwnForward,
            "overrides_only_optional_methods",
            "overrides HamiltonianField.forward",
        ),
        (Doubling, "builds_from_its_description", "built"),
        (WithLambda, "works_in_a_spawned_process", "Keep lambdas"),
    ],
)
def test_it_fails(cls, aspect, told):
    with pytest.raises(AssertionError, match=told):
        ASPECTS[aspect](cls)


def test_what_cannot_be_pickled_fails():
    with pytest.raises((AttributeError, TypeError, Exception), match="pickle"):
        ASPECTS["survives_pickle"](WithLambda)


ELSEWHERE = '''
import multiprocessing
import simlearn

class Homesick(simlearn.VectorField):
    """Moves only in the first process."""

    def forward(self, t, x, topology):
        return -x * (multiprocessing.parent_process() is None)
'''


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """A module that another process can import, too."""
    (tmp_path / "homesick_module.py").write_text(ELSEWHERE)
    monkeypatch.syspath_prepend(str(tmp_path))
    import homesick_module

    yield homesick_module
    del sys.modules["homesick_module"]


def test_another_answer_in_another_process_fails(importable):
    with pytest.raises(AssertionError, match="answers differently in another process"):
        ASPECTS["works_in_a_spawned_process"](importable.Homesick)


def test_a_class_that_the_other_process_cannot_import_is_told(monkeypatch):
    nowhere = types.ModuleType("nowhere_to_be_found")
    exec(ELSEWHERE, vars(nowhere))
    monkeypatch.setitem(sys.modules, nowhere.__name__, nowhere)
    with pytest.raises(AssertionError, match=r"cannot import it: .*nowhere_to_be_found"):
        elsewhere(nowhere.Homesick())


class Plugin:
    """A plugin as an object."""

    def __init__(self, *offers):
        self.offers = offers

    def simlearn_components(self):
        return list(self.offers)


def cases_of(test):
    (mark,) = [m for m in test.pytestmark if m.name == "parametrize"]
    return {case.id: case for case in mark.args[1]}


def test_every_aspect_is_a_case():
    cases = cases_of(simlearn.testing.contract(Plugin(Undocumented, OwnForward)))
    for cls in (Undocumented, OwnForward):
        for aspect in simlearn.testing.asked_of(cls):
            assert f"{cls.__name__}-{aspect.__name__}" in cases
    assert not any(case.marks for case in cases.values())


def test_an_expected_failure_is_skipped_with_its_reason():
    why = {"Undocumented": {"documents_every_argument": "nobody reads it"}}
    cases = cases_of(simlearn.testing.contract(Plugin(Undocumented), skip=why))
    marked = {name: case.marks for name, case in cases.items() if case.marks}
    assert list(marked) == ["Undocumented-documents_every_argument"]
    (mark,) = marked.popitem()[1]
    assert (mark.name, mark.kwargs["reason"]) == ("skip", "nobody reads it")


@pytest.mark.parametrize(
    ("skip", "told"),
    [
        ({"Undocumentd": {}}, "Undocumentd, which is not offered; did you mean Undocumented"),
        ({"Undocumented": {"survive_pickle": "why"}}, "did you mean survives_pickle"),
        ({"Undocumented": {"is_repeatable": "why"}}, "is_repeatable, which is not asked of"),
        ({"Undocumented": {"survives_pickle": " "}}, "gives no reason"),
    ],
)
def test_a_wrong_skip_is_an_error(skip, told):
    with pytest.raises(ConfigError, match=told):
        simlearn.testing.contract(Plugin(Undocumented), skip=skip)


@pytest.mark.parametrize(
    ("plugin", "told"),
    [
        (types.ModuleType("bare"), "bare has no simlearn_components"),
        (Plugin(), "Plugin offers nothing"),
        (Plugin(int), "int.* is of no kind"),
        (Plugin(Field), "Field is abstract"),
        (Plugin(OwnForward, OwnForward), "OwnForward twice"),
    ],
)
def test_what_cannot_be_offered_is_an_error(plugin, told):
    with pytest.raises(PluginError, match=told):
        simlearn.testing.contract(plugin)


def test_every_aspect_has_been_seen_to_fail():
    text = "".join(p.read_text() for p in pathlib.Path(__file__).parent.glob("test_kit*.py"))
    for name in ASPECTS:
        assert f'"{name}"' in text, f"no broken component fails {name}"


def test_every_aspect_of_the_kit_is_asked():
    rooms = {inspect.getmodule(aspect) for aspect in ASPECTS.values()}
    for room in rooms:
        for name, value in vars(room).items():
            if inspect.isfunction(value) and value.__module__ == room.__name__:
                first = next(iter(inspect.signature(value).parameters), "")
                assert name.startswith("_") or first != "cls" or name in ASPECTS, name


def test_the_page_lists_the_aspects():
    page = (ROOT / "docs/contract-kit.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \| (.+?) \|$", page, re.M)
    assert [row[:3] for row in rows] == asked.table()
    assert all(len(row[3].split()) > 3 for row in rows)
