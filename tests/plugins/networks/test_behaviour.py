"""Known behaviour: exact solutions, thresholds, synchrony, equilibria."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from simlearn import sample_times
from simlearn_networks import (
    SIR,
    SIS,
    CoupledLorenz,
    EdgeList,
    ErdosRenyi,
    FitzHughNagumo,
    GeneRegulation,
    Grid8,
    Heat,
    Kuramoto,
    LotkaVolterra,
    MassAction,
    Neuronal,
    NewmanWattsStrogatz,
    Opinion,
    SwingEquation,
)


def track(system, steps=41, dt=0.25, seed=0):
    (one,) = system.draw(range(1), sample_times(steps, dt), seed)
    return one.x.numpy(), one.topology


def matrix(topology):
    a = np.zeros((topology.rows, topology.rows))
    source, target = topology.graph.edge_index.numpy()
    a[target, source] = 1 if topology.edge_attr is None else topology.edge_attr[:, 0]
    return a


def order(theta):
    return np.abs(np.exp(1j * theta).mean(axis=1))[:, 0]


@pytest.mark.parametrize("graph", [Grid8(5), ErdosRenyi(15, 0.4, True, [0.2, 1.0])])
def test_heat_is_the_exponential_of_the_laplacian(graph):
    x, topology = track(Heat(graph, 0.5), 5, 0.3)
    a = matrix(topology)
    laplacian = np.diag(a.sum(1)) - a
    for k, state in enumerate(x):
        np.testing.assert_allclose(state, expm(-0.5 * 0.3 * k * laplacian) @ x[0], atol=1e-10)


def test_heat_keeps_its_mean_and_decays_at_the_second_eigenvalue():
    x, topology = track(Heat(Grid8(6)), 21, 1.0)
    np.testing.assert_allclose(x.mean(axis=1), x[0].mean(), rtol=1e-12)
    a = matrix(topology)
    second = np.linalg.eigvalsh(np.diag(a.sum(1)) - a)[1]
    size = np.linalg.norm(x - x.mean(axis=1, keepdims=True), axis=1)[:, 0]
    late = slice(5, 12)  # after the faster modes, before rounding
    rate = -np.polyfit(np.arange(21.0)[late], np.log(size[late]), 1)[0]
    assert rate == pytest.approx(second, rel=1e-3)


def test_two_oscillators_close_in_as_kuramoto_says():
    """The difference ψ of two: ψ' = −2 K sin ψ, so tan(ψ/2) decays at 2 K."""
    system = Kuramoto(ErdosRenyi(2, 1.0), coupling=0.7, spread=0.0, aggregation="sum")
    x, _ = track(system, 9, 0.25)
    half = np.tan((x[:, 1, 0] - x[:, 0, 0]) / 2)
    times = 0.25 * np.arange(9)
    np.testing.assert_allclose(half, half[0] * np.exp(-1.4 * times), rtol=1e-9)


@pytest.mark.parametrize(("times_critical", "low", "high"), [(0.5, 0.0, 0.2), (2.0, 0.85, 1.0)])
def test_order_of_a_complete_graph_around_the_critical_coupling(times_critical, low, high):
    """Normal frequencies, K_c = √(8/π); at 2 K_c the self-consistent order is 0.92."""
    graph, critical = ErdosRenyi(300, 1.0), math.sqrt(8 / math.pi)
    system = Kuramoto(graph, times_critical * critical, aggregation="graphon")
    x, _ = track(system, 31, 1.0)
    late = order(x)[15:].mean()
    assert low <= late <= high


@pytest.mark.parametrize("share", [0.8, 1.25])
def test_an_epidemic_dies_out_below_its_threshold_only(share):
    """R/B = share over the largest eigenvalue of A."""
    family = NewmanWattsStrogatz(30, 4, 0.3)
    largest = np.linalg.eigvalsh(matrix(SIS(family).network()))[-1]
    x, _ = track(SIS(family, 1.0, share / largest), 11, 20.0)
    if share < 1:
        assert x[-1].max() < 1e-6
    else:
        assert x[-1].min() > 1e-3
        np.testing.assert_allclose(x[-1], x[-2], atol=1e-8)


def test_the_endemic_share_of_a_complete_graph():
    """All nodes alike: 0 = −B x + R (1 − x) (n − 1) x."""
    x, _ = track(SIS(ErdosRenyi(9, 1.0), 2.0, 0.5), 11, 5.0)
    np.testing.assert_allclose(x[-1], 1 - 2 / (0.5 * 8), rtol=1e-9)


def test_an_epidemic_with_immunity_ends():
    x, _ = track(SIR(infection=0.3), 41, 5.0)
    assert (np.diff(x[:, :, 0], axis=0) <= 1e-12).all()
    assert x[-1, :, 1].max() < 1e-4
    assert (x > -1e-12).all()
    assert (x.sum(axis=2) < 1 + 1e-9).all()


def test_lotka_volterra_comes_to_rest_where_the_linear_system_says():
    x, topology = track(LotkaVolterra(interaction=-0.05), 11, 5.0)
    a = matrix(topology)
    rest = np.linalg.solve(np.eye(len(a)) + 0.05 * a, np.ones(len(a)))
    np.testing.assert_allclose(x[-1][:, 0], rest, rtol=1e-7)


def test_mass_action_comes_to_rest_where_its_slope_vanishes():
    system = MassAction(*[None, 0.5, 0.1, 1.0, 1.0])
    x, topology = track(system, 11, 10.0)
    slope = system.truth()(0.0, torch.from_numpy(x[-1]), topology)
    assert slope.abs().max() < 1e-8
    assert (x > 0).all()


def test_genes_that_are_off_stay_off():
    system = GeneRegulation(Grid8(4))
    off = torch.zeros(16, 1, dtype=torch.float64)
    assert (system.truth()(0.0, off, system.network()) == 0).all()


def test_neurons_rest_low_or_high():
    """On a ring of four neighbours x = 4/(1 + exp(3.5 − 2 x)) has two stable roots."""
    ring = NewmanWattsStrogatz(20, 4, 0.0)
    for highest, root in [(0.3, 0.1592), (5.0, 3.9522)]:
        x, _ = track(Neuronal(ring, highest=highest), 11, 5.0)
        np.testing.assert_allclose(x[-1], 4 / (1 + np.exp(3.5 - 2 * x[-1])), rtol=1e-6)
        np.testing.assert_allclose(x[-1], root, rtol=0.05)


@pytest.mark.parametrize(("current", "spikes"), [(0.0, False), (0.5, True)])
def test_a_neuron_alone_spikes_under_current_only(current, spikes):
    x, _ = track(FitzHughNagumo(ErdosRenyi(3, 0.0), current=current), 301, 0.5)
    v = x[180:, :, 0]
    assert (np.ptp(v, axis=0) > 3).all() == spikes
    if not spikes:
        assert np.ptp(v, axis=0).max() < 1e-3


def test_lorenz_oscillators_move_as_one_where_the_coupling_is_strong():
    apart = []
    for coupling in (0.0, 20.0):
        x, _ = track(CoupledLorenz(ErdosRenyi(2, 1.0), coupling=coupling), 6, 1.0)
        apart.append(np.ptp(x[-1], axis=0).max())
    assert apart[0] > 1
    assert apart[1] < 0.05


def test_a_power_grid_with_strong_lines_falls_into_step():
    x, topology = track(SwingEquation(damping=1.0), 11, 5.0)
    assert np.abs(x[-1][:, 1]).max() < 1e-6
    angle, a = x[-1][:, 0], matrix(topology)
    flow = 8 * (a * np.sin(angle[None, :] - angle[:, None])).sum(1)
    np.testing.assert_allclose(flow, -topology.node_attr[:, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize(("confidence", "agreed"), [(10.0, True), (0.05, False)])
def test_the_bound_of_confidence_decides_whether_all_agree(confidence, agreed):
    (club,) = EdgeList.examples()
    x, _ = track(Opinion(club, confidence=confidence), 11, 10.0)
    assert (np.ptp(x[-1]) < 1e-2) == agreed
    np.testing.assert_allclose(x.mean(axis=1), x[0].mean(), atol=1e-12)
