"""LyapunovSpectrum: known exponents are found; wrong laws, lost orbits, hidden gradients fail."""

import math

import pytest
import torch

from simlearn import ConfigError, DataError, Evidence, Simulator, Topology, Trajectory
from simlearn.dynamics import HenonMap
from simlearn.integrators import RK4, Leapfrog
from simlearn_chaos import Lorenz63Law
from simlearn_checks.lyapunov import LyapunovSpectrum
from simlearn_checks.tangent import setting, true_simulator

QUICK = {"steps": 500, "transient": 100, "starts": 16}


def henon(count=4, steps=600):
    """Orbits of the dissipative Hénon map, one time unit a step."""
    one = Simulator(HenonMap(1.4, 0.3), None, 1.0)
    x = 0.1 * torch.rand(count, 2, generator=torch.Generator().manual_seed(0)).double()
    rolled = one.rollout(one.rollout(x, 100).x[-1], steps)
    return tuple(
        Trajectory(rolled.t, rolled.x[:, k : k + 1].clone(), Topology.isolated(1))
        for k in range(count)
    )


def test_the_henon_map_against_the_literature(metric, simulator):
    check = LyapunovSpectrum(steps=400, transient=100, reference=[0.4194, -1.6234])
    found = check.run(simulator(HenonMap(1.4, 0.3), 1.0), Evidence(henon()))
    assert found.verdict == "pass", found.summary
    assert metric(found, "exponent 1").value == pytest.approx(0.4194, abs=0.02)
    assert metric(found, "sum of all").value == pytest.approx(math.log(0.3), abs=1e-10)
    assert metric(found, "Kaplan-Yorke").value == pytest.approx(1.2583, abs=0.02)
    wrong = LyapunovSpectrum(steps=400, transient=100, reference=[0.8, -1.6234])
    missed = wrong.run(simulator(HenonMap(1.4, 0.3), 1.0), Evidence(henon()))
    assert missed.verdict == "fail"
    assert not metric(missed, "beyond noise").passed
    assert "exponent (1)" in metric(missed, "beyond noise").name


@pytest.mark.slow
def test_lorenz_against_its_truth(lorenz, metric, simulator):
    evidence = Evidence(lorenz, truth=Lorenz63Law())
    found = LyapunovSpectrum().run(simulator(Lorenz63Law()), evidence)
    assert found.verdict == "pass", found.summary
    assert metric(found, "exponent 1").value == pytest.approx(0.9056, abs=0.1)
    assert metric(found, "sum of all").value == pytest.approx(-41 / 3, abs=1e-3)
    assert metric(found, "sum less mean divergence").value == pytest.approx(0, abs=1e-3)
    assert metric(found, "nearest to zero").value < 3 / 10
    assert metric(found, "Kaplan-Yorke").value == pytest.approx(2.062, abs=0.02)
    assert len(found.curves["Convergence"].lines) == 4  # two exponents, and their truth
    assert len(found.curves["Lyapunov exponents"].lines) == 2


def test_a_stable_law_in_the_place_of_a_chaotic_one_fails(lorenz, metric, simulator):
    evidence = Evidence(lorenz, truth=Lorenz63Law())
    found = LyapunovSpectrum(**QUICK).run(simulator(Lorenz63Law(rho=15.0)), evidence)
    assert found.verdict == "fail"
    assert metric(found, "difference to the truth").value > 0.2


def test_noise_beyond_what_is_allowed_is_no_pass(lorenz, metric, simulator):
    check = LyapunovSpectrum(**QUICK, reference=[0.9056, 0.0, -14.572], tolerance=1e-4, relative=0)
    found = check.run(simulator(Lorenz63Law()), Evidence(lorenz))
    assert found.verdict == "fail"
    assert metric(found, "noise over").value > 1
    assert any("more steps" in remedy for remedy in found.remedies)


def test_without_truth_the_exponents_are_told(lorenz, simulator):
    check = LyapunovSpectrum(steps=50, transient=10, starts=4, count=1)
    found = check.run(simulator(Lorenz63Law()), Evidence(lorenz))
    assert found.verdict == "pass"
    names = [one.name for one in found.metrics]
    assert "exponent 1" in names
    assert not any("difference" in name for name in names)


def test_a_hamiltonian_field_pairs(henon_heiles, metric):
    check = LyapunovSpectrum(steps=60, transient=10, starts=8)
    leap = check.run(Simulator(henon_heiles.truth, Leapfrog(), 0.1), henon_heiles)
    assert metric(leap, "pairing").value < 1e-10
    runge = check.run(Simulator(henon_heiles.truth, RK4(), 0.1), henon_heiles)
    assert 1e-7 < metric(runge, "pairing").value < 1e-4


@pytest.mark.parametrize("border", [-9.0, 1.0])
def test_an_orbit_that_leaves_fails_and_says_when(fields, tracks, metric, simulator, border):
    check = LyapunovSpectrum(steps=60, transient=20, starts=16)
    held = Evidence(tracks(4, 2, steps=50))
    found = check.run(simulator(fields.Escaping(border), 0.02), held)
    assert found.verdict == "fail"
    assert metric(found, "share of orbits lost").value > 0
    assert "left the region of the data" in found.summary
    assert "the first at step" in found.summary


def test_hidden_gradients_are_found_first(fields, lorenz, metric, simulator):
    found = LyapunovSpectrum(**QUICK).run(simulator(fields.Detached()), Evidence(lorenz))
    assert found.verdict == "fail"
    assert metric(found, "defect of the Jacobian").value > 1e-3
    assert "detached" in found.summary
    assert len(found.metrics) == 1


def test_no_number_is_no_pass(fields, lorenz, simulator):
    found = LyapunovSpectrum(**QUICK).run(simulator(fields.Nothing()), Evidence(lorenz))
    assert found.verdict == "fail"
    assert "numbers that are none" in found.summary


def test_the_truth_gets_a_step_that_is_fine(lorenz, simulator):
    evidence = Evidence(lorenz, truth=Lorenz63Law())
    where = setting(evidence, 8)
    assert true_simulator(simulator(Lorenz63Law(), 0.001), evidence, where).dt == 0.001
    coarse = true_simulator(simulator(Lorenz63Law(), 0.08), evidence, where)
    assert coarse.dt <= 0.02
    assert true_simulator(simulator(Lorenz63Law()), Evidence(lorenz), where) is None


def test_a_truth_that_leaves_the_data_is_the_evidences_fault(fields, tracks, simulator):
    held = Evidence(tracks(4, 2, steps=50), truth=fields.Escaping(-9.0))
    check = LyapunovSpectrum(steps=60, transient=20, starts=4)
    with pytest.raises(DataError, match="give the exponents as `reference`"):
        check.run(simulator(fields.Linear([[0.0, 0.0], [0.0, 0.0]]), 0.02), held)


@pytest.mark.parametrize(
    "given",
    [
        {"steps": 0},
        {"starts": 0},
        {"transient": -1},
        {"count": 0},
        {"relative": -0.1},
        {"tolerance": 0.0},
        {"tolerance": -1.0},
        {"reference": []},
        {"reference": [math.nan]},
        {"reference": [1.0, 0.0], "count": 3},
        {"reference": [0.0, -1.0]},  # nothing says what is allowed
    ],
)
def test_senseless_arguments_are_refused(given):
    with pytest.raises(ConfigError):
        LyapunovSpectrum(**given)


def test_more_exponents_than_components_are_refused(lorenz, simulator):
    for given in ({"count": 4}, {"reference": [1.0, 0.0, -1.0, -2.0]}):
        with pytest.raises(ConfigError, match="3 components"):
            LyapunovSpectrum(**given).run(simulator(Lorenz63Law()), Evidence(lorenz))
    with pytest.raises(DataError, match="held-out trajectory"):
        LyapunovSpectrum().run(simulator(Lorenz63Law()), Evidence())


@pytest.mark.parametrize("rate", [0.0, -1.0])
@pytest.mark.parametrize("dt", [0.0001, 0.001, 0.01])
def test_short_orbits_do_not_pass_what_is_wrong(fields, lorenz, metric, simulator, rate, dt):
    still = fields.Linear((rate * torch.eye(3)).tolist())
    check = LyapunovSpectrum(steps=1000, starts=8, reference=[0.9056])
    found = check.run(simulator(still, dt), Evidence(lorenz))
    assert found.verdict == "fail"
    assert not metric(found, "beyond noise").passed
    if dt < 0.01:
        assert metric(found, "noise over").value > 1


def test_short_orbits_do_not_pass_what_is_right(lorenz, metric, simulator):
    check = LyapunovSpectrum(steps=200, transient=0, starts=8)
    found = check.run(simulator(Lorenz63Law()), Evidence(lorenz, truth=Lorenz63Law()))
    assert metric(found, "beyond noise").value == 0
    assert metric(found, "noise over").value > 1  # 1 / t is 0.5
    assert found.verdict == "fail"


def test_a_truth_without_growth_needs_a_tolerance(fields, tracks, metric, simulator):
    still = fields.Linear([[0.0, 0.0], [0.0, 0.0]])
    evidence = Evidence(tracks(4, 2, steps=50), truth=still)
    given = {"steps": 50, "transient": 0, "starts": 8}
    assert LyapunovSpectrum(**given).run(simulator(still, 0.1), evidence).verdict == "fail"
    allowed = LyapunovSpectrum(**given, tolerance=0.3).run(simulator(still, 0.1), evidence)
    assert allowed.verdict == "pass"


def test_training_data_do_not_move_the_border(fields, tracks, simulator):
    held, wide = tracks(4, 2, steps=50), tracks(2, 2, steps=50, size=1000.0)
    check = LyapunovSpectrum(steps=60, transient=20, starts=4)
    found = [
        check.run(simulator(fields.Escaping(-99.0), 0.02), Evidence(held, training)).summary
        for training in ((), wide)
    ]
    assert "left the region of the data" in found[0]
    assert found[0] == found[1]
