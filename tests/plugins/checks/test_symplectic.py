"""SymplecticDefect: symplectic schemes pass, others fail by what theory says."""

import copy

import pytest
import torch

import simlearn
from simlearn import ConfigError, Evidence, Simulator
from simlearn.dynamics import HenonMap, MLPField
from simlearn.integrators import RK4, Euler, ImplicitMidpoint, Leapfrog, Yoshida4
from simlearn_checks import tangent
from simlearn_checks.symplectic import SymplecticDefect
from simlearn_mechanics import ThreeBody


@pytest.mark.parametrize("scheme", [Leapfrog(), Yoshida4(), ImplicitMidpoint(tolerance=1e-15)])
def test_symplectic_schemes_pass(henon_heiles, scheme, metric):
    found = SymplecticDefect().run(Simulator(henon_heiles.truth, scheme, 0.1), henon_heiles)
    assert found.verdict == "pass", found.summary
    assert metric(found, "JᵀΩJ").value < 1e-12
    assert metric(found, "growth").value < 1e-9
    assert "keeps the symplectic form" in found.summary


def test_runge_kutta_fails_by_its_order(henon_heiles, metric):
    defects = []
    for dt in (0.2, 0.1):
        found = SymplecticDefect().run(Simulator(henon_heiles.truth, RK4(), dt), henon_heiles)
        assert found.verdict == "fail"
        defects.append(metric(found, "JᵀΩJ").value)
    # a scheme of order four breaks the form by h⁵ or h⁶ a step
    assert 20 < defects[0] / defects[1] < 80


def test_euler_expands_volume_by_one_plus_h_squared(tracks, metric, simulator, fields):
    evidence = Evidence(tracks(2, 2))
    spring = fields.Leaky()
    found = SymplecticDefect(steps=50).run(simulator(spring, 0.1, Euler()), evidence)
    assert found.verdict == "fail"
    # J = [[1, h], [−h, 1]]: JᵀΩJ = (1 + h²) Ω, σ² = 1 + h², fifty times
    assert metric(found, "JᵀΩJ").value == pytest.approx(0.01, rel=1e-9)
    assert metric(found, "growth").value == pytest.approx(50 * 0.00995033085, rel=1e-6)


def test_unequal_masses_in_the_velocity_chart_need_their_weights(metric):
    system = ThreeBody()
    law = system.truth()
    evidence = Evidence(tuple(system.draw(range(2), simlearn.sample_times(60, 0.01), 0)))
    found = SymplecticDefect(steps=20).run(Simulator(law, Leapfrog(), 0.01), evidence)
    assert found.verdict == "pass", found.summary

    class Plain(type(law)):
        def form(self, topology):
            mass = super().form(topology)
            return torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64) * mass

    wrong = copy.deepcopy(law)
    wrong.__class__ = Plain
    found = SymplecticDefect(steps=20).run(Simulator(wrong, Leapfrog(), 0.01), evidence)
    assert found.verdict == "fail"


def test_a_map_is_judged_where_it_claims_the_form(tracks, simulator, metric, fields):
    evidence = Evidence(tracks(3, 2, size=0.1))

    class Area(HenonMap):
        symplectic = True

    good = SymplecticDefect(steps=10).run(simulator(Area(0.2, -1.0), 1.0), evidence)
    assert good.verdict == "pass", good.summary
    bad = SymplecticDefect(steps=10).run(simulator(Area(0.2, -0.9), 1.0), evidence)
    assert bad.verdict == "fail"
    assert metric(bad, "JᵀΩJ").value == pytest.approx(0.1, abs=1e-9)  # determinant 0.9


def test_where_no_form_is_claimed_it_does_not_apply(tracks, simulator, seeded):
    evidence = Evidence(tracks(3, 2))
    for field in (HenonMap(), MLPField(dim=2, width=4).double().requires_grad_(False)):
        found = SymplecticDefect().run(simulator(field, 0.1), evidence)
        assert found.verdict == "not_applicable"
        assert "no symplectic form" in found.summary


@pytest.mark.parametrize("name", ["limit", "pairing", "steps", "states"])
def test_senseless_arguments_are_refused(name):
    with pytest.raises(ConfigError, match=name):
        SymplecticDefect(**{name: 0})
    with pytest.raises(ConfigError, match=name):
        SymplecticDefect(**{name: -1})


def test_anchors_in_pieces_are_the_same_anchors(henon_heiles, monkeypatch):
    def judged():
        one = Simulator(henon_heiles.truth, RK4(), 0.1)
        return SymplecticDefect(steps=20, states=7).run(one, henon_heiles)

    whole = judged()
    monkeypatch.setattr(tangent, "NUMBERS", 40)
    for one, other in zip(judged().metrics, whole.metrics, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-6)
    pieces = list(tangent.setting(henon_heiles, 7).parts())
    assert [len(one.x) for one in pieces] == [2, 2, 2, 1]
