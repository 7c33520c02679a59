"""The gate of benchmarks/gate.py fails no law that stays: the systems of its panel, and another."""

import pathlib
import random
import sys

import pytest

from simlearn import Evidence, Simulator
from simlearn.integrators import RK4
from simlearn_checks.escape import Escape
from simlearn_mechanics import DoublePendulum

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
from gate_parts import members, systems

sys.path.pop(0)


@pytest.mark.parametrize("name", systems.SYSTEMS)
def test_the_law_of_every_system_of_the_panel_passes(name):
    kind = systems.SYSTEMS[name]
    found = judged(kind.make(random.Random(0)), kind.dt)
    assert found.verdict == "pass", found.summary
    assert found.metrics[0].value < 2.5


def test_the_law_of_another_system_passes():
    found = judged(DoublePendulum(), 0.05)
    assert found.verdict == "pass", found.summary


def judged(system, dt):
    """The law itself, by RK4, under the conditions of the panel."""
    held_out = systems.measured(system, members.HELD_OUT, members.SAMPLES, dt, 0, 0.0)[0]
    return Escape().run(Simulator(system.truth(), RK4(), dt), Evidence(held_out))
