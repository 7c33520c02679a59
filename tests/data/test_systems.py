"""Known physics: exact solutions, conserved energy, measured accuracy, bytes by (seed, index)."""

import math

import pytest
import torch

from simlearn.component import ConfigError, NumericalError
from simlearn.data.generate import System, sample_times
from simlearn.data.store import read
from simlearn.dynamics import HenonMap, VectorField
from simlearn.state import Topology
from simlearn_mechanics import MassSpring, Pendulum

TIMES = sample_times(200, 0.1)


def swing(x0, times, mass, stiffness):
    """The exact solution of the mass on a spring, ``[steps, 1, 2]``."""
    w = math.sqrt(stiffness / mass)
    (q, p), t = x0[0], times - times[0]
    exact = [
        q * torch.cos(w * t) + p / (mass * w) * torch.sin(w * t),
        p * torch.cos(w * t) - mass * w * q * torch.sin(w * t),
    ]
    return torch.stack(exact, dim=1)[:, None]


def error(track, mass, stiffness):
    return float((track.x - swing(track.x[0], track.t, mass, stiffness)).abs().max())


@pytest.mark.parametrize(("mass", "stiffness"), [(1.0, 1.0), (2.0, 3.0), (0.5, 0.1)])
@pytest.mark.parametrize("t0", [0.0, 5.0])
def test_the_mass_on_a_spring_follows_its_exact_solution(mass, stiffness, t0):
    system = MassSpring(mass, stiffness)
    for track in system.draw(range(5), sample_times(200, 0.1, t0), seed=1):
        assert error(track, mass, stiffness) < 1e-8
        assert torch.equal(track.t, TIMES + t0)
        assert (track.x[0] - track.x[40]).abs().max() > 1e-2


def test_uneven_sample_times_are_met():
    rng = torch.Generator().manual_seed(0)
    times = torch.rand(60, generator=rng, dtype=torch.float64).cumsum(0)
    (track,) = MassSpring().draw(range(1), times, seed=1)
    assert error(track, 1.0, 1.0) < 1e-8


@pytest.mark.parametrize("amplitude", [0.5, 2.8])
def test_the_pendulum_keeps_its_energy(amplitude):
    system = Pendulum(mass=1.3, length=0.7, gravity=2.0, amplitude=amplitude)
    energy = system.invariants()["energy"]
    for track in system.draw(range(64), TIMES, seed=0):
        values = torch.stack([energy(x, track.topology) for x in track.x])
        assert (values - values[0]).abs().max() < 1e-8
        assert track.x[:, 0, 0].abs().max() <= amplitude + 1e-8


@pytest.mark.parametrize("system", [MassSpring(2.0, 3.0), Pendulum()])
def test_the_derivative_is_the_truth_at_the_states(system):
    (track,) = system.draw(range(1), TIMES, seed=0)
    for x, slope in zip(track.x, track.derivative, strict=True):
        assert torch.equal(system.truth()(0.0, x, track.topology), slope)


def test_the_measured_accuracy_is_the_error_against_the_exact_solution():
    system = MassSpring(2.0, 3.0)
    shard = system.draw(range(64), TIMES, seed=0)
    largest = max(error(track, 2.0, 3.0) for track in shard)
    assert system.accuracy(TIMES, seed=0) == pytest.approx(largest, rel=0.1)


def test_the_file_records_the_measured_accuracy(command, tmp_path):
    arguments = ["--count", 3, "--steps", 200, "--dt", 0.1, "--seed", 4, "--out", "springs.h5"]
    assert command("generate", "--generator", "MassSpring", *arguments) == 0
    data = read(tmp_path / "springs.h5")
    assert len(data.trajectories) == 3
    times = sample_times(200, 0.1)
    true_error = max(error(one, 1.0, 1.0) for one in MassSpring().draw(range(64), times, 4))
    assert data.provenance["measured_error"] == pytest.approx(true_error, rel=0.1)


def raw(track):
    return [getattr(track, name).numpy().tobytes() for name in ("t", "x", "derivative")]


@pytest.mark.parametrize("kind", [MassSpring, Pendulum])
def test_bytes_do_not_depend_on_what_else_is_asked_for(kind):
    times = sample_times(20, 0.1)
    all_of_them = list(kind().draw(range(80), times, seed=3))
    for i, track in zip(range(70, 73), kind().draw(range(70, 73), times, seed=3), strict=True):
        assert raw(track) == raw(all_of_them[i])
    across = kind().draw(range(62, 67), times, seed=3)
    assert [raw(t) for t in across] == [raw(t) for t in all_of_them[62:67]]
    assert len({raw(t)[1] for t in all_of_them}) == 80


def test_another_seed_gives_other_trajectories():
    first, second = (next(MassSpring().draw(range(1), TIMES, seed)).x for seed in (0, 1))
    assert (first - second).abs().max() > 1e-2


class Chaos(System):
    """The Hénon map from random starts."""

    def truth(self):
        return HenonMap(1.4, 0.3)

    def start(self, rng):
        return 0.1 * torch.randn(1, 2, generator=rng), Topology.isolated(1)


def test_a_map_is_iterated_and_has_no_derivative():
    (track,) = Chaos().draw(range(1), sample_times(50, 1.0), seed=0)
    assert track.derivative is None
    q, p = track.x[0, 0].tolist()
    for state in track.x[:, 0].tolist():
        assert state == pytest.approx([q, p], abs=1e-12)
        q, p = p + 1 - 1.4 * q * q, 0.3 * q
    assert Chaos().accuracy(sample_times(50, 1.0), seed=0) == 0


class Square(VectorField):
    """x' = x², which is infinite at t = 1/x₀."""

    def forward(self, t, x, topology):
        return x * x


class Runaway(System):
    """From x = 1."""

    stack = False

    def truth(self):
        return Square()

    def start(self, rng):
        return torch.ones(1, 1), Topology.isolated(1)


def test_a_truth_that_blows_up_is_an_error_that_says_when():
    assert torch.get_default_dtype() == torch.float32
    with pytest.raises(NumericalError, match=r"Square could not be integrated beyond t = (1|0\.9)"):
        next(Runaway().draw(range(1), sample_times(30, 0.1), seed=0))
    assert torch.get_default_dtype() == torch.float32


def test_systems_drawn_one_by_one_are_as_exact():
    (track,) = Runaway().draw(range(7, 8), sample_times(10, 0.05), seed=0)
    assert (track.x[:, 0, 0] - 1 / (1 - track.t)).abs().max() < 1e-8


@pytest.mark.parametrize(("steps", "dt"), [(0, 0.1), (10, 0.0), (10, -1.0), (10, math.nan)])
def test_sample_times_refuse_to_stand_still(steps, dt):
    with pytest.raises(ConfigError, match=f"at least 1 step and a positive dt, got {steps} and"):
        sample_times(steps, dt)
