"""The gates that are shipped: one for every system, with limits in its own scales."""

from pathlib import Path

import pytest

from simlearn.stability.gatefile import read_gate_file

CONFIGS = Path(__file__).parents[3] / "configs"
GATES = sorted((CONFIGS / "gate").glob("*.yaml"))
WATCHED = {"edge-of-stability"}  # while they train: what they learn is no simulator
UNITS = {"solar-system": "AU", "kuramoto": "radians", "ieee118": "radians"}


def named(folder):
    return sorted(path.stem for path in (CONFIGS / folder).glob("*.yaml"))


@pytest.mark.parametrize("fit", sorted(set(named("fit")) - WATCHED))
def test_every_fit_config_has_a_gate_and_data_for_it(fit):
    gates = [gate for gate in named("gate") if fit == gate or fit.startswith(f"{gate}-")]
    assert gates, "no gate of its own, nor of its system"
    text = (CONFIGS / "gate" / f"{max(gates, key=len)}.yaml").read_text()
    if "--data" in text:
        data = text.split("--data runs/data/")[1].split("-test.h5")[0]
        assert data in named("data")


@pytest.mark.parametrize("path", GATES, ids=lambda path: path.stem)
def test_every_gate_has_a_quick_and_a_full_suite(path):
    assert set(read_gate_file(path).suites) == {"smoke", "full"}


@pytest.mark.parametrize("path", GATES, ids=lambda path: path.stem)
def test_limits_are_in_scales_of_the_system_or_in_units_that_are_named(path):
    text = path.read_text()
    for entries in read_gate_file(path).suites.values():
        for entry in entries:
            given = entry.init_args
            if entry.class_path in ("ForecastError", "StepHalving") and "relative" not in given:
                assert UNITS[path.stem] in text
            if entry.class_path == "InvariantDrift" and given.get("per") != "period":
                assert "unit of" in text
            if entry.class_path == "EnergyDrift" and path.stem != "solar-system":
                assert "max_drift" in given
                assert given["horizon"].endswith("periods")
