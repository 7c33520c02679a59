"""Pictures of a training that was watched, whatever the record in its archive is."""

import math

import pytest

from simlearn.stability.finding import Finding, Metric
from simlearn.stability.render import to_html
from simlearn.stability.report import Item, Report
from simlearn.stability.watched import RECORD, watched, without

LINE = {"x": [1.0, 2.0, 3.0], "y": [1.0, 3.0, 2.0], "label": "sharpness", "role": "judged"}
GOOD = {
    "title": "Sharpness",
    "caption": "It rose.",
    "x_label": "steps",
    "y_label": "curvature",
    "lines": [LINE, {**LINE, "label": "limit", "role": "truth"}],
    "numbers": {"share_of_limit": 1.01},
}


def page(record):
    item = Item("Bounded", {}, Finding.of([Metric("size", 1.0, 2.0)], "It stays."))
    return to_html(Report("a simulator", "smoke", [item], {"seed": 3, RECORD: record}))


def test_a_record_becomes_a_picture_with_its_numbers():
    ((title, curve),) = watched({RECORD: {"Sharpness": GOOD}})
    assert (title, curve.caption, curve.x_label) == ("Sharpness", "It rose.", "steps")
    assert [line.label for line in curve.lines] == ["sharpness", "limit"]
    assert [line.role for line in curve.lines] == ["judged", "truth"]
    text = page({"Sharpness": GOOD})
    assert "How it was trained" in text
    assert "It rose." in text
    assert text.count("data:image/png") == 1
    assert "share_of_limit" in text


def test_numbers_of_the_lines_are_not_told_twice():
    assert without({"seed": 3, RECORD: {"Sharpness": GOOD}}) == {
        "seed": 3,
        RECORD: {"Sharpness": {"share_of_limit": 1.01}},
    }
    assert without({"seed": 3}) == {"seed": 3}


def test_a_record_without_lines_is_told_in_words():
    text = page({"SGDExponent": {**GOOD, "lines": []}})
    assert "It rose." in text
    assert "data:image/png" not in text


def test_a_training_that_nobody_watched_has_no_section():
    assert watched({}) == []
    assert "How it was trained" not in page({})


@pytest.mark.parametrize(
    "record",
    [
        None,
        7,
        [GOOD],
        {"Sharpness": None},
        {"Sharpness": {}},
        {"Sharpness": {**GOOD, "lines": 3}},
        {"Sharpness": {**GOOD, "lines": [3, {}, {"x": [1], "y": []}, {"x": "ab", "y": "cd"}]}},
        {"Sharpness": {**GOOD, "lines": [{"x": [1, 2], "y": [1, math.nan]}]}},
        {"Sharpness": {**GOOD, "lines": [{"x": [1, 2], "y": [1, None]}]}},
        {"Sharpness": {**GOOD, "lines": [{**LINE, "role": 7}], "y_scale": ["log"]}},
    ],
)
def test_whatever_the_record_is_the_page_is_made(record):
    assert "The gate" in page(record)


def test_markup_in_a_record_stays_text():
    text = page({"Sharpness": {**GOOD, "title": "<script>alert(1)</script>", "caption": "<b>"}})
    assert "<script>" not in text
    assert "&lt;b&gt;" in text
