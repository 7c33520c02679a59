"""The page of a report: offline, a table behind every picture, and a film beside the truth."""

import base64
import io
import json
import re
from html.parser import HTMLParser

import pytest
import torch
from PIL import Image

import simlearn
from simlearn import Curve, Evidence, Film, Finding, Line, Metric, Simulator, Track
from simlearn.integrators import Euler, Leapfrog
from simlearn.stability import gate
from simlearn.stability.draw import FRAMES, gif, place, still
from simlearn.stability.report import Item, Report
from simlearn_checks import Bounded, EnergyDrift, ForecastError
from simlearn_mechanics import KeplerLaw, KeplerTwoBody, MassSpring, MassSpringLaw, SpringChain


class Page(HTMLParser):
    """What stands on a page."""

    def __init__(self, text):
        super().__init__()
        self.found, self.links, self.headings, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.found.append((tag, attrs))
        self.links += [attrs[k] for k in ("src", "href", "srcset", "poster") if attrs.get(k)]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def judged(system, simulator, steps=120, **more):
    held = tuple(system.draw(range(1), simlearn.sample_times(steps, simulator.dt), 0))
    evidence = Evidence(held, held, truth=system.truth(), **more)
    checks = [ForecastError(steps - 2, limit=0.1), Bounded(300), EnergyDrift(300)]
    return simlearn.check(simulator, evidence, checks), held[0]


@pytest.fixture(scope="module")
def spring(tmp_path_factory):
    euler = {"euler": Simulator(MassSpringLaw(), Euler(), 0.1)}
    report, held = judged(
        MassSpring(), Simulator(MassSpringLaw(), Leapfrog(), 0.1), references=euler
    )
    files = gate.write(report, tmp_path_factory.mktemp("report"))
    return report, held, files, Page(files["report.html"].read_text())


def test_nothing_on_the_page_comes_from_elsewhere(spring):
    *_, files, page = spring
    assert all(link.startswith(("data:image/", "#")) for link in page.links)
    style = re.search(r"<style>(.*?)</style>", files["report.html"].read_text(), re.S)[1]
    assert "url(" not in style
    assert "@import" not in style
    assert not page.all("script")
    assert not page.all("link")
    policy = [m["content"] for m in page.all("meta") if m.get("http-equiv")]
    assert policy[0].startswith("default-src 'none'")


def test_every_link_inside_the_page_has_its_goal(spring):
    *_, page = spring
    goals = {attrs["id"] for _, attrs in page.found if attrs.get("id")}
    assert {link[1:] for link in page.links if link.startswith("#")} <= goals
    assert {label["for"] for label in page.all("label")} <= goals


def test_a_table_stands_behind_every_picture(spring):
    report, _, files, page = spring
    pictures = sum(len(i.finding.films) + len(i.finding.curves) for i in report.items)
    assert len(page.all("figure")) == pictures == 5
    text = files["report.html"].read_text()
    behind = re.findall(r"</figure>\s*<details>(.*?)</details>", text, re.S)
    assert len(behind) == pictures
    assert all("<table>" in part and "<td" in part for part in behind)


def test_every_image_says_what_it_shows(spring):
    *_, page = spring
    images = page.all("img")
    assert len(images) == 6, "a film is an image that moves and one that does not"
    assert all(len(image["alt"]) > 30 for image in images)


def test_the_page_suits_phones_and_readers(spring):
    *_, files, page = spring
    assert page.all("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all(
        "meta"
    )
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    text = files["report.html"].read_text()
    for asked in ("prefers-color-scheme: dark", "prefers-reduced-motion: reduce", "@media print"):
        assert asked in text
    wide = re.findall(r'<div class="(?:wide|grid)"', text)
    assert len(wide) == 1 + len(page.all("figure")), "each table scrolls in a box of its own"


def test_every_finding_says_what_it_means(spring):
    report, *_, page = spring
    for item in report.items:
        assert len(item.finding.meaning) > 60
        assert item.finding.meaning in " ".join(page.text.split())


def test_the_film_holds_the_judged_rollout_and_the_data(spring):
    report, held, *_ = spring
    (film,) = report.items[0].finding.films.values()
    rolled = Simulator(MassSpringLaw(), Leapfrog(), 0.1).rollout(held.x[0], 118, held.topology)
    wanted = {"truth": held.x[:119], "judged": rolled.x}
    for track in film.tracks:
        seen = torch.tensor([track.x, track.y], dtype=torch.float64)[..., 0].T
        assert torch.equal(seen, wanted[track.role][:, 0])


def test_a_film_is_no_part_of_the_json(spring):
    _, _, files, _ = spring
    told = json.loads(files["report.json"].read_text())
    assert "films" not in told["checks"][0]
    assert "curves" not in told["checks"][0]
    assert len(files["report.json"].read_text()) < 20_000


def test_the_film_on_the_page_moves_and_is_small(spring):
    *_, page = spring
    (source,) = [i["src"] for i in page.all("img") if i["src"].startswith("data:image/gif")]
    data = base64.b64decode(source.split(",")[1])
    assert len(data) <= 600_000
    with Image.open(io.BytesIO(data)) as image:
        assert 1 < image.n_frames <= FRAMES + 1
        assert image.info["loop"] == 0


@pytest.mark.parametrize(
    ("system", "wrong"),
    [
        (KeplerTwoBody(), Simulator(KeplerLaw(5.0), Leapfrog(), 0.05)),
        (SpringChain(), Simulator(SpringChain().truth(), Euler(), 0.3)),
    ],
)
def test_a_simulator_that_fails_is_shown_failing(system, wrong, tmp_path):
    report, _ = judged(system, wrong)
    assert not report.passed
    page = Page(gate.write(report, tmp_path)["report.html"].read_text())
    assert "What to do:" in page.text
    assert any(i["src"].startswith("data:image/gif") for i in page.all("img"))


def test_a_rollout_that_is_lost_at_once_has_no_film(tmp_path):
    class Exploding(simlearn.VectorField):
        def forward(self, t, x, topology):
            return 1e9 * x.sign()

    report, _ = judged(MassSpring(), Simulator(Exploding(), Euler(), 0.1))
    assert report.items[0].finding.verdict == "fail"
    assert not report.items[0].finding.films
    assert gate.write(report, tmp_path)["report.html"].exists()


def test_a_report_without_films_or_pictures_still_works(tmp_path):
    curve = Curve([Line([0.0, 1.0], [1.0, 2.0])], "t", "y")
    items = (
        Item("Drawn", {}, Finding.of([Metric("a", 0.0, 1.0)], "", {"one": curve})),
        Item("Plain", {}, Finding.of([Metric("a", 0.0, 1.0)], "fine")),
        Item("None", {}, Finding.not_applicable("no"), optional=True),
    )
    page = Page(gate.write(Report("s", "s", items), tmp_path)["report.html"].read_text())
    assert len(page.all("figure")) == len(page.all("details")) - 1 == 1


def film(samples, value=None, names=("<b>$x</b>", "b")):
    way = [[0.1 * k if value is None else value] * 2 for k in range(samples)]
    tracks = [Track(way, way, "truth", "data"), Track(way, way, "judged", "<i>this</i>")]
    return Film([float(k) for k in range(samples)], tracks, "x", "y_{$", names=names)


def test_names_in_a_film_are_escaped(tmp_path):
    finding = Finding.of([Metric("a", 0.0, 1.0)], "", films={"<script>": film(4)}, meaning="<u>")
    page = gate.write(Report("s", "s", (Item("x", {}, finding),)), tmp_path)["report.html"]
    text = page.read_text()
    assert "<script" not in text
    assert "<u>" not in text
    assert "<i>this" not in text
    assert "&lt;b&gt;$x" in text


@pytest.mark.parametrize("samples", [1, 2, FRAMES, 500])
def test_the_frames_are_first_to_last_and_no_more_than_sixty(samples):
    frames = place(film(samples))
    assert frames[0] == 0
    assert frames[-1] == samples - 1
    assert len(frames) == min(samples, FRAMES)
    assert frames == sorted(set(frames))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0])
def test_a_film_without_extent_is_drawn(value):
    assert gif(film(3, value))[:3] == b"GIF"
    assert still(film(3, value))[:4] == b"\x89PNG"
