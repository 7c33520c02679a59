"""`simlearn plugins NAME`: what a component takes, and how a config names it."""

import json
import typing
from collections.abc import Mapping, Sequence

import pytest
import yaml

from simlearn import catalog, cli
from simlearn.cli.check import read_gate
from simlearn.cli.pages import PLACES, page, readable
from simlearn.component import build, describe
from simlearn.integrators import Integrator

KNOWN = catalog.load()


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        (float, "float"),
        (None, "None"),
        (float | None, "float | None"),
        (typing.Optional[list[int]], "list[int] | None"),  # noqa: UP045
        (typing.Union[int, str], "int | str"),  # noqa: UP007
        (typing.Literal["end", "max"], "'end' | 'max'"),
        (Sequence[str], "Sequence[str]"),
        (Mapping[str, float] | None, "Mapping[str, float] | None"),
        (tuple[int, ...], "tuple[int, ...]"),
        (Integrator, "Integrator"),
        ("simlearn.integrators.Integrator | None", "Integrator | None"),
    ],
    ids=str,
)
def test_types_are_readable(annotation, told):
    assert readable(annotation) == told


def test_a_component_shows_everything_a_config_needs(capsys):
    assert cli.run(["plugins", "NoiseInjection"]) == 0
    text = capsys.readouterr().out
    version = next(p for p in KNOWN.plugins if p.name == "stabilizers").version
    assert f"[Stabilizer, plugin stabilizers (simlearn {version})]" in text
    assert "'uncorrected'" in text
    assert "    - class_path: NoiseInjection\n" in text
    assert "Good values: 0.001" in text


def test_what_stands_as_an_argument_is_listed_and_shown_too(capsys):
    """A family of graphs is of no kind, and is what a config names all the same."""
    assert cli.run(["plugins", "--load"]) == 0
    told = capsys.readouterr().out
    assert "GraphFamily       BarabasiAlbert, EdgeList, ErdosRenyi, Grid8" in told
    assert "PairTerm          EdgeNetwork, Factorised" in told
    assert cli.run(["plugins", "Grid8"]) == 0
    assert "[GraphFamily, plugin networks (simlearn" in capsys.readouterr().out
    assert cli.run(["plugins", "Factorized"]) == 2
    assert "did you mean Factorised (simlearn, simlearn)?" in capsys.readouterr().err


def test_a_misspelt_argument_is_told_from_the_component_that_takes_it(capsys, tmp_path):
    line = "generator: {class_path: Heat, init_args: {graph: {class_path: GRAPH}}}\n"
    words = ["generate", "-c", str(tmp_path / "c.yaml"), "--out", str(tmp_path / "x.h5")]
    for given, said in (
        ("Grid9", "There is no GraphFamily named Grid9; did you mean Grid8 (networks, simlearn)?"),
        ("Zzz", "There is no GraphFamily named Zzz. There are: BarabasiAlbert, EdgeList,"),
    ):
        (tmp_path / "c.yaml").write_text(line.replace("GRAPH", given))
        assert cli.run(words) == 2
        assert said in capsys.readouterr().err


def test_a_component_by_its_full_path_is_the_same(capsys):
    assert cli.run(["plugins", "simlearn_stabilizers.noise.NoiseInjection"]) == 0
    full = capsys.readouterr().out
    assert cli.run(["plugins", "NoiseInjection"]) == 0
    assert capsys.readouterr().out == full


def test_required_arguments_are_marked_and_exemplified(capsys):
    assert cli.run(["plugins", "Flattened", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in told["arguments"]}
    assert rows["rows"] == {"name": "rows", "type": "int", "required": True, "default": None}
    assert rows["field"]["type"] == "VectorField"
    named = yaml.safe_load(told["yaml"])["model"]["simulator"]["dynamics"]
    assert named["init_args"]["rows"] == 3
    assert (told["kind"], told["plugin"]) == ("Dynamics", "simlearn")


def test_a_plugin_shows_its_words_and_all_its_components(capsys):
    assert cli.run(["plugins", "stabilizers", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["status"] == "ok"
    assert told["doc"].startswith("Stabilizers: what keeps")
    offered = [name for names in told["components"].values() for name in names]
    assert sorted(p["name"] for p in told["pages"]) == sorted(offered)
    assert cli.run(["plugins", "stabilizers"]) == 0
    text = capsys.readouterr().out
    for name in told["components"]["Stabilizer"]:
        assert f".{name}  [Stabilizer" in text


@pytest.mark.parametrize("cls", KNOWN.components(), ids=lambda c: c.__name__)
def test_the_yaml_of_every_component_builds_it(cls):
    told = page(cls, KNOWN.offers[cls.__name__][1])
    named = yaml.safe_load(told["yaml"])
    for key in PLACES[told["kind"]]:
        named = named[0] if key == "-" else named[key]
    if isinstance(named, str):
        named = {"class_path": named}
    built = build(named, KNOWN.find)
    assert type(built) is cls
    # YAML has no tuples and no difference of 1 and 1.0 matters
    assert json.loads(json.dumps(describe(built)["init_args"])) == named.get("init_args", {})


def test_the_yaml_of_a_check_is_a_gate(tmp_path):
    (cls,) = [c for c in KNOWN.components() if c.__name__ == "ForecastError"]
    gate = tmp_path / "gate.yaml"
    gate.write_text(page(cls, None)["yaml"])
    name, cases = read_gate(gate, "smoke", KNOWN)
    assert (name, len(cases)) == ("smoke", 1)


def test_the_yaml_of_a_stabilizer_is_a_config(tmp_path, monkeypatch, capsys, request):
    monkeypatch.chdir(tmp_path)
    fit = request.config.rootpath / "configs/fit/mass-spring.yaml"
    (cls,) = [c for c in KNOWN.components() if c.__name__ == "NoiseInjection"]
    (tmp_path / "noise.yaml").write_text(page(cls, None)["yaml"])
    assert cli.run(["fit", "-c", str(fit), "-c", "noise.yaml", "--print_config"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    (named,) = printed["model"]["stabilizers"]
    wanted = {"target": "restoring", "where": "auto", "epochs": 0}
    assert wanted.items() <= named["init_args"].items()


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("NoiseInjektion", "did you mean NoiseInjection (stabilizers, simlearn)?"),
        ("mechanic", "There is a plugin mechanics."),
        ("NothingLikeThis", "`simlearn plugins --load` lists all of them."),
        ("nothing.like.This", "nothing.like.This was refused and not imported"),
    ],
)
def test_unknown_names_end_with_2_and_the_nearest(capsys, name, hint):
    assert cli.run(["plugins", name]) == 2
    told = capsys.readouterr().err
    assert hint in told
    assert "Traceback" not in told


def test_a_name_that_blocks_nothing_is_told(capsys):
    """Somebody who leaves a plugin out relies on it."""
    assert cli.run(["--block", "caos", "--block", "simlearn:checks", "plugins"]) == 0
    told = capsys.readouterr().err
    assert told == (
        "simlearn: --block caos leaves nothing out: no plugin is called so. Did you mean chaos?\n"
    )


def test_a_blocked_plugin_says_so(capsys):
    assert cli.run(["plugins", "stabilizers", "--block", "stabilizers"]) == 0
    assert "blocked" in capsys.readouterr().out
