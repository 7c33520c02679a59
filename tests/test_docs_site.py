"""The site builds strictly, and what its pages list is what the code has.

``python tests/test_docs_site.py`` writes the generated parts of the pages anew.
"""

import inspect
import pathlib
import re
import subprocess
import sys

import pytest
import yaml

import simlearn
from simlearn import catalog, cli
from simlearn.component import arguments
from simlearn.data.generate import DatasetGenerator, System, sample_times
from simlearn.data.module import TrajectoryData
from simlearn.simulator import Simulator
from simlearn.training.module import SimulatorModule

ROOT = pathlib.Path(__file__).parents[1]
DOCS = ROOT / "docs"
PLUGINS = ("mechanics", "chaos", "networks", "ephemeris")
COMMON = {"--debug", "--allow-import", "--block", "--strict-plugins", "--help"}
LIGHTNINGS = {"--print_config", "--seed_everything", "--config", "--trainer"}


def generators():
    known = catalog.load()
    offered = known.components(DatasetGenerator)
    return [cls for cls in offered if known.offers[cls.__name__][1].name in PLUGINS]


def laws(old):
    """The table of laws: name, law and state as written, shape and invariants as they are."""
    written = dict(re.findall(r"^\| (\w+) \| (.*? \| .*?) \|", old, re.M))
    rows = old.strip().splitlines()[:2]
    for cls in generators():
        system = cls()
        (one,) = system.draw(range(1), sample_times(2, 0.1), 0)
        kept = system.invariants() if isinstance(system, System) else ()
        told = written.get(cls.__name__, "? | ?")
        shape = " × ".join(map(str, one.x.shape[1:]))
        names = ", ".join(name.replace("_", " ") for name in kept) or "—"
        rows.append(f"| {cls.__name__} | {told} | {shape} | {names} |")
    return "\n".join(rows)


def values(old):
    """Every argument of every system with its default and its good values."""
    rows = ["| system | argument = default: good values |", "| --- | --- |"]
    for cls in generators():
        doc = inspect.getdoc(cls).split("Args:")[1].split("Raises:")[0]
        cells = []
        for name, default in defaults(cls).items():
            text = re.search(rf"^    {name}: (.*?)(?=^    \w|\Z)", doc, re.S | re.M)[1]
            good = re.search(r"Good values?: (.*?)\.?\s*\Z", " ".join(text.split()))
            cells.append(f"`{name}` = {default}" + (f": {good[1]}" if good else ""))
        rows.append(f"| {cls.__name__} | {'; '.join(cells)} |")
    return "\n".join(rows)


def defaults(cls):
    found = inspect.signature(cls).parameters
    return {name: one.default for name, one in found.items()}


def names(old):
    """The front door with the first line of each docstring."""
    rows = ["| name | what it is |", "| --- | --- |"]
    for name in simlearn.__all__:
        line = inspect.getdoc(getattr(simlearn, name)).splitlines()[0]
        rows.append(f"| `{name}` | {line.replace('``', '`')} |")
    return "\n".join(rows)


def offers(kind):
    """A table of everything of a kind that ships with simlearn."""

    def make(old):
        rows = ["| name | what it is |", "| --- | --- |"]
        known = catalog.load()
        for cls in known.components(kind):
            if known.offers[cls.__name__][1].distribution == "simlearn":
                line = inspect.getdoc(cls).splitlines()[0].replace("``", "`")
                rows.append(f"| `{cls.__name__}` | {line.replace('|', '∣')} |")
        return "\n".join(rows)

    return make


# systems have a page of their own
KINDS = {
    kind.__name__.lower(): kind for kind in catalog.kinds.KINDS if kind is not DatasetGenerator
}
PARTS = {
    "systems.md": {"laws": laws, "values": values},
    "reference.md": {"names": names, **{name: offers(kind) for name, kind in KINDS.items()}},
}


def renewed(page, name, make):
    """A page with one generated part made anew."""
    text = (DOCS / page).read_text(encoding="utf-8")
    start, end = f"<!-- {name} -->\n", "\n<!-- end -->"
    before, rest = text.split(start)
    old, after = rest.split(end.lstrip("\n"), 1)
    return text, f"{before}{start}{make(old)}{end}{after}"


@pytest.mark.parametrize(
    ("page", "name", "make"), [(p, n, m) for p, parts in PARTS.items() for n, m in parts.items()]
)
def test_generated_parts_are_what_the_code_says(page, name, make):
    now, wanted = renewed(page, name, make)
    missing = set(wanted.splitlines()) - set(now.splitlines())
    assert now == wanted, f"run python tests/test_docs_site.py; {page} lacks {sorted(missing)}"
    assert "? | ?" not in now, "write the law and the state of the new system by hand"


def test_the_site_builds_without_a_warning_and_without_a_network(tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is not installed (extra docs)")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"]
    done = subprocess.run(
        [*command, "--config-file", str(ROOT / "mkdocs.yml"), "--site-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING -" not in done.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) >= len(list(DOCS.glob("*.md")))
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|link)\b[^>]*?(?:src|href)=[\"']?([^\"' >]+)", page.read_text()
        )
        outside = [url for url in loaded if re.match(r"(https?:)?//", url)]
        assert not outside, f"{page.name} loads {outside}"
    assert "Added" in (tmp_path / "changelog.html").read_text()


def test_the_menu_holds_every_page():
    menu = (ROOT / "mkdocs.yml").read_text().split("\nnav:")[1]
    for page in DOCS.glob("*.md"):
        assert re.search(rf": {re.escape(page.name)}$", menu, re.M), f"{page.name} is in no menu"


def options_of(command, capsys):
    """The long options that a command's help shows."""
    words = ["data", "import"] if command == "data" else [command]
    assert cli.run([*words, "--help"]) == 0
    text = capsys.readouterr().out
    if command == "data":
        text += "--json"
    if command in ("fit", "validate", "test", "predict"):
        own = set(re.findall(r"^  (--(?:run|resume|seeds|allow-drift|spill))\b", text, re.M))
        groups = {"model": SimulatorModule, "data": TrajectoryData, "model.simulator": Simulator}
        parts = {f"--{g}.{name}" for g, cls in groups.items() for name in arguments(cls)}
        return own | LIGHTNINGS | parts - {"--model.simulator"}
    found = set(re.findall(r"(?<![\w-])(--[a-z][\w.-]*)", text.split("\n\noptions:")[-1]))
    return {name.rstrip(".") for name in found}


def sections():
    text = (DOCS / "reference.md").read_text().split("## Python")[0]
    parts = re.split(r"^### (\w+)\n", text, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_the_reference_has_a_section_for_every_command():
    assert list(sections()) == list(cli.COMMANDS)


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_reference_lists_the_options_of_the_command_and_no_others(command, capsys):
    section = sections()[command]
    given = set(re.findall(r"`(?:-c`, `)?(--[a-z][\w.-]*)", section))
    real = options_of(command, capsys)
    nested = tuple(f"{name}." for name in real)
    known = real | {name for name in given if name.startswith(nested)}
    assert not given - known, f"no options of {command}: {sorted(given - known)}"
    if "[fit](#fit)" in section:
        return
    if command == "fit":
        assert any(name.startswith("--trainer.") for name in given)
    missing = real - given - COMMON - {"--held-out", "--trainer"}
    assert not missing, f"not in the reference: {sorted(missing)}"


def blocks(page, kind):
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text(), re.S)


@pytest.mark.parametrize("page", sorted(p.name for p in DOCS.glob("*.md")))
def test_every_option_of_every_command_line_exists(page, capsys):
    text = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    lines = re.findall(r"\bsimlearn ([a-z]+)\b([^#\n]*)", text)
    for command, rest in lines:
        assert command in cli.COMMANDS, command
        real = options_of(command, capsys) | COMMON
        nested = tuple(f"{name}." for name in real)
        for name in re.findall(r"(?<![\w-])(--[a-z][\w.-]*)", rest):
            known = name in real or name.startswith(nested)
            assert known, f"{page}: simlearn {command} has no {name}"


@pytest.mark.parametrize("number", range(len(blocks("training.md", "yaml")) - 1))
def test_the_snippets_of_the_training_room_are_configs(number, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    base, *snippets = blocks("training.md", "yaml")
    pathlib.Path("base.yaml").write_text(base)
    pathlib.Path("more.yaml").write_text(snippets[number])
    words = ["fit", "-c", "base.yaml", "-c", "more.yaml", "--print_config"]
    assert cli.run(words) == 0, capsys.readouterr().err
    printed = yaml.safe_load(capsys.readouterr().out)
    for part, asked in yaml.safe_load(snippets[number]).items():
        for key, value in asked.items():
            if not isinstance(value, dict | list):
                assert printed[part][key] == value


if __name__ == "__main__":
    for page, parts in PARTS.items():
        for name, make in parts.items():
            text = renewed(page, name, make)[1]
            (DOCS / page).write_text(text, encoding="utf-8")
