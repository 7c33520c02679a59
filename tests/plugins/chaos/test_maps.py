"""Hénon, May, Kaneko: equations by hand, trapping regions, conjugacy, determinants."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from simlearn import ConfigError, Graph, Topology
from simlearn.dynamics import HenonMap
from simlearn_chaos import CoupledLogisticMap, CoupledMaps, Henon, Logistic, LogisticMap

# Hénon 1976, eq. 13: a quadrilateral that the map carries into itself
QUADRILATERAL = np.array([[-1.33, 0.42], [1.32, 0.133], [1.245, -0.14], [-1.06, -0.5]])


def step(law, x, topology=None):
    x = torch.as_tensor(x, dtype=torch.float64)
    return law.double()(0.0, x, 1.0, topology or Topology.isolated(len(x)))


def ring(x, rate, coupling):
    """Kaneko's ring, site by site."""
    f = [rate * v * (1 - v) for v in x]
    n = len(f)
    return np.array(
        [(1 - coupling) * f[i] + coupling / 2 * (f[i - 1] + f[(i + 1) % n]) for i in range(n)]
    )


def ring_topology(sites):
    i = torch.arange(sites)
    edges = torch.cat([torch.stack([i, (i + k) % sites]) for k in (1, -1)], dim=1)
    return Topology(Graph(edges, sites))


def test_henon_data_are_iterates_of_the_map_written_by_hand(tracks, within):
    system = Henon(1.3, 0.25)
    assert type(system.truth()) is HenonMap
    x, y = tracks(system, 4, 20)[:, :, 0].transpose(2, 0, 1)
    within(x[:, 1:], 1 - 1.3 * x[:, :-1] ** 2 + y[:, :-1], 1e-14)
    within(y[:, 1:], 0.25 * x[:, :-1], 1e-14)


def test_henon_contracts_area_by_b(normal, within):
    law, one = Henon(1.3, 0.25).truth(), Topology.isolated(1)
    for x in normal(5, 2):
        jacobian = torch.func.jacrev(lambda s: law(0.0, s[None], 1.0, one)[0])(x)
        within(torch.linalg.det(jacobian), -0.25, 1e-14)


def test_henon_starts_lie_in_the_quadrilateral_and_apart(tracks):
    x = tracks(Henon(), 64)[:, 0, 0]
    for a, b in zip(QUADRILATERAL, np.roll(QUADRILATERAL, -1, 0), strict=True):
        (ux, uy), (vx, vy) = b - a, (x - a).T
        assert (ux * vy - uy * vx <= 0).all(), "clockwise, inside is to the right"
    assert x.std(0)[0] == pytest.approx(0.72, abs=0.15)
    assert len(np.unique(x[:, 0])) == 64


def test_henon_starts_lie_on_the_attractor(tracks):
    """Each has a neighbour on long orbits from other starts."""
    long = tracks(Henon(transient=1000), 64, 300)[:, :, 0].reshape(-1, 2)
    starts = tracks(Henon(), 64, seed=1)[:, 0, 0]
    distance = np.sqrt(((starts[:, None] - long[None]) ** 2).sum(-1)).min(1)
    assert distance.max() < 0.03


def test_logistic_doubles_the_angle(within):
    """x = sin² θ is carried to sin² 2θ at rate 4."""
    angle = torch.linspace(0.01, 1.5, 40, dtype=torch.float64)[:, None]
    x, law = angle.sin() ** 2, LogisticMap()
    for k in range(1, 11):
        x = step(law, x)
        within(x, (2**k * angle).sin() ** 2, 4.0**k * 1e-14)


def test_logistic_starts_follow_the_invariant_density(tracks):
    x = tracks(Logistic(), 1024)[:, 0, 0, 0]
    assert kstest(x, lambda v: 2 / np.pi * np.arcsin(np.sqrt(v))).pvalue > 0.01


def test_logistic_at_smaller_rates_ends_on_its_cycle(tracks, within):
    within(tracks(Logistic(2.5), 8, 4), 1 - 1 / 2.5, 1e-12)
    three = tracks(Logistic(3.84, transient=2000), 8, 4)[:, :, 0, 0]
    within(three[:, 3], three[:, 0], 1e-9)
    assert (np.abs(three[:, 1] - three[:, 0]) > 0.1).all()


def test_logistic_never_leaves_the_unit_interval_by_rounding():
    """Around 1/2, where the step is 1 up to rounding."""
    for dtype in (torch.float64, torch.float32):
        near = torch.tensor([0.5], dtype=dtype)
        around, law = [near], LogisticMap()
        for way in (0.0, 1.0):
            x = near
            for _ in range(200):
                x = torch.nextafter(x, torch.tensor([way], dtype=dtype))
                around.append(x)
        x = law(0.0, torch.stack(around), 1.0, Topology.isolated(401))
        assert x.max() == 1
        assert x.min() > 0.99


def test_logistic_data_stay_alive(tracks):
    x = tracks(Logistic(), 64, 2001)[:, :, 0, 0]
    assert (x >= 0).all()
    assert (x <= 1).all()
    assert (x[:, -100:].std(1) > 0.2).all(), "an orbit fell onto a fixed point"


@pytest.mark.parametrize(("sites", "rate", "coupling"), [(3, 4.0, 0.1), (9, 3.7, 0.35)])
def test_coupled_maps_are_the_ring_written_by_hand(sites, rate, coupling, tracks, within):
    system = CoupledMaps(sites, rate, coupling)
    track = tracks(system, 2, 6)[..., 0]
    assert track.shape == (2, 6, sites)
    for states in track:
        for now, following in pairwise(states):
            within(following, ring(now, rate, coupling), 1e-14)
    assert track.min() >= 0
    assert track.max() <= 1


def test_the_ring_joins_each_site_to_two():
    with torch.random.fork_rng():
        _, topology = CoupledMaps(7).start(torch.Generator().manual_seed(0))
    edges = {tuple(e) for e in topology.graph.edge_index.T.tolist()}
    assert edges == {(i, (i + k) % 7) for i in range(7) for k in (1, -1)}
    assert topology.graph.pairs.shape == (2, 7)


def test_the_jacobian_of_the_ring_is_its_circulant_times_the_slopes(normal, within):
    """ln |det| = Σ_k ln |1 − ε + ε cos(2πk/N)| + Σ_i ln |f'(x_i)|."""
    n, rate, coupling = 8, 3.9, 0.15
    law, topology = CoupledLogisticMap(rate, coupling), ring_topology(n)
    x = normal(n, 1).sigmoid()
    jacobian = torch.func.jacrev(lambda s: law(0.0, s, 1.0, topology))(x).reshape(n, n)
    modes = 1 - coupling + coupling * np.cos(2 * np.pi * np.arange(n) / n)
    exact = np.log(np.abs(modes)).sum() + np.log(np.abs(rate * (1 - 2 * x.numpy()))).sum()
    within(torch.linalg.slogdet(jacobian)[1], exact, 1e-12)


def test_equal_sites_move_as_one_map(within):
    x = torch.full((8, 1), 0.3, dtype=torch.float64)
    within(step(CoupledLogisticMap(), x, ring_topology(8)), 4 * 0.3 * 0.7, 1e-15)


def test_a_strong_coupling_brings_all_sites_together(tracks):
    """Three sites: ln 2 + ln |1 − 3ε/2| < 0 across equality for 1/3 < ε < 1."""
    apart = tracks(CoupledMaps(3, coupling=0.6, transient=500), 16)[:, 0, :, 0]
    assert np.ptp(apart, axis=1).max() < 1e-12
    apart = tracks(CoupledMaps(3, coupling=0.1, transient=500), 16)[:, 0, :, 0]
    assert np.ptp(apart, axis=1).min() > 1e-6


def test_any_graph_will_do(normal, within):
    """A star: its centre sees the mean of the leaves; a site without neighbours moves alone."""
    star = Topology(Graph(torch.tensor([[1, 2, 3, 0, 0, 0], [0, 0, 0, 1, 2, 3]]), 5))
    x = normal(5, 1).sigmoid()
    f = 3.9 * x * (1 - x)
    exact = torch.cat([0.8 * f[:1] + 0.2 * f[1:4].mean(0), 0.8 * f[1:4] + 0.2 * f[0], f[4:]])
    within(step(CoupledLogisticMap(3.9, 0.2), x, star), exact, 1e-15)


def test_without_coupling_each_site_is_a_logistic_map(normal, within):
    x = normal(6, 1).sigmoid()
    alone = step(LogisticMap(), x)
    within(step(CoupledLogisticMap(coupling=0.0), x, ring_topology(6)), alone, 1e-16)


def test_reference_exponents(within):
    within(sum(Henon().exponents()), math.log(0.3), 1e-4)
    assert Logistic().exponents() == (math.log(2),)
    assert Henon(1.3).exponents() == Logistic(3.9).exponents() == ()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Henon(a=0), "a must be positive"),
        (lambda: Henon(b=0), "b must lie between -1 and 1 and not be 0"),
        (lambda: Henon(b=-1.0), "b must lie between"),
        (lambda: Henon(transient=0), "transient must be at least 1"),
        (lambda: Logistic(4.01), "rate must be above 1"),
        (lambda: Logistic(1.0), "or every orbit dies out"),
        (lambda: Logistic(transient=0), "transient must be at least 1"),
        (lambda: LogisticMap(math.nan), "rate must be above 1"),
        (lambda: CoupledMaps(2), "sites must be at least 3"),
        (lambda: CoupledMaps(coupling=1.1), "share that comes from the neighbours"),
        (lambda: CoupledLogisticMap(coupling=-0.1), "share that comes from the neighbours"),
        (lambda: CoupledMaps(rate=5), "it leaves"),
        (lambda: CoupledMaps(transient=0), "transient must be at least 1"),
    ],
)
def test_arguments_without_a_sense_are_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_parameters_without_an_attractor_are_refused(tracks):
    with pytest.raises(ConfigError, match="do not stay bounded"):
        tracks(Henon(a=3.0), 1)
