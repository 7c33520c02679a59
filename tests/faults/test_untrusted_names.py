"""Fault row 12: names in files are only names, on the page, in Markdown, in XML and in a terminal.

Names of systems, columns, nodes, checks, plugins and paths come from files that others wrote.
"""

import json
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
import torch
from markdown_it import MarkdownIt

import simlearn
from simlearn import Finding, Metric, Place
from simlearn.stability import gate
from simlearn.stability.finding import Curve, Film, Line, Track
from simlearn.stability.report import Item, Regression, Report

NAMES = [
    "<script>alert(1)</script>",
    "</title></style></pre><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "' autofocus onfocus=alert(1) '",
    "</textarea><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7 * 7 }}{% for x in () %}",
    "-->]]><!--",
    "a | b `c` <details> **d** [e](f) \\| \\",
    "\x00\x01\x1b[31m\u202e\u2028",
    "$\\frac{1}{$ ^_{ %s %n",
]


class Elements(HTMLParser):
    """Elements of a page with the names of their attributes, and all that leads or runs."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.active, self.comments = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, *sorted(name for name, _ in attrs)))
        for name, value in attrs:
            if name in ("href", "src", "style", "action") or name.startswith("on"):
                self.active.append((tag, name, (value or "")[:11]))

    def handle_comment(self, data):
        self.comments += 1


def told(name):
    """A report in which everything that is called somehow is called so."""
    curve = Curve(
        [Line([0.0, 1.0, 2.0], [1.0, 2.0, 1.5], label=name, group=name)],
        name,
        name,
        name,
        shaded=((0.0, 1.0),),
        shaded_label=name,
    )
    bars = Curve([Line([0.0, 1.0], [1.0, 2.0], label=name)], name, name, categories=(name, name))
    way = [[0.1 * k, 0.2 * k] for k in range(3)]
    film = Film(
        [0.0, 1.0, 2.0], [Track(way, way, label=name)], name, name, name, name, (name, name)
    )
    finding = Finding.of(
        [Metric(name, 2.0, 1.0, unit=name, beside={name: 1.0})],
        name,
        {name: curve, f"{name} ": bars},
        (name,),
        films={name: film},
        meaning=name,
        details={name: name},
        worst=Place(0, 1, 0.5, name, 0),
        causes=(name,),
    )
    watched = {"title": name, "caption": name, "x_label": name, "y_label": name}
    watched |= {"lines": [{"x": [1.0, 2.0], "y": [1.0, 2.0], "label": name}], "numbers": {name: 1}}
    rung = {"rung": name, "coefficients": name, "scales": [name], "cross_validated_error": 0.1}
    provenance = {
        "ladder": {"rungs": [rung], "choice": name, "why": name, "states": name, "samples": name},
        "training_dynamics": {name: watched},
        "plugins": [{"name": name, "distribution": name, "version": name, "status": name}],
        "held_out": {
            "imported": {"files": [{"name": f"{name}.csv"}]},
            "columns": {"state": [name]},
        },
        name: name,
    }
    item = Item(name, {name: name, "list": [name]}, finding)
    worse = Regression(name, {}, name, 2.0, 1.0, 0.5, unit=name)
    return Report(name, name, (item,), provenance, (name,), (worse,))


@pytest.fixture(scope="module")
def usual(tmp_path_factory):
    return gate.write(told("plain"), tmp_path_factory.mktemp("usual"))


@pytest.mark.fault(12)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_adds_nothing_to_any_report(tmp_path, usual, name):
    files = gate.write(told(name), tmp_path)
    pages = [Elements(one["report.html"].read_text(encoding="utf-8")) for one in (files, usual)]
    assert pages[0].found == pages[1].found
    assert pages[0].active == pages[1].active
    assert pages[0].comments == 0
    assert all(not attribute.startswith("on") for _, attribute, _ in pages[0].active)
    marked = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    shown = [Elements(marked.render(one["summary.md"].read_text())) for one in (files, usual)]
    assert shown[0].found == shown[1].found
    trees = [ElementTree.parse(one["junit.xml"]) for one in (files, usual)]
    tags = [[(e.tag, *sorted(e.attrib)) for e in tree.iter()] for tree in trees]
    assert tags[0] == tags[1]
    assert json.loads(files["report.json"].read_text())["simulator"] == name


@pytest.mark.fault(12)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_does_nothing_to_the_terminal(tmp_path, command, capsys, name):
    """Names of nodes and columns, in what a command prints and in what it refuses."""
    topology = simlearn.Topology.complete(2, (name, "b"))
    t = torch.linspace(0, 1, 5, dtype=torch.float64)
    x = torch.ones(5, 2, 1, dtype=torch.float64) * t[:, None, None]
    columns = {"state": [name], "time": name, "node": name, "units": {name: name}}
    provenance = {"columns": columns, "units": {name: name, "time": name}, "from": name}
    simlearn.write(tmp_path / "d.h5", [simlearn.Trajectory(t, x, topology)], provenance)
    assert command("data", "show", "d.h5") == 0
    (tmp_path / "a.csv").write_text(f"t,q\n0,1\n{name!r},x\n", encoding="utf-8")
    assert command("data", "import", "a.csv", "--out", "o.h5", "--state", name) in (2, 3)
    (tmp_path / "g.yaml").write_text(json.dumps({"schema": 1, "suites": {"a": [name]}}))
    assert command("config", "validate", "g.yaml") == 2
    assert command("fit", "-c", name.replace("\0", "")) == 2
    said = "".join(capsys.readouterr())
    assert not [c for c in said if not c.isprintable() and c not in "\n\t"]


@pytest.mark.fault(12)
@pytest.mark.parametrize("name", ["../../up", "/tmp/simlearn-canary", "a/../../b", "..", "con\0"])
def test_a_name_is_no_path(tmp_path, name):
    """What is written lies in its folder, whatever checks, metrics and pictures are called."""
    inner = tmp_path / "a/b/report"
    files = gate.write(told(name), inner)
    assert {path.parent for path in files.values()} == {inner}
    there = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(there) == sorted(files.values())
