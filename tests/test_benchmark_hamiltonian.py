"""The protocols of benchmarks/hamiltonian.py give what is known of the truth, and can fail."""

import json
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import simlearn
from simlearn import Simulator, Topology
from simlearn.dynamics import gradient_of
from simlearn.integrators import RK4
from simlearn_mechanics import MassSpringLaw

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
import hamiltonian
from hamiltonian_parts import graphs, map_tasks, metrics, orbits, oscillators, rows
from hamiltonian_parts.baselines import HNN, seeded, time_derivative, train_for, train_hnn
from hamiltonian_parts.oscillators import PENDULUM, SPRING
from hamiltonian_parts.ours import Absent, learn
from hamiltonian_parts.smooth import smoothed
from hamiltonian_parts.solve import energy_of, field_of, solve
from hamiltonian_parts.sympnet import LASympNet, train_la_sympnet

sys.path.pop(0)


def test_the_solver_is_exact_and_knows_no_company():
    field = field_of(SPRING.law)
    times = np.linspace(0, 10, 7)
    starts = np.array([[1.0, 0.0], [0.1, 0.3]])
    x = solve(field, starts, times, 1e-12)
    turned = starts[0, 0] * np.stack([np.cos(2 * times), -np.sin(2 * times)], axis=1)
    assert np.abs(x[:, 0] - turned).max() < 1e-10
    assert np.abs(solve(field, starts[1:], times, 1e-12)[:, 0] - x[:, 1]).max() < 1e-14


def test_a_rollout_that_cannot_be_solved_is_nan_and_costs_infinity():
    x = solve(lambda y: y**2, np.array([[1.0], [-1.0]]), np.array([0.0, 2.0]), most=300)
    assert np.isnan(x[1, 0]).all()
    assert x[1, 1, 0] == pytest.approx(-1 / 3, rel=1e-8)
    assert metrics.mean_square(x[1, 0], 0.0) == float("inf")


@pytest.mark.parametrize(("system", "loss"), [(SPRING, 3.818e-2), (PENDULUM, 3.556e-2)])
def test_the_data_of_seed_0_are_those_of_the_paper(system, loss):
    data = oscillators.draw(system, 0)
    test, field = data.half(False), field_of(system.law)
    assert metrics.field_error(field, test.noisy, test.slope) == pytest.approx(loss, rel=1e-3)
    assert metrics.field_error(field, test.clean, test.slope) == 0
    assert data.clean.shape == (50, len(system.times), 2)
    assert (data.noisy - data.clean).std() == pytest.approx(0.1, rel=0.05)
    one = data.half(True).trajectories()[0]
    torch.testing.assert_close(one.derivative[:, 0], torch.from_numpy(data.slope[0]))


def test_the_information_limit_of_five_seeds():
    found = [
        metrics.information_limit(field_of(SPRING.law), oscillators.draw(SPRING, seed))
        for seed in range(5)
    ]
    assert sorted(found)[2] == pytest.approx(9.08e-5, rel=2e-3)
    assert max(found) == pytest.approx(1.85e-4, rel=2e-3)


def test_a_wrong_field_has_a_frequency_error_and_rollout_error():
    assert metrics.frequencies(SPRING.law, [0.6])[0] == pytest.approx(1 / np.pi, rel=1e-7)
    slow = MassSpringLaw(mass=0.5, stiffness=2 * 0.98**2)
    assert metrics.frequency_error(SPRING.law, slow, [0.6]) == pytest.approx(0.02, rel=1e-4)
    starts = oscillators.published_starts(np.random.default_rng(0))
    assert np.abs(starts).min() >= 0.2
    truth, rolled = metrics.rollouts(SPRING.law, slow, starts)
    assert metrics.mean_square(truth, rolled) > 1e-3
    own, plain = metrics.energy_errors(SPRING.law, truth, rolled)
    assert own == pytest.approx(plain)


def test_the_published_metric_is_no_energy_of_the_pendulum():
    starts = oscillators.inner_starts(PENDULUM, np.random.default_rng(0))
    radius = np.linalg.norm(starts, axis=1)
    assert radius.min() >= 1.3
    assert radius.max() <= 2.3
    truth, rolled = metrics.rollouts(PENDULUM.law, PENDULUM.law, starts)
    energy = energy_of(PENDULUM.law)(truth)
    assert np.abs(energy / energy[0] - 1).max() < 1e-9
    assert np.square(truth).sum(-1).std(0).max() > 0.1
    assert metrics.largest_relative_energy_error(PENDULUM.law, rolled) < 1e-6


def test_the_truth_passes_the_drift_test_and_its_runge_kutta_control_fails():
    starts = oscillators.inner_starts(SPRING, np.random.default_rng(0), 4)
    first, last, _ = metrics.drift(SPRING.law, SPRING.law, starts, 4000)
    assert last / first < 1.15
    first, last, _ = metrics.drift(SPRING.law, SPRING.law, starts, 4000, integrator=RK4())
    assert last / first > 1.15


def test_the_perturbed_truth_stays_beside_the_truth():
    starts = np.array([[0.6, 0.0]])
    pair = metrics.perturbed_truth(field_of(SPRING.law), starts, np.linspace(0, 5, 20))
    assert 1e-10 < metrics.mean_square(*pair) < 1e-8
    assert np.linalg.norm(pair[0][0] - pair[1][0]) == pytest.approx(6e-5)


def test_the_gradient_of_hnn_and_its_training():
    net = seeded(0, lambda: HNN(2, 20)).double()
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(6, 2)
    topology = Topology.isolated(6)
    auto = gradient_of(lambda y: net.energy(y, topology), x)
    torch.testing.assert_close(net.gradient(x, topology), auto)
    slope = time_derivative(net.net, x.requires_grad_())
    torch.testing.assert_close(net(0.0, x, topology), slope)
    data = oscillators.draw(SPRING, 0).half(True)
    x, slope = (torch.from_numpy(a.reshape(-1, 2))[::5] for a in (data.noisy, data.slope))
    few, _ = train_hnn(x, slope, 0, steps=1)
    more, spent = train_hnn(x, slope, 0, steps=60)
    errors = [metrics.field_error(field_of(one), data.clean, data.slope) for one in (few, more)]
    assert errors[1] < 0.5 * errors[0]
    assert spent > 0


def test_a_training_ends_with_its_budget():
    net = seeded(0, lambda: HNN(2, 8))
    x = torch.ones(4, 2, requires_grad=True)
    steps, spent = train_for(net, lambda k: time_derivative(net.net, x).square().mean(), 0.05)
    assert steps > 1
    assert 0.05 <= spent < 1


def test_the_la_sympnet_is_symplectic_and_learns():
    net = seeded(1, lambda: LASympNet(4)).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(30)
    x = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda y: net(0.0, y[None], 0.1)[0])(x)
    form = torch.zeros(4, 4, dtype=torch.float64)
    form[:2, 2:], form[2:, :2] = torch.eye(2), -torch.eye(2)
    assert (jacobian.T @ form @ jacobian - form).abs().max() < 1e-12
    orbit = torch.from_numpy(map_tasks.orbit())
    found = [train_la_sympnet(orbit[:40], orbit[1:41], 0, steps)[0] for steps in (1, 200)]
    judged = [map_tasks.judge(Simulator(one, None, 0.1), orbit.numpy()) for one in found]
    assert judged[1]["one step, test"] < 0.1 * judged[0]["one step, test"]


def test_two_and_three_bodies():
    circle = orbits.two_bodies(np.random.default_rng(0), 4)
    circle[:, [2, 3, 6, 7]] /= np.linalg.norm(circle[:, 2:4], axis=1, keepdims=True)
    r = np.linalg.norm(circle[:, :2], axis=1, keepdims=True)
    circle[:, [2, 3, 6, 7]] /= 2 * np.sqrt(r)
    x = solve(orbits.TWO.field, circle, np.linspace(0, 20, 5), 1e-12)
    assert np.abs(np.linalg.norm(x[..., :2], axis=-1) - r[:, 0]).max() < 1e-8
    starts = orbits.three_bodies(np.random.default_rng(0), 5)
    x = solve(orbits.THREE.field, starts, np.linspace(0, 2, 5), 1e-12)
    energy = orbits.THREE.energy(x)
    assert np.abs(energy / energy[0] - 1).max() < 1e-9
    flat = orbits.as_one_row(starts, 3)
    np.testing.assert_array_equal(orbits.as_bodies(flat, 3), starts)
    np.testing.assert_array_equal(flat[:, :2], starts[:, :2])
    np.testing.assert_array_equal(flat[:, 6:8], starts[:, 2:4])


@pytest.mark.parametrize("system", [graphs.Springs(), graphs.Gravity()])
def test_the_graphs_of_zero_shot(system):
    start = system.start(8, np.random.default_rng(0)).ravel()[None]
    slope = system.field(8)(start).reshape(8, 4)
    assert np.abs(slope[:, 2:].sum(0)).max() < 1e-12
    np.testing.assert_allclose(slope[:, :2], start.reshape(8, 4)[:, 2:] / system.mass(8))
    topology = system.topology(8)
    assert topology.graph.pairs.shape[1] == (16 if isinstance(system, graphs.Springs) else 28)
    x, force = start.reshape(8, 4), np.zeros(2)
    source, target = topology.graph.edge_index.numpy()
    mass = float(topology.node_attr[0])
    for j in source[target == 0]:
        apart = x[j, :2] - x[0, :2]
        r = np.linalg.norm(apart)
        hard = (r - 1) + (r - 1) ** 3 / 2
        soft = mass**2 * r * (r * r + graphs.SOFTENING**2) ** -1.5
        force += apart / r * (hard if isinstance(system, graphs.Springs) else soft)
    np.testing.assert_allclose(slope[0, 2:], force, rtol=1e-9)


def test_smoothing_beats_differences():
    times = np.linspace(0, 3, 30)
    rng = np.random.default_rng(0)
    phase = rng.uniform(0, 6, (10, 1, 1))
    noisy = np.sin(2 * times[:, None] + phase) + 0.01 * rng.standard_normal((10, 30, 1))
    states, slopes = smoothed(times, noisy)
    true = 2 * np.cos(2 * times[:, None] + phase)
    rough = np.gradient(noisy, times, axis=1)
    assert np.square(slopes - true).mean() < 0.2 * np.square(rough - true).mean()
    assert np.square(states - np.sin(2 * times[:, None] + phase)).mean() < 0.5e-4


def test_rows_say_what_holds():
    task = rows.Task("one")
    task.row("a", [1e-5, 3e-5], median=2e-5, worst=3e-5)
    task.row("b", [1e-5, float("nan")], worst=1.0)
    task.row("c", [2.0, 0.5], worst=1.15, least=True)
    task.row("d", [], worst=1.0)
    task.row("e", [5.0])
    assert [row["holds"] for row in task.rows] == [True, False, False, None, None]
    assert rows.measured(task.rows[3]) == "not measured"
    assert task.rows[4]["asked"] == "reported"
    assert rows.Settings(quick=True).count(15) == 1
    assert rows.Settings(full=True).count(3, 5) == 5
    assert rows.Settings().count(15) == 15
    assert rows.Settings(full=True, seeds=2).count(3, 5) == 2


def test_without_a_ladder_it_says_so(monkeypatch):
    monkeypatch.delattr(simlearn, "ladder", raising=False)
    monkeypatch.setattr(simlearn, "__getattr__", lambda name: None, raising=False)
    with pytest.raises(Absent, match=r"simlearn\.ladder is not in this version"):
        learn(rows.Task("one"), [])


def test_a_task_that_is_not_run_again_keeps_its_rows(tmp_path, monkeypatch, capsys):
    def done(name, value):
        def task(settings):
            one = rows.Task(name)
            one.row("error", [value], worst=1.0)
            return one

        return task

    class Threads(ThreadPoolExecutor):  # functions of a test do not travel to other processes
        def __init__(self, jobs, mp_context):
            super().__init__(jobs)

    monkeypatch.setattr(hamiltonian, "ProcessPoolExecutor", Threads)
    monkeypatch.setattr(hamiltonian, "TASKS", {"first": done("first", 0.5)})
    given = ["--out", str(tmp_path), "--quick"]
    hamiltonian.main(given)
    monkeypatch.setattr(
        hamiltonian, "TASKS", {"first": done("first", 9.0), "other": done("other", 2.0)}
    )
    hamiltonian.main([*given, "--only", "other"])
    found = json.loads((tmp_path / "hamiltonian.json").read_text())
    assert list(found["tasks"]) == ["first", "other"]
    assert found["tasks"]["first"]["rows"][0]["values"] == [0.5]
    assert found["tasks"]["other"]["rows"][0]["holds"] is False
    assert "torch" in found["versions"]
    table = (tmp_path / "hamiltonian.md").read_text()
    assert table in capsys.readouterr().out
    assert "| error | ≤ 1 worst | 2 | 1 | **no** |" in table
    assert "Of 2 limits 1 hold." in table
