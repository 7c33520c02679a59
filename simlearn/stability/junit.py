"""The report as JUnit XML: one test case a check, as CI servers read it."""

from __future__ import annotations

from xml.etree import ElementTree

from simlearn.stability.report import Item, Regression, Report
from simlearn.stability.tables import printable, row, titles

UNPROVED = "no check of severity error"


def to_junit(report: Report) -> str:
    """One test case a check, and one for each metric that is worse than the baseline.

    The numbers of a check are its properties, in the words of the terminal; a value within noise of
    its limit is flagged there, and told in the output of the case.
    """
    bad = sum(not item.good and item.severity == "error" for item in report.items)
    worse = sum(one.severity == "error" for one in report.regressions)
    unproved = not any(item.severity == "error" for item in report.items)
    skipped = sum(map(_skipped, report.items))
    suite = ElementTree.Element(
        "testsuite",
        name=printable(f"simlearn.{report.suite}"),
        tests=str(len(report.items) + len(report.regressions) + unproved),
        failures=str(bad + worse + unproved),
        errors="0",
        skipped=str(skipped),
        time=f"{sum(item.seconds for item in report.items):.3f}",
    )
    for title, item in zip(titles(report), report.items, strict=True):
        _case(suite, report, title, item)
    for one in report.regressions:
        _worse(suite, report, one)
    if unproved:
        told = f"{UNPROVED}: nothing was proved"
        ElementTree.SubElement(_named(suite, report, UNPROVED), "failure", message=told)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _named(
    suite: ElementTree.Element, report: Report, name: str, seconds: float = 0.0, part: str = ""
) -> ElementTree.Element:
    """A test case of the suite."""
    return ElementTree.SubElement(
        suite,
        "testcase",
        classname=printable(f"simlearn.{report.suite}{part}"),
        name=printable(name),
        time=f"{seconds:.3f}",
    )


def _skipped(item: Item) -> bool:
    return item.finding.verdict == "not_applicable" and (item.good or item.severity == "warning")


def _case(suite: ElementTree.Element, report: Report, title: str, item: Item) -> None:
    finding = item.finding
    case = _named(suite, report, title, item.seconds)
    if finding.metrics:
        kept = ElementTree.SubElement(case, "properties")
        for metric in finding.metrics:
            told = row(metric).removeprefix(f"{metric.name}: ")
            name, value = printable(metric.name), printable(told)
            ElementTree.SubElement(kept, "property", name=name, value=value)
    if not item.good and item.severity == "error":
        failure = ElementTree.SubElement(case, "failure", message=printable(finding.summary))
        failure.text = printable("\n".join(_why(item)))
    elif _skipped(item):
        ElementTree.SubElement(case, "skipped", message=printable(finding.summary))
    said = [row(metric) for metric in finding.metrics if metric.marginal]
    if not item.good and item.severity == "warning":
        said = ["a warning, which fails nothing", finding.summary, *_why(item), *said]
    if said:
        ElementTree.SubElement(case, "system-out").text = printable("\n".join(said))


def _why(item: Item) -> list[str]:
    """What missed its limit, where, why, and what to do."""
    finding = item.finding
    lines = [row(metric) for metric in finding.metrics if not metric.passed]
    lines += [f"worst: {finding.worst}"] if finding.worst else []
    lines += [f"likely cause: {cause}" for cause in finding.causes]
    return lines + [f"what to do: {remedy}" for remedy in finding.remedies]


def _worse(suite: ElementTree.Element, report: Report, one: Regression) -> None:
    case = _named(suite, report, f"{one.check}, {one.metric}", part=".baseline")
    told = printable(f"worse than the baseline: {one}")
    if one.severity == "error":
        ElementTree.SubElement(case, "failure", message=told)
    else:
        ElementTree.SubElement(case, "system-out").text = told
