"""Bad input: one short message (given, wanted, what to do) and the exit code."""

import json
import pathlib
import shutil
import sys

import pytest

from simlearn import cli

ROOT = pathlib.Path(__file__).parents[2]
FIT = (ROOT / "configs/fit/mass-spring.yaml").read_text()
GATE = (ROOT / "configs/gate/mass-spring.yaml").read_text()


@pytest.fixture
def say(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder and gives (code, the message)."""
    monkeypatch.chdir(tmp_path)

    def run(*argv):
        capsys.readouterr()
        code = cli.run([str(a) for a in argv])
        error = capsys.readouterr().err
        assert "Traceback" not in error
        assert error.count("\n") <= 2, error
        return code, error

    return run


def changed(tmp_path, old, new, text=FIT):
    assert old in text
    path = tmp_path / "config.yaml"
    path.write_text(text.replace(old, new))
    return path


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("MassSpring", "MasSpring", ["config.yaml:", "No DatasetGenerator", "did you mean "
                                                                            "MassSpring"]),
        ("SeparableEnergy", "SeparableEnrgy", ["did you mean SeparableEnergy"]),
        ("Leapfrog", "Leapfog", ["did you mean Leapfrog"]),
        ("\n  objective", "\n  start: Lader\n  objective", ["is no Start named", "mean Ladder"]),
        ("{dim: 2", "{dimm: 2", ["SeparableEnergy has no argument dimm", "did you mean dim?"]),
        ("dim: 2, ", "", ["SeparableEnergy needs dim"]),
        ("width: 32", "width: wide", ["config.yaml:5", "wanted int, got wide"]),
        ("dim: 2", "dim: 3", ["must be even", "got 3"]),
        ("count: 32", "cuont: 32", ["did you mean count?"]),
        ("dt: 0.1\n  objective", "dt: -1\n  objective", ["dt must be positive", "-1"]),
        ("SeparableEnergy", "Energy", ["Leapfrog needs a SplitField, got Energy", "Midpoint"]),
        ("integrator: Leapfrog", "integrator: null", ["needs an integrator"]),
        ("  dtype: float64", "  dtype: float16", ["float16"]),
        ("steps: 101", "steps: 7", ["No trajectory is long enough", "21"]),
        ("\n  dt: 0.1\ntrainer", "\n  dt: 0.2\ntrainer", ["sampled every 0.2", "simulator.dt"]),
        ("  generator: MassSpring", "  file: nowhere.h5", ["There is no dataset nowhere.h5"]),
        ("max_epochs: 25", "max_epochs: 2\n  precision: 64-true", ["model.dtype"]),
    ],
)  # fmt: skip
def test_fit_refuses(say, tmp_path, old, new, told):
    told = [t.replace("No DatasetGenerator", "There is no DatasetGenerator") for t in told]
    code, message = say("fit", "-c", changed(tmp_path, old, new))
    assert code == (3 if "h5" in new or "steps" in new else 2), message
    for part in told:
        assert part in message
    assert not (tmp_path / "runs").exists(), "a refused fit leaves nothing behind"


def test_yaml_error_names_file_and_line(say, tmp_path):
    code, message = say("fit", "-c", changed(tmp_path, "integrator: Leapfrog", "integrator: a: b"))
    assert code == 2
    assert "config.yaml, line" in message
    (tmp_path / "list.yaml").write_text("- 1\n")
    assert say("fit", "-c", "list.yaml") == (
        2,
        "simlearn: list.yaml must be a YAML mapping (key: value), got list.\n",
    )
    assert say("fit", "-c", "nope.yaml")[0] == 2
    assert "needs a config" in say("fit")[1]


@pytest.mark.parametrize("where", ["class_path: SeparableEnergy", "class_path: torch.optim.LBFGS"])
@pytest.mark.parametrize("extra", [[], ["--print_config"]])
def test_foreign_classes_are_refused_and_not_imported(say, tmp_path, monkeypatch, where, extra):
    canary = tmp_path / "canary"
    (tmp_path / "evil.py").write_text(f"open({str(canary)!r}, 'w').write('ran')\nclass Net: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    code, message = say("fit", "-c", changed(tmp_path, where, "class_path: evil.Net"), *extra)
    assert code == 2
    assert "evil.Net was refused and not imported" in message
    assert "--allow-import evil" in message
    assert not canary.exists()
    assert "evil" not in sys.modules


def test_python_tags_are_refused(say, tmp_path):
    path = changed(tmp_path, "MassSpring", "!!python/object/apply:os.system ['touch canary']")
    assert say("fit", "-c", path)[0] == 2
    assert not (tmp_path / "canary").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny trained run with its data: good enough to be refused."""
    folder = tmp_path_factory.mktemp("trained")
    import os

    before = pathlib.Path.cwd()
    os.chdir(folder)
    try:
        config = folder / "tiny.yaml"
        config.write_text(
            FIT.replace("max_epochs: 25", "max_epochs: 1").replace("count: 32", "count: 2")
        )
        assert cli.run(["fit", "-c", str(config)]) == 0
        draw = ["--steps", "30", "--dt", "0.1", "--out", "test.h5"]
        assert cli.run(["generate", "--generator", "MassSpring", "--count", "1", *draw]) == 0
        (folder / "gate.yaml").write_text(
            "schema: 1\nsuites:\n  full:\n    - "
            "{class_path: Bounded, init_args: {horizon: 20, factor: 1e9}}\n"
        )
    finally:
        os.chdir(before)
    return folder


def test_the_small_run_itself_is_judged(say, trained):
    args = [
        "check",
        trained / "runs/tiny",
        "--data",
        trained / "test.h5",
        "-c",
        trained / "gate.yaml",
    ]
    assert say(*args, "--out", "report")[0] == 0


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Bounded", "Bouned", "did you mean Bounded"),
        ("horizon: 20", "horizn: 20", "did you mean horizon?"),
        ("horizon: 20", "horizon: -20", "horizon must be positive"),
        ("schema: 1", "schema: 2", "schema 2"),
        ("suites:", "sweets:", "no `suites:`"),
        ("- {class_path: Bounded, init_args: {horizon: 20, factor: 1e9}}", "[]", "no checks"),
        ("full:", "full: 3\n  other:", "no checks"),
        ("factor: 1e9}}", "factor: 1e9}, severity: fatal}", "severity (error | warning)"),
    ],
)
def test_gate_refuses(say, trained, tmp_path, old, new, told):
    gate = changed(tmp_path, old, new, (trained / "gate.yaml").read_text())
    code, message = say("check", trained / "runs/tiny", "--data", trained / "test.h5", "-c", gate)
    assert code == 2, message
    assert told in message


def test_a_horizon_longer_than_the_evidence_is_a_data_error(say, trained, tmp_path):
    gate = tmp_path / "gate.yaml"
    gate.write_text(
        "schema: 1\nsuites:\n  full:\n    - "
        "{class_path: ForecastError, init_args: {horizon: 500, limit: 1}}\n"
    )
    code, message = say("check", trained / "runs/tiny", "--data", trained / "test.h5", "-c", gate)
    assert code == 3
    assert "horizon of 500 steps" in message


def test_a_failing_gate_is_1_and_an_inapplicable_check_fails_it(say, trained, tmp_path):
    gate = tmp_path / "gate.yaml"
    start = "schema: 1\nsuites:\n  full:\n"
    args = ["check", trained / "runs/tiny", "--data", trained / "test.h5", "-c", gate, "--out", "r"]
    gate.write_text(start + "    - {class_path: Bounded, init_args: {horizon: 20, factor: 1e-3}}\n")
    assert say(*args)[0] == 1
    gate.write_text(start + "    - {class_path: ForceLaw}\n")
    assert say(*args)[0] == 1
    sound = "    - {class_path: Bounded, init_args: {horizon: 20, factor: 1e9}}\n"
    gate.write_text(start + "    - {class_path: ForceLaw, optional: true}\n" + sound)
    assert say(*args)[0] == 0
    told = json.loads((tmp_path / "r/report.json").read_text())
    assert told["checks"][0]["verdict"] == "not_applicable"
    assert told["checks"][0]["good"]


@pytest.mark.parametrize("victim", ["simulator.json", "weights.safetensors"])
def test_a_tampered_archive_is_refused(say, trained, tmp_path, victim):
    shutil.copytree(trained / "runs/tiny/simulator", tmp_path / "sim")
    path = tmp_path / "sim" / victim
    raw = bytearray(path.read_bytes())
    place = raw.index(b"0.1") if victim.endswith("json") else len(raw) - 4
    raw[place] ^= 1
    path.write_bytes(raw)
    code, message = say("check", "sim", "--data", trained / "test.h5", "-c", trained / "gate.yaml")
    assert code == 7
    assert victim in message


def test_missing_things_have_their_codes(say, trained, tmp_path):
    gate = trained / "gate.yaml"
    assert say("check", "nowhere", "--data", trained / "test.h5", "-c", gate)[0] == 7
    assert say("check", trained / "runs/tiny", "--data", "no.h5", "-c", gate)[0] == 3
    (tmp_path / "half.h5").write_bytes((trained / "test.h5").read_bytes()[:3000])
    code, message = say("check", trained / "runs/tiny", "--data", "half.h5", "-c", gate)
    assert code == 3
    assert "half.h5" in message
    assert (
        say(
            "check",
            trained / "runs/tiny",
            "--data",
            trained / "test.h5",
            "-c",
            gate,
            "--reference",
            "x",
        )[0]
        == 2
    )
    assert say("validate", "-c", trained / "tiny.yaml", "--resume")[0] == 7
    assert say("fit", "-c", trained / "tiny.yaml", "--run", "../x")[0] == 2


def test_generate_refuses(say, tmp_path):
    draw = ["--steps", "5", "--dt", "0.1", "--out", "x.h5"]
    code, message = say("generate", "--generator", "Pendulm", *draw)
    assert code == 2
    assert "did you mean Pendulum" in message
    assert say("generate", "--generator", "Pendulum", "--generator.amplitude", "4", *draw)[0] == 2
    assert say("generate", "--generator", "Pendulum", "--count", "0", *draw)[0] == 2
    assert say("generate", "--generator", "Pendulum", *draw)[0] == 0
    code, message = say("generate", "--generator", "Pendulum", *draw)
    assert code == 3
    assert "exists already" in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.h5"]


def test_missing_extra_says_which(say, monkeypatch):
    monkeypatch.setitem(sys.modules, "astropy", None)
    monkeypatch.setitem(sys.modules, "astropy.units", None)
    draw = ["--steps", "5", "--dt", "1", "--out", "x.h5"]
    code, message = say("generate", "--generator", "SolarSystem", *draw)
    assert code == 6
    assert "pip install 'simlearn[ephemeris]'" in message


def test_a_damaged_checkpoint_is_refused(say, trained, tmp_path):
    (tmp_path / "bad.ckpt").write_bytes(b"no checkpoint")
    code, message = say("fit", "-c", trained / "tiny.yaml", "--resume", "bad.ckpt")
    assert code == 7
    assert "bad.ckpt" in message


def test_weights_of_another_width_are_refused(say, trained, tmp_path):
    shutil.copytree(trained / "runs", tmp_path / "runs", symlinks=True)
    wide = changed(tmp_path, "width: 32", "width: 16", (trained / "tiny.yaml").read_text())
    code, message = say("test", "-c", wide, "--run", "tiny")
    assert code == 7
    assert "do not fit" in message
    code, message = say("validate", "-c", trained / "tiny.yaml", "--run", "tiny")
    assert code == 2
    assert "data.held_out" in message


def test_an_infinite_limit_is_written_as_text(say, trained, tmp_path):
    gate = tmp_path / "gate.yaml"
    check = "{class_path: Bounded, init_args: {horizon: 20, factor: .inf}}"
    gate.write_text(f"schema: 1\nsuites:\n  full: [{check}]\n")
    args = ["check", trained / "runs/tiny", "--data", trained / "test.h5", "-c", gate]
    assert say(*args, "--out", "r")[0] == 0
    assert json.loads((tmp_path / "r/report.json").read_text())["checks"][0]["arguments"] == {
        "factor": "inf",
        "horizon": 20,
        "starts": 1,
    }
