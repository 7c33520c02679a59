"""A folder with simulators, data and a gate file, for tests of ``simlearn check``."""

import pathlib

import pytest

import simlearn
from simlearn import Simulator, cli
from simlearn.data import store
from simlearn.integrators import Euler, Leapfrog
from simlearn_mechanics import MassSpring, MassSpringLaw

FORECAST = "{class_path: ForecastError, init_args: {horizon: 100, limit: 0.1}}"


NAMED = {
    "BOUNDED": "{class_path: Bounded, init_args: {horizon: 20, factor: 5.0}}",
    "FORECAST": FORECAST,
    "MILD": FORECAST.replace("}}", "}, severity: warning}"),
    "ENERGY": "{class_path: EnergyDrift, init_args: {horizon: 400}}",
    "SPECTRUM": "{class_path: LyapunovSpectrum, init_args: {steps: 100, transient: 9, starts: 4}}",
}


def draw(path, seed=0):
    found = MassSpring().draw(range(2), simlearn.sample_times(200, 0.1), seed)
    told = {"generator": {"class_path": "MassSpring", "init_args": {}}, "seed": seed}
    store.write(path, found, told)


@pytest.fixture
def write_gate():
    """Writes own.gate.yaml: suites, in which the words of NAMED stand for checks, and more keys."""

    def write(suites, more=""):
        for word, check in NAMED.items():
            suites = suites.replace(word, check)
        text = f"schema: 1\nsimulator: sound\ndata: test.h5\n{more}suites:\n  {suites}\n"
        pathlib.Path("own.gate.yaml").write_text(text)

    return write


@pytest.fixture
def gated(tmp_path, monkeypatch, write_gate):
    """Simulators of one law, data of two seeds, and a gate that names them."""
    monkeypatch.chdir(tmp_path)
    simlearn.save(Simulator(MassSpringLaw(), Leapfrog(), 0.1), "sound")
    simlearn.save(Simulator(MassSpringLaw(1.01), Leapfrog(), 0.1), "stiffer")
    simlearn.save(Simulator(MassSpringLaw(), Leapfrog(), 0.05), "finer")
    simlearn.save(Simulator(MassSpringLaw(), Euler(), 0.1), "lost")
    draw("test.h5")
    draw("other.h5", 1)
    write_gate("smoke: [BOUNDED]\n  full: [BOUNDED, FORECAST]")
    return tmp_path


@pytest.fixture
def check(gated, capsys):
    """Runs ``simlearn check``: (code, stdout, stderr)."""

    def run(*argv, gate="own.gate.yaml"):
        capsys.readouterr()
        words = ["check", *map(str, argv), *(["-c", gate] if gate else [])]
        code = cli.run(words)
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return run
