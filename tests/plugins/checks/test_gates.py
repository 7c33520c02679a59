"""The gates that are shipped: one for every system, with limits in its own scales."""

from pathlib import Path

import pytest
import yaml

from simlearn.data.store import read
from simlearn.stability.gatefile import read_gate_file

CONFIGS = Path(__file__).parents[3] / "configs"
GATES = sorted((CONFIGS / "gate").glob("*.yaml"))
WATCHED = {"edge-of-stability"}  # while they train: what they learn is no simulator
UNITS = {"solar-system": "solar-system-test", "kuramoto": "kuramoto", "ieee118": "ieee118"}  # data


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


def entries(path, *names):
    """Arguments of the checks of some kinds, of all suites."""
    suites = read_gate_file(path).suites.values()
    return [one.init_args for suite in suites for one in suite if one.class_path in names]


@pytest.mark.parametrize("path", GATES, ids=lambda path: path.stem)
def test_errors_are_limited_by_how_far_the_data_move(path):
    for given in entries(path, "ForecastError", "StepHalving"):
        assert path.stem in UNITS or given.get("relative")
        assert path.stem in UNITS or given["limit"] <= 0.5
    for given in entries(path, "EnergyDrift"):
        assert path.stem in UNITS or given["max_drift"] <= 1e-4
        assert path.stem in UNITS or given["horizon"].endswith("periods")


@pytest.mark.parametrize(
    ("name", "steps", "dt"),
    [
        ("solar-system", 21, 347.0),  # 19 years, at no period of a planet
        ("kuramoto", 41, 0.05),
        pytest.param("ieee118", 21, 0.05, marks=pytest.mark.slow),
    ],
)
def test_limits_in_units_are_small_beside_how_far_the_data_move(command, tmp_path, name, steps, dt):
    """Data of the gate itself, shorter where they take long; in all their time they move more."""
    config = CONFIGS / "data" / f"{UNITS[name]}.yaml"
    out = tmp_path / "data.h5"
    assert (
        command("generate", "-c", config, "--count", 1, "--steps", steps, "--dt", dt, "--out", out)
        == 0
    )
    (track,) = read(out).trajectories
    places = track.x[..., : max(1, track.x.shape[-1] // 2)]
    apart = (places - places.mean(0)).square().sum(-1)
    named = dict(zip(track.topology.node_names or (), apart.mean(0).sqrt().tolist(), strict=False))
    for given in entries(CONFIGS / "gate" / f"{name}.yaml", "ForecastError", "StepHalving"):
        assert given.get("limit", 0.0) <= 0.2 * float(apart.mean().sqrt())
        for row, limit in given.get("limits", {}).items():
            assert limit <= 0.2 * named[row]


@pytest.mark.parametrize("path", GATES, ids=lambda path: path.stem)
def test_what_is_conserved_may_drift_by_a_thousandth_in_the_time_of_the_data(path):
    """Or by a hundred-thousandth in a period."""
    for given in entries(path, "InvariantDrift"):
        if given.get("per") == "period":
            assert given["limit"] <= 1e-5
        else:
            data = yaml.safe_load((CONFIGS / "data" / f"{path.stem}.yaml").read_text())
            assert given["limit"] * (data["steps"] - 1) * data["dt"] <= 1e-3
