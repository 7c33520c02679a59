"""The front door: quick, stdlib only, one message and one exit code for everything."""

import subprocess
import sys

import pytest

from simlearn import cli
from simlearn.component import (
    ArchiveError,
    ConfigError,
    DataError,
    EnvironmentFault,
    NumericalError,
    PluginError,
)


@pytest.mark.parametrize("argv", [["--help"], ["plugins"], ["--version"], ["plugins", "--json"]])
def test_answers_without_torch(argv):
    code = (
        "import sys; from simlearn.cli import run; "
        f"code = run({argv!r}); heavy = {{'torch', 'lightning', 'jsonargparse', 'numpy'}} & "
        "set(sys.modules); "
        "sys.exit(code or (99 if heavy else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "simlearn" in done.stdout


def test_import_is_lazy():
    code = "import simlearn, sys; sys.exit(bool({'torch', 'lightning'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_commands_that_train_nothing_start_without_lightning():
    """It takes as long to import as everything else together."""
    code = (
        "import sys; from simlearn.cli import run; "
        "codes = [run([c, '--help']) for c in ('generate', 'check', 'forecast', 'data')]; "
        "sys.exit(any(codes) or 'torch' not in sys.modules or 'lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_front_names_all_resolve():
    import simlearn

    for name in simlearn.__all__:
        assert getattr(simlearn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        simlearn.nonsense  # noqa: B018


def test_unknown_command_offers_the_nearest(capsys):
    assert cli.run(["fti"]) == 2
    assert "did you mean fit?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (DataError("x"), 3),
        (PluginError("x"), 4),
        (NumericalError("x"), 5),
        (EnvironmentFault("x"), 6),
        (ArchiveError("x"), 7),
        (OSError("x"), 6),
        (MemoryError(), 6),
        (KeyboardInterrupt(), 130),
        (ImportError("x"), 70),
        (RuntimeError("x"), 70),
        (SystemExit(0), 70),  # only a parser may end a command
        (SystemExit("words"), 70),
    ],
)
def test_every_exception_has_a_code(monkeypatch, capsys, error, code):
    def fail(rest, options):
        raise error

    monkeypatch.setattr(cli, "_dispatch", fail)
    assert cli.run(["plugins"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_import_error_in_the_gate_is_an_internal_error(tmp_path):
    """A CI must be able to tell a bad model (1) from a broken tool (70)."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'simlearn.stability.gate':\n"
        "            raise ImportError('planted')\n"
        "sys.meta_path.insert(0, Broken())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "simlearn", "check", "x", "--data", "y", "-c", "z"],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 70
    assert "planted" in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback(monkeypatch, capsys):
    def fail(rest, options):
        raise ConfigError("wrong")

    monkeypatch.setattr(cli, "_dispatch", fail)
    assert cli.run(["--debug", "plugins"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_common_options_are_taken_from_anywhere():
    options = cli.Options()
    rest = cli._common(["fit", "--block", "a", "-c", "x", "--allow-import=b", "--debug"], options)
    assert rest == ["fit", "-c", "x"]
    assert (options.block, options.allow, options.debug) == (["a"], ["b"], True)
    with pytest.raises(ConfigError, match="--block needs a name"):
        cli._common(["--block"], options)


def test_plugins_shows_one_component(capsys):
    assert cli.run(["plugins", "Pendulum"]) == 0
    text = capsys.readouterr().out
    assert "0.5 to 2.8." in text
    assert "amplitude: float = 2.0" in text
    assert cli.run(["plugins", "Pendulm"]) == 2
    assert "did you mean Pendulum" in capsys.readouterr().err


def test_blocked_plugin_is_gone(capsys):
    assert cli.run(["plugins", "--load", "--block", "mechanics"]) == 0
    assert "mechanics  (simlearn 0.1.0)  blocked" in capsys.readouterr().out
    assert cli.run(["plugins", "Pendulum", "--block", "mechanics"]) == 2
