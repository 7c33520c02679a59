"""Gate files: what they say, what is refused, and that reading one is cheap."""

import subprocess
import sys

import pytest

from simlearn import ConfigError
from simlearn.stability.gatefile import Entry, Tolerance, read_gate_file

PLAIN = "schema: 1\nsuites:\n  smoke: [Bounded]\n"


@pytest.fixture
def written(tmp_path):
    def write(text, name="gate.yaml"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_a_file_may_name_all_that_is_judged(written, tmp_path):
    gate = read_gate_file(
        written(
            "schema: 1\nsimulator: ../runs/a\ndata: test.h5\ntraining_data: train.h5\n"
            "siblings: [../runs/b, /elsewhere/c]\nreferences: {old: ../runs/old}\nseed: 7\n"
            "baseline: b.json\ntolerance: {relative: 0.2, absolute: 1e-6}\n"
            "suites:\n  smoke: [Bounded]\n  full:\n    - Bounded\n"
            "    - {class_path: Bounded, init_args: {horizon: 9}, severity: warning, "
            "optional: true}\n"
        )
    )
    assert gate.simulator == tmp_path / "../runs/a"
    assert gate.data == tmp_path / "test.h5"
    assert gate.training_data == tmp_path / "train.h5"
    assert [str(one) for one in gate.siblings] == [f"{tmp_path}/../runs/b", "/elsewhere/c"]
    assert gate.references == {"old": tmp_path / "../runs/old"}
    assert (gate.seed, gate.baseline) == (7, tmp_path / "b.json")
    assert gate.tolerance == Tolerance(absolute=1e-6, relative=0.2)
    assert gate.suites["smoke"] == (Entry("Bounded", {}, "error", False),)
    assert gate.suites["full"][1:] == (Entry("Bounded", {"horizon": 9}, "warning", True),)


def test_all_but_suites_may_be_left_out(written):
    gate = read_gate_file(written(PLAIN))
    assert (gate.simulator, gate.data, gate.training_data, gate.baseline) == (None,) * 4
    assert (gate.siblings, gate.references, gate.seed) == ((), {}, 0)
    assert gate.tolerance == Tolerance()


def test_full_is_the_suite_that_is_meant_else_the_first(written):
    both = read_gate_file(written("schema: 1\nsuites: {smoke: [Bounded], full: [EnergyDrift]}\n"))
    assert both.suite()[0] == "full"
    assert both.suite("smoke")[1][0].class_path == "Bounded"
    assert read_gate_file(written("schema: 1\nsuites: {a: [B], c: [D]}\n")).suite()[0] == "a"
    with pytest.raises(ConfigError, match=r"no suite 'smok'; did you mean smoke\? It has smoke, f"):
        both.suite("smok")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("schema: 2\nsuites: {a: [B]}\n", "schema 2; this simlearn reads .* 1.*newer simlearn"),
        ("suites: {a: [B]}\n", "Write `schema: 1`"),
        ("schema: 1\n", "no `suites:`"),
        ("schema: 1\nsuites: {}\n", "no `suites:`"),
        ("schema: 1\nsuites: {a: []}\n", "suite 'a' has no checks"),
        ("schema: 1\nsuites: {a: B}\n", "suite 'a' has no checks"),
        ("schema: 1\nsuites: {3: [B]}\n", "named by printable text, got 3"),
        ('schema: 1\nsuites: {"a\\e[2J": [B]}\n', "named by printable text"),
        (PLAIN + "dada: x.h5\n", "dada; did you mean data"),
        (PLAIN + "zzzz: x.h5\n", "zzzz; the gate file takes schema, suites"),
        (PLAIN + "data: 3\n", "`data:` is a path"),
        (PLAIN + "siblings: runs/b\n", "list of paths"),
        (PLAIN + "references: [runs/b]\n", "each name a path"),
        (PLAIN + "seed: -1\n", "whole number from 0, got -1"),
        (PLAIN + "seed: true\n", "whole number from 0"),
        (
            PLAIN + f"seed: {2**63}\n",
            f"whole number from 0, got {2**63}; the largest is {2**63 - 1}",
        ),
        ("schema: true\nsuites: {a: [B]}\n", "has schema True.*Write `schema: 1`"),
        ("schema: 1\nsuites: {a: [{class_path: ''}]}\n", "a check is written as"),
        ("schema: 1\nsuites: {a: ['']}\n", "a check is written as"),
        (
            "schema: 1\nsuites: {a: [B], c: [{class_path: B, severity: warning}]}\n",
            "suite 'c' has no check of severity error: nothing would be proved",
        ),
        (PLAIN + "seed: 2024-13-45\n", "no valid YAML: month must be"),
        (PLAIN + f"seed: {'[' * 20_000}\n", "nested too deeply|no valid YAML"),
        (PLAIN + "tolerance: 0.1\n", "`tolerance:` is a mapping"),
        (PLAIN + "tolerance: {relativ: 0.1}\n", "did you mean relative"),
        (PLAIN + "tolerance: {relative: .nan}\n", "relative is a number from 0"),
        (PLAIN + "tolerance: {absolute: much}\n", "absolute is a number from 0, got 'much'"),
        ("schema: 1\nsuites:\n  a: [B]\n  a: [C]\n", "line 4.*the key 'a' stands twice"),
        ("schema: 1\nsuites:\n  a: [{init_args: {}}]\n", "a check is written as"),
        ("schema: 1\nsuites:\n  a: [{class_path: B, init_args: [1]}]\n", "a mapping"),
        ("schema: 1\nsuites:\n  a: [{class_path: B, optional: 1}]\n", "optional"),
        ("schema: 1\nsuites:\n  a: [{class_path: B, severity: fatal}]\n", "error | warning"),
        ("schema: 1\nsuites: {a: [B\n", "no valid YAML"),
        ("- 1\n", "must be a YAML mapping"),
        ("", "must be a YAML mapping"),
        ("&a [*a]\n", "it contains itself"),
        ("schema: !!python/name:os.system\n", "no valid YAML"),
    ],
)
def test_what_a_gate_file_must_not_say(written, text, told):
    with pytest.raises(ConfigError, match=told):
        read_gate_file(written(text))


def test_merge_keys_are_no_twins(written):
    gate = read_gate_file(
        written(
            "schema: 1\nsuites:\n  a:\n"
            "    - &b {class_path: Bounded, init_args: {horizon: 9}}\n"
            "    - {<<: *b, init_args: {horizon: 99}}\n"
        )
    )
    assert [one.init_args["horizon"] for one in gate.suites["a"]] == [9, 99]


def test_reading_one_imports_neither_torch_nor_jsonargparse(written):
    code = (
        "import sys; from simlearn.stability.gatefile import read_gate_file;"
        "read_gate_file(sys.argv[1]).suite();"
        "sys.exit(sorted({'torch', 'jsonargparse', 'lightning'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(written(PLAIN))], check=False)
    assert done.returncode == 0


def test_a_file_that_may_not_be_read_is_named(written, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = written(PLAIN)
    monkeypatch.setattr(type(path), "read_text", refused)
    with pytest.raises(ConfigError, match=rf"{path.name} cannot be read: Permission denied"):
        read_gate_file(path)
