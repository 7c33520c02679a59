"""What a report says in each format: flags, places, causes, remedies, and names that do nothing."""

import json
import math
import os
import pathlib
import re
from xml.etree import ElementTree

import pytest
from junitparser import Failure, JUnitXml, Properties, Skipped
from markdown_it import MarkdownIt

from simlearn import Finding, Metric, Place, Remedy
from simlearn.component import EnvironmentFault
from simlearn.stability import gate
from simlearn.stability.junit import to_junit
from simlearn.stability.render import to_html
from simlearn.stability.report import Item, Regression, Report

NASTY = [
    "<script>alert(1)</script>",
    "</td><img src=x onerror=alert(2)>",
    "**bold** _it_ `code` ~~gone~~",
    "[click](javascript:alert(3)) ![pic](http://evil.example/x.png)",
    "https://evil.example www.evil.example @everyone",
    "a | b | c\n| - | - |\n# title",
    "\x1b[31mred\x00\x08\ud800\ufffe",
    "&lt;b&gt; $x^2$ \\*",
]


def failing(name="Bounded", severity="error", **more):
    metrics = [
        Metric("size", math.inf, 1.5, unit="m"),
        Metric("near", 1.05, 1.1, noise=0.1),
        Metric("told", 3.0),
    ]
    finding = Finding.of(
        metrics,
        "It leaves.",
        None,
        (Remedy("Inject noise.", "stabilizer", "NoiseInjection"), "Look at it."),
        meaning="What leaves is lost.",
        worst=Place(2, 31, 3.1, "sun", 1),
        causes=("The step is too large.", "It is no extrapolation."),
    )
    return Item(name, {"horizon": 10, "metric": [[1.0, 0.5]]}, finding, severity, **more)


def passing(name="ForecastError"):
    return Item(name, {}, Finding.of([Metric("error", 0.1, 1.0)], "Fine.", meaning="Near."))


REGRESSION = Regression("ForecastError", {}, "error", 0.2, 0.1, 0.05, unit="m")
REPORT = Report(
    "Field, dt = 0.1",
    "full",
    (failing(), passing(), passing(), failing("Soft", "warning")),
    regressions=(REGRESSION,),
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    written = gate.write(REPORT, tmp_path_factory.mktemp("report"))
    return {name: path.read_text(encoding="utf-8") for name, path in written.items()}


def test_a_library_reads_the_junit_file(files):
    (suite,) = JUnitXml.fromstring(files["junit.xml"].encode())
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (5, 2, 0, 0)
    cases = {case.name: case for case in suite}
    assert list(cases) == [
        "Bounded",
        "ForecastError",
        "ForecastError (2)",
        "Soft",
        "ForecastError, error",
    ]
    assert [name for name, case in cases.items() if case.result] == [
        "Bounded",
        "ForecastError, error",
    ]
    (failure,) = cases["Bounded"].result
    assert isinstance(failure, Failure)
    assert failure.message == "It leaves."
    for told in (
        "size: inf m, limit ≤ 1.5",
        "worst: held-out trajectory 2, step 31, t = 3.1, sun, column 1",
        "likely cause: The step is too large.",
        "what to do: Inject noise.",
    ):
        assert told in failure.text
    assert "a warning" in cases["Soft"].system_out
    assert "worse than the baseline" in cases["ForecastError, error"].result[0].message


def test_the_numbers_of_a_check_are_properties_and_near_ones_are_flagged(files):
    (suite,) = JUnitXml.fromstring(files["junit.xml"].encode())
    case = next(iter(suite))
    kept = {one.name: one.value for one in Properties.fromelem(case.child(Properties)._elem)}
    assert kept == {
        "size": "inf m, limit ≤ 1.5",
        "near": "1.05 ± 0.1 (within noise of the limit), limit ≤ 1.1",
        "told": "3, limit none",
    }


def test_what_does_not_apply_is_skipped_where_it_may_be_and_fails_where_not():
    none = Finding.not_applicable("no step")
    report = Report("s", "s", (Item("A", {}, none, optional=True), Item("B", {}, none)))
    from simlearn.stability.junit import to_junit

    (suite,) = JUnitXml.fromstring(to_junit(report).encode())
    assert [type(case.result[0]) for case in suite] == [Skipped, Failure]
    assert (suite.failures, suite.skipped) == (1, 1)


def test_the_summary_is_short_and_the_rest_is_folded(files):
    text = files["summary.md"]
    shown, *folded = text.split("<details>")
    assert len(folded) == 2
    assert all("</details>" in part for part in folded)
    assert shown.count("Inject noise.") == 2, "one line a failed check"
    assert "Look at it." not in shown
    assert "Worst: held-out trajectory 2, step 31, t = 3.1, sun, column 1." in shown
    assert "Likely cause: The step is too large." in shown
    assert "| told |" not in shown
    assert "told | 3 |" in folded[0]
    assert "within noise of the limit: Bounded, near, Soft, near" in shown
    assert "Worse than the baseline:" in shown
    assert "ForecastError, error: 0.1 m -&gt; 0.2 m, allowed at most 0.15 m" in shown


def test_every_row_of_a_table_has_as_many_cells(files):
    tables = [line for line in files["summary.md"].splitlines() if line.startswith("|")]
    assert {len(re.split(r"(?<!\\)\|", line)) for line in tables} == {7}


def test_json_keeps_all_that_a_finding_says(files):
    told = json.loads(files["report.json"])["checks"][0]
    assert told["worst"] == {
        "trajectory": 2, "step": 31, "time": 3.1, "row": "sun", "column": 1
    }  # fmt: skip
    assert told["causes"] == ["The step is too large.", "It is no extrapolation."]
    assert told["remedies"] == ["Inject noise.", "Look at it."]
    assert told["actions"] == [
        {"action": "stabilizer", "component": "NoiseInjection", "remedy": "Inject noise."}
    ]
    assert told["meaning"] == "What leaves is lost."
    assert [m["marginal"] for m in told["metrics"]] == [False, True, False]


def test_the_page_explains_what_failed_and_only_that(files):
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", files["report.html"].split("<body>")[1]))
    assert page.count("Likely causes, and what was ruled out:") == 2
    assert page.count("Worst: held-out trajectory 2, step 31, t = 3.1, sun, column 1.") == 2
    assert page.count("within noise of the limit") == 3, "in the words and at the numbers"
    assert "Asked: horizon 10, metric 1, 0.5." in page
    assert "Worse than the baseline" in page
    assert "ForecastError (2)" in page


def test_the_terminal_numbers_checks_of_one_name():
    found = re.findall(r"^ok +(ForecastError(?: \(\d\))?) +error ", REPORT.to_text(), re.M)
    assert found == ["ForecastError", "ForecastError (2)"]


def nasty(text):
    metric = Metric(text, math.nan, 1.0, unit=text, beside={text: 1.0})
    finding = Finding.of(
        [metric],
        text,
        None,
        (text,),
        meaning=text,
        details={"x": text},
        worst=Place(row=text),
        causes=(text,),
    )
    item = Item(text, {text: text}, finding)
    worse = Regression(text, {}, text, 1.0, 0.0, 0.5, unit=text)
    return Report(text, text, (item,), {text: text}, (text,), (worse,))


def clean(text):
    return text.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("text", NASTY)
def test_names_are_only_names_in_markdown(text):
    shown = (
        MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .render(clean(nasty(text).to_markdown()))
    )
    plain = nasty("plain").to_markdown()
    usual = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(plain)
    tags = [re.findall(r"<([a-z0-9]+)", one) for one in (shown, usual)]
    assert tags[0] == tags[1], "the same page as with a plain name"


@pytest.mark.parametrize("text", NASTY)
def test_names_are_only_names_in_xml(text):
    from simlearn.stability.junit import to_junit

    written = to_junit(nasty(text)).encode()
    ElementTree.fromstring(written)
    (suite,) = JUnitXml.fromstring(written)
    assert suite.failures == 2
    legal = "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
    assert next(iter(suite)).name.split() == legal.split()


@pytest.mark.parametrize("text", NASTY)
def test_names_are_only_names_on_the_page(text, tmp_path):
    from simlearn.stability.render import to_html

    page = to_html(nasty(clean(text)))
    usual = to_html(nasty("plain"))
    tags = [re.findall(r"<([a-z0-9]+)", one) for one in (page, usual)]
    assert tags[0] == tags[1]


@pytest.mark.parametrize("text", NASTY)
def test_names_do_nothing_to_a_terminal(text):
    shown = nasty(text).to_text()
    assert all(c.isprintable() or c in "\n\t" for c in shown)
    assert "\x1b" not in shown


def test_links_that_nobody_wrote_are_none_on_github():
    """GitHub makes links and mentions of bare text."""
    shown = nasty("https://evil.example www.evil.example @everyone").to_markdown()
    assert "://" not in shown
    assert "www." not in shown
    assert "@" not in shown


@pytest.mark.parametrize(
    ("items", "regressions", "told"),
    [
        ((failing(), passing(), failing("Soft", "warning")), (), "Bounded"),
        ((passing(), failing("Soft", "warning")), (REGRESSION,), "worse than its baseline"),
        ((failing("Soft", "warning"),), (), "no check of severity error"),
        ((), (), "no check of severity error"),
        ((passing(), failing("Soft", "warning")), (), None),
    ],
)
def test_the_heading_names_what_failed_the_gate(items, regressions, told):
    page = to_html(Report("s", "full", items, regressions=regressions))
    (heading,) = re.findall(r"<h1>(.*?)</h1>", page, re.DOTALL)
    words = re.sub(r"<[^>]*>", "", heading)
    assert words == (f"The gate failed: {told}" if told else "The gate passed")


def test_a_report_that_proved_nothing_fails_in_junit_too():
    report = Report("s", "full", (failing("Soft", "warning"),))
    assert not report.passed
    (suite,) = JUnitXml.fromstring(to_junit(report).encode())
    assert (suite.tests, suite.failures) == (2, 1)
    (bad,) = [case for case in suite if any(isinstance(r, Failure) for r in case.result)]
    assert bad.name == "no check of severity error"


def test_two_that_write_into_one_folder_share_no_file_on_the_way(tmp_path, monkeypatch):
    """Another has taken away, or is still writing, what is not yet in place."""
    used = []
    replace = pathlib.Path.replace

    def watched(self, target):
        used.append(self.name)
        return replace(self, target)

    monkeypatch.setattr(pathlib.Path, "replace", watched)
    gate.write(REPORT, gate.folder_for(tmp_path))
    assert len(used) == 4
    assert all(str(os.getpid()) in name for name in used)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(gate.FILES)


def test_what_cannot_be_written_whole_leaves_nothing_beside(tmp_path, monkeypatch):
    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pathlib.Path, "replace", full)
    with pytest.raises(EnvironmentFault, match="No space left"):
        gate.write(REPORT, tmp_path)
    assert list(tmp_path.iterdir()) == []
