"""SymplecticDefect: symplectic schemes pass, others fail by what theory says."""

import copy

import pytest
import torch

import simlearn
from simlearn import ConfigError, Evidence, Simulator
from simlearn.analysis.flat import doubled, stepper
from simlearn.analysis.jacobian import jacobian
from simlearn.analysis.symplectic import defect, form_matrix
from simlearn.dynamics import Energy, HenonMap, MLPField, RayleighField
from simlearn.integrators import RK4, Euler, ImplicitMidpoint, Leapfrog, Tao, Tao4, Yoshida4
from simlearn_checks import tangent
from simlearn_checks.lyapunov import LyapunovSpectrum
from simlearn_checks.symplectic import SymplecticDefect
from simlearn_mechanics import ThreeBody


class Leaking(simlearn.Integrator):
    """Tao's scheme whose copy loses a hundredth a step."""

    order, symplectic, extended = 2, True, True
    needs = simlearn.HamiltonianField

    def start(self, field, t, x, topology):
        return Tao().start(field, t, x, topology)

    def step(self, field, t, x, dt, topology, carry):
        after, (copy, slope) = Tao().step(field, t, x, dt, topology, carry)
        return after, (0.99 * copy, slope)


@pytest.fixture
def loud(seeded):
    """A strongly nonlinear random energy that does not split."""
    field = Energy(dim=2, width=8).double().requires_grad_(False)
    for value in field.parameters():
        value.mul_(3.0)
    return field


@pytest.mark.parametrize("scheme", [Leapfrog(), Yoshida4(), ImplicitMidpoint(tolerance=1e-15)])
def test_symplectic_schemes_pass(henon_heiles, scheme, metric):
    check = SymplecticDefect(steps=40, states=8)
    found = check.run(Simulator(henon_heiles.truth, scheme, 0.1), henon_heiles)
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


@pytest.mark.parametrize("scheme", [Tao(), Tao4(omega=3.0)], ids=["Tao", "Tao4"])
def test_a_scheme_with_a_copy_is_symplectic_on_state_and_copy(scheme, tracks, loud, metric):
    """Restarted from the state at each step the same scheme is not symplectic on the state."""
    evidence, simulator = Evidence(tracks(2, 2)), Simulator(loud, scheme, 0.2)
    found = SymplecticDefect(steps=20, states=6).run(simulator, evidence)
    assert found.verdict == "pass", found.summary
    assert metric(found, "JᵀΩJ").value < 1e-12
    assert "state and copy together" in found.summary
    control = SymplecticDefect(steps=20, states=6).run(Simulator(loud, RK4(), 0.2), evidence)
    assert control.verdict == "fail"
    assert "copy" not in control.summary
    j = jacobian(stepper(simulator), evidence.held_out[0].x[:, 0])
    assert float(defect(j, form_matrix(torch.ones(1), 2)).max()) > 1e-6


def test_a_copy_that_is_moved_wrongly_is_seen(tracks, loud, metric):
    """Copies that shrink by a hundredth: JᵀΩJ − Ω = −0.0199 Jᵀ Ω_copy J."""
    simulator = Simulator(loud, Leaking(), 0.1)
    found = SymplecticDefect(steps=20, states=6).run(simulator, Evidence(tracks(2, 2)))
    assert found.verdict == "fail"
    assert 0.005 < metric(found, "JᵀΩJ").value < 0.05


def test_a_step_of_state_and_copy_is_a_step_of_the_rollout(seeded):
    """Chained, with the copy handed on, it is the rollout; the restarted step is not."""
    field = Energy(dim=2, width=8).double().requires_grad_(False)
    simulator = Simulator(field, Tao(), 0.1)
    x = torch.tensor([[0.7, -0.3], [-1.1, 0.4]], dtype=torch.float64)
    rolled = simulator.rollout(x, 30).x[-1]
    both, alone = x.repeat(1, 2), x
    for _ in range(30):
        both, alone = doubled(simulator)(both), stepper(simulator)(alone)
    torch.testing.assert_close(both[:, :2], rolled, rtol=1e-10, atol=1e-12)
    assert float((alone - rolled).abs().max()) > 1e-6
    with pytest.raises(ConfigError, match="has no copy of its state"):
        doubled(Simulator(field, RK4(), 0.1))


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


def test_friction_claims_no_form(henon_heiles):
    damped = RayleighField(henon_heiles.truth, width=4, least=0.1).double()
    found = SymplecticDefect().run(Simulator(damped, RK4(), 0.1), henon_heiles)
    assert found.verdict == "not_applicable"


@pytest.mark.parametrize("scheme", [Tao(), Tao4()], ids=["Tao", "Tao4"])
def test_exponents_of_a_scheme_with_a_copy(henon_heiles, scheme):
    """Growth is paired in state and copy together."""
    check = LyapunovSpectrum(steps=40, transient=5)
    found = check.run(Simulator(henon_heiles.truth, scheme, 0.1), henon_heiles)
    (paired,) = [one for one in found.metrics if "pairing" in one.name]
    assert paired.value < 1e-8
