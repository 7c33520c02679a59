"""InvariantDrift: slopes and oscillations that are known, and simulators that leak."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, Evidence, Simulator
from simlearn.integrators import RK4, Euler, Leapfrog
from simlearn_checks.invariants import InvariantDrift
from simlearn_checks.trends import trend
from simlearn_mechanics import KeplerTwoBody, MassSpring


def test_a_slope_and_an_oscillation_are_told_apart():
    t = 0.1 * torch.arange(4001, dtype=torch.float64)
    off = torch.stack([3e-4 * t + 0.02 * (7 * t).sin(), -1e-3 * t, 0 * t + 0.5], 1)
    slope, noise, width = trend(t, off)
    assert slope.tolist() == pytest.approx([3e-4, -1e-3, 0.0], abs=2e-6)
    assert width.tolist() == pytest.approx([0.02, 0.0, 0.0], abs=1e-3)
    assert float(noise[0]) < 1e-5
    assert float(noise[1:].max()) < 1e-15


def springs(**more):
    system = MassSpring()
    held = tuple(system.draw(range(4), simlearn.sample_times(100, 0.1), 0))
    return Evidence(held, truth=system.truth(), **more)


def test_leapfrog_oscillates_and_does_not_drift(metric):
    evidence = springs()
    found = InvariantDrift(limit=1e-6).run(Simulator(evidence.truth, Leapfrog(), 0.1), evidence)
    assert found.verdict == "pass", found.summary
    assert 1e-5 < metric(found, "oscillation").value < 1e-2
    strict = InvariantDrift(limit=1e-6, oscillation=1e-6)
    found = strict.run(Simulator(evidence.truth, Leapfrog(), 0.1), evidence)
    assert found.verdict == "fail"
    assert metric(found, "drift").passed
    assert not metric(found, "oscillation").passed


def test_runge_kutta_drifts_and_does_not_oscillate(metric):
    evidence = springs()
    fast = Simulator(evidence.truth, RK4(), 0.5)
    found = InvariantDrift(limit=1e-6).run(fast, evidence)
    assert found.verdict == "fail"
    assert metric(found, "drift").value > 10 * metric(found, "drift").noise
    assert "drifts by" in found.summary


def test_every_invariant_of_a_system_is_judged_with_its_own_limit(metric):
    system = KeplerTwoBody()
    held = tuple(system.draw(range(3), simlearn.sample_times(300, 0.05), 0))
    evidence = Evidence(held, truth=system.truth(), invariants=system.invariants())
    one = Simulator(system.truth(), Leapfrog(), 0.05)
    loose = {"laplace_runge_lenz_x": 1.0, "laplace_runge_lenz_y": 1.0, "energy": 1.0}
    found = InvariantDrift(limit=1e-10, limits=loose).run(one, evidence)
    assert found.verdict == "pass", found.summary  # leapfrog keeps angular momentum exactly
    assert metric(found, "drift of angular_momentum").value < 1e-12
    assert len(found.curves) == 4
    # and turns the ellipse, which only this vector sees
    turned = InvariantDrift(limit=1e-6, limits={"energy": 1.0}).run(one, evidence)
    assert turned.verdict == "fail"
    with pytest.raises(ConfigError, match="limits name"):
        InvariantDrift(limits={"charge": 1.0}).run(one, evidence)


def test_a_quantity_whose_value_is_zero_still_has_a_scale(metric):
    evidence = springs(invariants={"shifted": lambda x, topology: (x**2).sum(-1) - 1.0})
    plain = springs(invariants={"shifted": lambda x, topology: (x**2).sum(-1)})
    one = Simulator(evidence.truth, RK4(), 0.5)
    drifts = [metric(InvariantDrift().run(one, e), "drift").value for e in (evidence, plain)]
    assert drifts[0] == pytest.approx(drifts[1], rel=1e-12)


def test_references_are_told_beside(metric):
    evidence = springs()
    named = springs(references={"by leapfrog": Simulator(evidence.truth, Leapfrog(), 0.05)})
    found = InvariantDrift().run(Simulator(evidence.truth, RK4(), 0.5), named)
    drift = metric(found, "drift")
    assert drift.beside["by leapfrog"] < drift.value
    assert len(found.curves["Invariant: energy"].lines) == 2


def test_maps_drift_per_step(fields, tracks, simulator, metric):
    grow = math.exp(0.01)
    field = fields.LinearMap([[0.0, grow], [-grow, 0.0]])
    size = {"size": lambda x, topology: (x**2).sum(-1)}
    evidence = Evidence(tracks(4, 2), truth=fields.LinearMap([[0.0, 1.0], [-1.0, 0.0]]))
    evidence = simlearn.Evidence(evidence.held_out, truth=evidence.truth, invariants=size)
    first, second = (
        InvariantDrift(horizon=100).run(simulator(field, dt), evidence) for dt in (1.0, 0.1)
    )
    assert first.verdict == "fail"
    assert metric(first, "drift").unit == "1/step"
    assert metric(first, "drift").value == pytest.approx(metric(second, "drift").value)


def test_a_lost_rollout_conserves_nothing(metric, fields, simulator):
    evidence = springs()
    found = InvariantDrift().run(simulator(fields.Nothing(), 0.1), evidence)
    assert found.verdict == "fail"
    assert metric(found, "drift").value == math.inf
    assert "step 1" in found.summary
    blown = InvariantDrift(horizon=5000).run(Simulator(evidence.truth, Euler(), 2.0), evidence)
    assert blown.verdict == "fail"


def test_where_nothing_is_conserved_it_does_not_apply(fields, tracks, simulator):
    evidence = Evidence(tracks(2, 2), truth=fields.Linear([[-1.0, 0.0], [0.0, -1.0]]))
    found = InvariantDrift().run(simulator(evidence.truth), evidence)
    assert found.verdict == "not_applicable"


@pytest.mark.parametrize(
    "given",
    [
        {"horizon": 0},
        {"horizon": 10},
        {"limit": -1e-3},
        {"limit": math.nan},
        {"limits": {"energy": 0.0}},
        {"oscillation": 0.0},
        {"starts": 0},
    ],
)
def test_senseless_arguments_are_refused(given):
    with pytest.raises(ConfigError):
        InvariantDrift(**given)


def test_the_command_hands_the_invariants_of_the_system_on(command, tmp_path, monkeypatch):
    from simlearn.cli import check
    from simlearn.stability import gate

    seen, plain = [], gate.check
    monkeypatch.setattr(
        gate,
        "check",
        lambda one, evidence, *a, **k: seen.append(evidence) or plain(one, evidence, *a, **k),
    )
    assert check.gate is gate
    draw = ["--count", 1, "--steps", 40, "--dt", 0.05, "--seed", 0, "--out", "data.h5"]
    assert command("generate", "--generator", "KeplerTwoBody", *draw) == 0
    simlearn.save(Simulator(KeplerTwoBody().truth(), Leapfrog(), 0.05), tmp_path / "archive")
    (tmp_path / "gate.yaml").write_text(
        "schema: 1\nsuites:\n  full:\n  - class_path: Bounded\n    init_args: {horizon: 10}\n"
    )
    assert command("check", "archive", "--data", "data.h5", "-c", "gate.yaml") == 0
    assert set(seen[0].invariants) == set(KeplerTwoBody().invariants())
    assert seen[0].truth is not None
    found = InvariantDrift(horizon=100, limit=1.0).run(
        Simulator(KeplerTwoBody().truth(), Leapfrog(), 0.05), seen[0]
    )
    assert len(found.metrics) == 8
