"""The report as JUnit XML: one test case a check, as CI servers read it."""

from __future__ import annotations

from xml.etree import ElementTree

from simlearn.stability.report import Report, row


def to_junit(report: Report) -> str:
    """One test case a check, as CI servers read it."""
    bad = sum(not item.good and item.severity == "error" for item in report.items)
    suite = ElementTree.Element(
        "testsuite",
        name=f"simlearn.{report.suite}",
        tests=str(len(report.items)),
        failures=str(bad),
        errors="0",
        time=f"{sum(item.seconds for item in report.items):.3f}",
    )
    for item in report.items:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=f"simlearn.{report.suite}",
            name=item.name,
            time=f"{item.seconds:.3f}",
        )
        if not item.good and item.severity == "error":
            failure = ElementTree.SubElement(
                case, "failure", message=_printable(item.finding.summary)
            )
            rows = [row(m) for m in item.finding.metrics if not m.passed]
            failure.text = _printable("\n".join(rows))
        elif item.finding.verdict == "not_applicable":
            ElementTree.SubElement(case, "skipped", message=_printable(item.finding.summary))
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """XML has no place for control characters."""
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
