"""Floryan's effect from end to end: data in a plane of eight dimensions, and what heals it.

A residual network is trained to a low loss on data that live in a plane. The loss says fine; off
the plane the network does what its weights were drawn to do. Projection with a restoring rate,
restoring noise in the complement and a stable start trained by plain descent heal it; noise without
a restoring target leaves it neutral; Adam loses the stable start.
"""

import math
import statistics

import pytest
import torch

import simlearn
from simlearn import Evidence
from simlearn.analysis import linear
from simlearn.analysis.subspace import subspace
from simlearn.dynamics import ResidualMap
from simlearn.training.objectives import OneStep
from simlearn_checks import UnlearnableDirections
from simlearn_mechanics import EmbeddedOscillator
from simlearn_stabilizers import NoiseInjection, StableInitialization, SubspaceProjection

DT, STEPS = 0.1, 100
SYSTEM = EmbeddedOscillator(columns=8)
TRAINING = list(SYSTEM.draw(range(16), simlearn.sample_times(101, DT), 0))
HELD_OUT = list(SYSTEM.draw(range(4), simlearn.sample_times(301, DT), 1))


def adam(rate):
    return lambda weights: torch.optim.Adam(weights, lr=rate)


def descent(weights):
    return torch.optim.SGD(weights, lr=0.01)


def trained(stabilizers=(), seed=0, epochs=150, optimizer=None):
    """A residual network of 64 × 64 neurons, as anybody would train it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        simulator = simlearn.Simulator(ResidualMap(dim=8, width=64).double(), None, DT)
    return simlearn.fit(
        simulator,
        TRAINING,
        objective=OneStep(),
        stabilizers=stabilizers,
        optimizer=optimizer or adam(1e-3),
        batch_size=256,
        seed=seed,
        progress=False,
        max_epochs=epochs,
    )


def judged(simulator, siblings=(), **arguments):
    evidence = Evidence(HELD_OUT, TRAINING, siblings=siblings)
    report = simlearn.check(simulator, evidence, [UnlearnableDirections(**arguments)])
    return report.items[0].finding


def value(finding, name):
    return next(m.value for m in finding.metrics if m.name.startswith(name))


def normal():
    s = SYSTEM.truth().directions()
    return torch.linalg.qr(torch.cat([s, torch.eye(8, dtype=s.dtype)], dim=1))[0][:, 2:]


def off_plane(simulator, steps=300):
    """Distance from the plane of a rollout that starts 1e-3 off it, over its first distance."""
    start = HELD_OUT[0].x[0] + 1e-3 * normal()[:, :1].T
    rolled = simulator.rollout(start, steps)
    return float((rolled.x[-1] @ normal()).norm()) / 1e-3


def amplitude(simulator):
    """|x(10)| / |x(0)|, mean over held-out starts."""
    rolled = [simulator.rollout(one.x[0], STEPS) for one in HELD_OUT]
    return sum(float(one.x[-1].norm() / one.x[0].norm()) for one in rolled) / len(rolled)


@pytest.fixture(scope="module")
def plain():
    return [trained(seed=seed) for seed in range(4)]


def test_the_loss_says_fine_and_the_check_does_not(plain):
    """Every seed has a small loss, none heals, and rollouts leave the plane."""
    for simulator in plain:
        assert simulator.provenance["loss"] < 2e-3
        finding = judged(simulator)
        assert finding.verdict == "fail"
        assert "UNSTABLE" in finding.summary or "NEUTRAL" in finding.summary
        assert value(finding, "directions with data") == 2
        assert value(finding, "directions without data") == 6
        assert finding.remedies[0].startswith("Restrict the dynamics")
    assert max(off_plane(one) for one in plain) > 20
    said = [judged(one).summary for one in plain]
    assert any("UNSTABLE" in text for text in said)


def test_the_truth_heals_off_the_plane():
    """The true system is ok, at the rate that nobody could see in the data."""
    from simlearn.integrators import RK4

    finding = judged(simlearn.Simulator(SYSTEM.truth(), RK4(), DT))
    assert finding.verdict == "pass"
    assert value(finding, "largest transverse") == pytest.approx(-1.0, abs=1e-5)


def test_siblings_show_that_the_seed_decides(plain):
    """r is small in the plane and large off it."""
    finding = judged(plain[0], siblings=plain[1:])
    curve = finding.curves["What the seed decides"].lines[0]
    assert max(curve.y[:2]) < 0.1
    assert min(curve.y[2:]) > 0.1
    assert statistics.median(curve.y[2:]) > 0.5
    assert "there the seed decides" in finding.summary


def test_escape_is_predicted(plain):
    """Leak and exponent alone foretell the step at which rollouts leave, within a factor of 3."""
    found = [judged(one, horizon=400) for one in plain]
    unstable = [one for one in found if "UNSTABLE" in one.summary]
    assert unstable
    for finding in unstable:
        ratio = value(finding, "escape step, predicted") / value(finding, "escape step, observed")
        assert 1 / 3 < ratio < 3


@pytest.mark.parametrize(
    ("stabilizers", "optimizer", "epochs"),
    [
        ([SubspaceProjection()], None, 150),
        ([NoiseInjection(0.1, kappa=2.0)], None, 150),
        ([NoiseInjection(0.1)], None, 150),
        ([StableInitialization()], descent, 300),
    ],
    ids=["projection", "noise in the complement", "the default noise", "stable start by descent"],
)
def test_what_heals(stabilizers, optimizer, epochs):
    simulator = trained(stabilizers, optimizer=optimizer, epochs=epochs)
    finding = judged(simulator)
    assert finding.verdict == "pass", finding.summary
    assert "ok: errors in them heal" in finding.summary
    assert off_plane(simulator) < 10  # what is left is the leak of each step, not growth
    assert amplitude(simulator) == pytest.approx(math.exp(-0.05 * 10), rel=0.05)


def test_uncorrected_noise_is_neutral_and_no_pass():
    for seed in range(2):
        noise = NoiseInjection(0.1, "uncorrected", where="everywhere")
        simulator = trained([noise], seed=seed)
        finding = judged(simulator)
        assert finding.verdict == "fail"
        assert "NEUTRAL" in finding.summary
        assert judged(simulator, allow_neutral=True).verdict == "pass"


def test_adam_loses_the_stable_start():
    finding = judged(trained([StableInitialization()], optimizer=adam(1e-2)))
    assert "The stable start is lost" in finding.summary
    assert "Adam moves weights also where there are no data" in finding.summary
    kept = judged(trained([StableInitialization()], optimizer=descent, epochs=300))
    assert "The stable start is still there" in kept.summary


@pytest.mark.parametrize("where", ["everywhere", "complement"])
@pytest.mark.parametrize("kappa", [0.0, 1.0, 2.0])
def test_amplitudes_are_those_of_linear_theory(where, kappa):
    """Section 1.4 of the theory, within ten per cent, for restoring rates up to 2."""
    simulator = trained([NoiseInjection(0.1, kappa=kappa, where=where)])
    found = subspace(TRAINING)
    x = torch.cat([one.x[:-1, 0] for one in TRAINING])
    moment = x.T @ x / len(x)
    step = torch.linalg.matrix_exp(SYSTEM.truth().matrix * DT)
    noise = 0.1 * found.energy.scale[:, None] * torch.eye(8, dtype=torch.float64)
    if where == "complement":
        noise = noise @ found.normal
    wanted = linear.noisy(
        step, moment, noise @ noise.T, "restoring", kappa=1 - math.exp(-kappa * DT)
    )
    grown = torch.linalg.matrix_power(wanted, STEPS)
    starts = torch.cat([one.x[0] for one in HELD_OUT])
    predicted = float(((starts @ grown.T).norm(dim=1) / starts.norm(dim=1)).mean())
    assert amplitude(simulator) == pytest.approx(predicted, rel=0.1)
