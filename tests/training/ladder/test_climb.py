"""The climb: which rung, when none, and what the guard does."""

import math

import pytest
import torch

from simlearn import Topology, Trajectory, ladder
from simlearn.component import NumericalError
from simlearn.dynamics.base import SplitField
from simlearn.training.ladder import climb as climbing
from simlearn.training.ladder.climb import climb
from simlearn.training.ladder.closed import solve
from simlearn.training.ladder.design import Design
from simlearn.training.ladder.guard import blown
from simlearn.training.ladder.joint import Joint
from simlearn.training.ladder.samples import Samples
from simlearn.training.ladder.smooth import evened


def curved(x):
    """H = (1 + q²) p²/2 + q²/2: mechanical, not separable."""
    q, p = x.chunk(2, -1)
    return torch.cat([(1 + q * q) * p, -q * p * p - q], -1)


def tilted(x):
    """H = (q² + p²)/2 + 0.4 cos(q + p): neither separable nor mechanical."""
    q, p = x.chunk(2, -1)
    wave = -0.4 * (q + p).sin()
    return torch.cat([wave + p, -wave - q], -1)


def noisy_slopes(data, size, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return [
        Trajectory(
            o.t,
            o.x,
            o.topology,
            derivative=o.derivative
            + size * torch.randn(o.x.shape, generator=rng, dtype=torch.float64),
        )
        for o in data
    ]


@pytest.mark.parametrize(("field", "rung"), [(curved, "mechanical"), (tilted, "generic")])
def test_the_first_rung_that_explains_the_data_is_chosen(exact, field, rung):
    simulator = ladder(exact.drawn(field, exact.starts(20, 2, scale=0.8), exact.clock(31, 0.1)))
    record = simulator.provenance["ladder"]
    assert record["choice"] == rung
    assert [one["rung"] for one in record["rungs"]][-1] == rung
    assert all(one["beyond_noise"] > 0.01 for one in record["rungs"][:-1])
    assert exact.missed(simulator.dynamics, field, -0.7, 0.7) < 1e-6
    assert not isinstance(simulator.dynamics, SplitField)


@pytest.fixture(scope="module")
def double_pendulum():
    """Its true field."""
    from simlearn_mechanics import DoublePendulum

    truth = DoublePendulum().truth()
    return lambda x: truth(0.0, x, Topology.isolated(len(x)))


def test_a_double_pendulum_is_mechanical(exact, double_pendulum):
    rng = torch.Generator().manual_seed(0)
    begin = torch.rand(30, 4, generator=rng, dtype=torch.float64) - 0.5
    simulator = ladder(exact.drawn(double_pendulum, begin, exact.clock(21, 0.1), parts=5))
    assert simulator.provenance["ladder"]["choice"] == "mechanical"
    x = 0.3 * (2 * torch.rand(200, 4, generator=rng, dtype=torch.float64) - 1)
    apart = simulator.dynamics(0.0, x, Topology.isolated(200)) - double_pendulum(x)
    assert float(apart.square().mean() / double_pendulum(x).square().mean()) < 1e-4


def test_the_climb_does_not_end_at_a_rung_that_it_does_not_choose(exact, double_pendulum):
    begin = exact.starts(30, 4, scale=0.5)
    data = exact.drawn(double_pendulum, begin, exact.clock(21, 0.1), parts=5)
    record = climb(Samples.of(data), joint=False).record
    tried = [one["rung"] for one in record["rungs"]]
    assert record["choice"] == tried[-1] or tried[-1] == "generic"


def test_friction_is_left_to_the_network_in_so_many_words(exact):
    data = exact.drawn(exact.damped, exact.starts(20, 2), exact.clock(41, 0.1))
    with pytest.raises(
        NumericalError, match=r"generic, the best of 3 rungs, leaves 1\d\.\d% .*5.0%"
    ):
        ladder(data)
    found = climb(Samples.of(data))
    assert found.model is None
    assert found.record["choice"] == "network"
    assert [one["rung"] for one in found.record["rungs"]] == ["separable", "mechanical", "generic"]


def test_slopes_that_are_pure_noise_are_left_to_the_network(exact):
    data = exact.drawn(exact.pendulum, exact.starts(20, 2), exact.clock(41, 0.1))
    plain = [Trajectory(o.t, o.x, o.topology, derivative=0 * o.derivative) for o in data]
    found = climb(Samples.of(noisy_slopes(plain, 1.0)))
    assert found.record["choice"] == "network"


@pytest.mark.parametrize("count", [2, 3])
def test_few_trajectories_with_friction_are_left_to_the_network(exact, count):
    begin = torch.tensor([[0.1, 0.0], [2.0, 1.0], [0.1, 0.1]], dtype=torch.float64)[:count]
    found = climb(Samples.of(exact.drawn(exact.damped, begin, exact.clock(41, 0.1))))
    assert found.record["choice"] == "network"


def test_friction_is_seen_beside_a_degree_of_freedom_at_rest(exact, monkeypatch):
    begin = exact.starts(20, 4)
    begin[:, [1, 3]] = 0.0
    data = exact.drawn(exact.with_idle(exact.damped), begin, exact.clock(31, 0.1))
    monkeypatch.setattr(climbing, "RAISES", 0)
    found = climb(Samples.of(data[:12]), joint=False)
    assert found.record["rungs"][0]["cross_validated_error"] > 0.1
    assert len(found.record["rungs"]) > 1


def test_states_alone_beside_a_degree_of_freedom_at_rest(exact, monkeypatch):
    monkeypatch.setattr(climbing, "RAISES", 0)
    begin = exact.starts(12, 4, scale=0.7)
    begin[:, [1, 3]] = 0.0
    field = exact.with_idle(exact.pendulum)
    found = climb(Samples.of(exact.drawn(field, begin, exact.clock(31, 0.1), slopes=False)))
    assert found.record["joint"]["iterations"] > 0


def test_paths_that_are_lost_when_long_are_fitted_in_pieces(exact, monkeypatch):
    lost = Joint.lost
    monkeypatch.setattr(
        Joint, "lost", lambda fit, *given: fit.samples.shape[1] > 25 or lost(fit, *given)
    )
    begin, times = exact.starts(8, 2), exact.clock(41, 0.1)
    data = exact.drawn(exact.pendulum, begin, times, noise=0.05, slopes=False)
    found = climb(Samples.of(data))
    joint = found.record["joint"]
    assert joint["longest_piece"] == 24
    assert joint["trajectories"] == 16
    assert joint["tried"] > 1
    assert exact.missed(found.model, exact.pendulum) < 0.01


@pytest.mark.parametrize("joint", [True, False])
def test_friction_from_states_alone_is_left_to_the_network(exact, monkeypatch, joint):
    monkeypatch.setattr(climbing, "RAISES", 0)
    data = exact.drawn(exact.damped, exact.starts(20, 2), exact.clock(41, 0.1), slopes=False)
    found = climb(Samples.of(data), joint=joint)
    assert found.record["choice"] == "network"


def test_noise_in_recorded_slopes_is_noise(exact):
    begin = exact.starts(20, 2, scale=0.7).clamp(-1.2, 1.2)
    data = exact.drawn(exact.pendulum, begin, exact.clock(31, 0.1), 0.1)
    found = climb(Samples.of(noisy_slopes(data, 0.1)))
    assert found.record["choice"] == "separable"


@pytest.fixture(scope="module")
def turning(exact):
    """Learned from pendula, one of them so fast that it turns over for ever."""
    begin = exact.starts(20, 2, scale=0.7).clamp(-1.2, 1.2)
    begin[0] = torch.tensor([0.0, 2.5])
    return climb(Samples.of(exact.drawn(exact.pendulum, begin, exact.clock(31, 0.1), 0.1)))


def test_true_motion_that_leaves_the_data_is_no_blow_up(turning):
    assert turning.record["guard"] == []


def test_raised_ridges_do_not_spoil_the_field(exact, turning):
    assert exact.missed(turning.model, exact.pendulum) < 1e-3


@pytest.fixture(scope="module")
def librating(exact):
    begin = exact.starts(12, 2, scale=0.7).clamp(-1.2, 1.2)
    return Samples.of(exact.drawn(exact.pendulum, begin, exact.clock(31, 0.1)))


def test_the_guard_sees_rollouts_that_leave_and_puts_the_coefficients_back(librating):
    model = climb(librating).model
    closed = solve(model, Design.of(evened(librating)))
    assert blown(model, librating, closed) == 0
    model.coefficients[model.blocks()["potential"]] *= -1  # a hill: everything runs away
    kept = model.coefficients.clone()
    assert blown(model, librating, closed) > 3
    assert torch.equal(model.coefficients, kept)


def test_the_guard_raises_the_ridge_a_decade_at_a_time_and_says_so(librating, monkeypatch):
    answers = iter([2, 1, 0])
    monkeypatch.setattr(climbing, "blown", lambda *_: next(answers))
    record = climb(librating).record
    assert [one["blown_up"] for one in record["guard"]] == [2, 1]
    found = [one["ridge_decades"] for one in record["guard"]]
    assert all(b >= min(a + 1, 4) - 1e-9 for a, b in zip(*found, strict=True))
    assert any(b <= a + 2 for a, b in zip(*found, strict=True)), "each equation by its own decade"
    assert record["blown_up"] == 0


@pytest.mark.parametrize(("answers", "raises"), [([9, 8, 7, 6, 5, 4], 4), ([3, 3], 1), ([2, 5], 1)])
def test_a_ridge_that_does_not_cure_all_rollouts_is_taken_back(
    librating, monkeypatch, answers, raises
):
    plain = climb(librating).model
    count = iter(answers)
    monkeypatch.setattr(climbing, "blown", lambda *_: next(count))
    found = climb(librating)
    assert len(found.record["guard"]) == raises
    assert found.record["blown_up"] == answers[0]
    torch.testing.assert_close(found.model.coefficients, plain.coefficients)


def test_fewer_slopes_than_coefficients_are_noted(exact):
    data = exact.drawn(exact.pendulum, exact.starts(4, 2, scale=0.7), exact.clock(10, 0.3))
    (rung,) = climb(Samples.of(data)).record["rungs"][:1]
    assert f"{rung['coefficients']} coefficients for 80 slopes" in rung["note"]
    assert rung["coefficients"] > 80
    assert math.isfinite(rung["cross_validated_error"])


def gone(one):
    return Trajectory(
        one.t, torch.full_like(one.x, torch.nan), one.topology, derivative=one.derivative
    )


@pytest.mark.parametrize("slopes", [True, False])
def test_a_trajectory_of_nothing_but_nan_is_passed_over(exact, slopes):
    begin = exact.starts(12, 2, scale=0.7).clamp(-1.2, 1.2)
    data = exact.drawn(exact.pendulum, begin, exact.clock(31, 0.1), 0.05, slopes=slopes)
    found = climb(Samples.of([*data[:11], gone(data[11])]))
    assert found.record["choice"] == "separable"


def test_missing_first_states_do_not_matter(exact):
    away = torch.tensor([4.0, 0.0], dtype=torch.float64)
    begin, holed = exact.starts(20, 2, scale=0.7).clamp(-1.2, 1.2) + away, []
    for one in exact.drawn(lambda x: exact.pendulum(x - away), begin, exact.clock(31, 0.1), 0.05):
        x = one.x.clone()
        x[0] = torch.nan
        holed.append(Trajectory(one.t, x, one.topology, derivative=one.derivative))
    found = climb(Samples.of(holed))
    assert found.record["choice"] == "separable"
    assert found.record["guard"] == []


def test_a_free_particle(exact):
    def free(x):
        q, p = x.chunk(2, -1)
        return torch.cat([p, 0 * q], -1)

    data = exact.drawn(free, exact.starts(10, 2), exact.clock(30, 0.1))
    found = climb(Samples.of(data))
    assert exact.missed(found.model, free) < 1e-10


def test_states_that_never_move(exact):
    still = torch.zeros(30, 1, 2, dtype=torch.float64)
    data = [Trajectory(exact.clock(30, 0.1), still, Topology.isolated(1)) for _ in range(3)]
    climb(Samples.of(data))


def test_a_change_of_units_changes_nothing(exact):
    """Time in days instead of seconds, momenta in other units: the same field."""
    begin = exact.starts(15, 2, scale=0.7).clamp(-1.2, 1.2)
    data = exact.drawn(exact.pendulum, begin, exact.clock(31, 0.1), 0.05)
    unit, size = 1e5, torch.tensor([1.0, 1e-3], dtype=torch.float64)
    other = [
        Trajectory(o.t * unit, o.x * size, o.topology, derivative=o.derivative * size / unit)
        for o in data
    ]
    plain, scaled = (climb(Samples.of(one)).model for one in (data, other))
    x = 0.5 * exact.starts(50, 2)
    topology = Topology.isolated(50)
    found = scaled(0.0, x * size, topology) * unit / size
    torch.testing.assert_close(found, plain(0.0, x, topology), rtol=1e-3, atol=1e-4)
