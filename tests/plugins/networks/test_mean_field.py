"""Checks of limits: the truth passes, a sum that is not divided fails, and theory is theory."""

import math

import numpy as np
import pytest
import torch

from simlearn import ConfigError, DataError, Evidence, Simulator, Topology, Trajectory, sample_times
from simlearn.integrators import RK4
from simlearn_networks import (
    SIS,
    Heat,
    Kuramoto,
    KuramotoLaw,
    MeanField,
    NewmanWattsStrogatz,
    OrderParameter,
    SISLaw,
)
from simlearn_networks.graphon import at, density, neighbours, places, profile, sampled, whole
from simlearn_networks.order import critical, order

WORLD = NewmanWattsStrogatz(40, 4, 0.2)
SMALL = {"sizes": (50, 100, 200, 400), "horizon": 40, "limit": 0.15}


def evidence(system, **more):
    (track,) = system.draw(range(1), sample_times(3, 0.05), 0)
    return Evidence((track,), truth=system.truth(), **more)


def judged(law):
    return Simulator(law, RK4(), 0.05)


def values(finding):
    return [metric.value for metric in finding.metrics]


@pytest.mark.parametrize("graphon", ["constant", "ring", "slope"])
def test_the_error_of_an_epidemic_falls_as_the_root_of_the_number_of_nodes(graphon):
    system = SIS(WORLD, 1.0, 3.0, aggregation="mean_degree")
    finding = MeanField(graphon=graphon, **SMALL).run(judged(system.truth()), evidence(system))
    assert finding.verdict == "pass", finding.summary
    assert values(finding)[0] == pytest.approx(0.5, abs=0.06)


def test_and_on_sparser_graphs_as_the_root_of_the_number_of_neighbours():
    system = SIS(WORLD, 1.0, 3.0, aggregation="mean_degree")
    check = MeanField(sparsity=0.4, sizes=(50, 100, 200, 400, 800), limit=0.1)
    finding = check.run(judged(system.truth()), evidence(system))
    assert finding.verdict == "pass", finding.summary
    assert values(finding)[0] == pytest.approx(0.5, abs=0.08)


def test_kuramoto_passes_and_its_sum_over_neighbours_does_not():
    system = Kuramoto(WORLD)
    seen = evidence(system, references={"summed": judged(KuramotoLaw(0.4, "sum"))})
    finding = MeanField(**SMALL).run(judged(system.truth()), seen)
    assert finding.verdict == "pass", finding.summary
    assert values(finding)[0] == pytest.approx(0.5, abs=0.15)
    fall, end = finding.metrics
    assert fall.beside["summed"] < 0.1
    assert end.beside["summed"] > 5 * end.value
    wrong = MeanField(**SMALL).run(judged(KuramotoLaw(0.4, "sum")), evidence(system))
    assert wrong.verdict == "fail"
    (curve,) = finding.curves.values()
    assert [line.label for line in curve.lines] == ["this simulator", "summed", "(n α)^−½"]


def test_a_law_that_is_off_stops_approaching():
    system = SIS(WORLD, 1.0, 3.0, aggregation="mean_degree")
    finding = MeanField(**SMALL).run(judged(SISLaw(1.0, 4.0, "mean_degree")), evidence(system))
    assert finding.verdict == "fail"
    assert values(finding)[0] < 0.2


def test_what_has_no_limit_is_not_judged():
    for seen, said in [
        (evidence(SIS(WORLD, 1.0, 0.1)), "no limit on growing graphs"),
        (Evidence(evidence(SIS(WORLD)).held_out), "true dynamics in continuous time"),
        (Evidence((single(),), truth=SISLaw()), "no edges"),
    ]:
        finding = MeanField(**SMALL).run(judged(SISLaw()), seen)
        assert finding.verdict == "not_applicable"
        assert said in finding.summary
    with pytest.raises(DataError, match="held-out"):
        MeanField(**SMALL).run(judged(SISLaw()), Evidence(truth=SISLaw()))


def single():
    t = sample_times(3, 0.05)
    return Trajectory(t, torch.rand(3, 1, 1, dtype=torch.float64), Topology.isolated(1))


def test_lost_rollouts_fail():
    system = Heat(WORLD, aggregation="mean_degree")
    check = MeanField(horizon=12, sizes=(20, 40, 80), repeats=1)
    finding = check.run(Simulator(system.truth(), RK4(), 5.0), evidence(system))
    assert finding.verdict == "fail"
    assert math.isnan(values(finding)[0])


@pytest.mark.parametrize("graphon", ["constant", "ring", "slope"])
def test_random_graphs_have_the_density_of_their_graphon(graphon):
    rng = torch.Generator().manual_seed(0)
    topology = sampled(graphon, 300, 0.5, rng)
    assert topology.graph.pairs is not None  # both directions, no self-edges
    dense = torch.zeros(300, 300)
    dense[tuple(topology.graph.edge_index)] = 1.0
    cells = dense.reshape(3, 100, 3, 100).mean((1, 3))
    u = places(300)
    wanted = 0.5 * density(graphon, u[:, None], u).reshape(3, 100, 3, 100).mean((1, 3))
    torch.testing.assert_close(cells.double(), wanted, atol=0.02, rtol=0)
    if graphon == "constant":
        assert neighbours(graphon, 300, 0.5) == pytest.approx(300 * 0.25 / 0.75)


def test_sums_on_the_whole_graph_are_integrals():
    """∫ (1 − max(u, v)) v² dv = 1/3 − u³/3 − (1 − u⁴)/4."""
    topology = whole("slope", 200)
    u = places(200)
    got = (topology.adjacency("graphon", 0) @ u.square()[:, None])[:, 0]
    torch.testing.assert_close(got, (1 - u**4) / 12, atol=2e-5, rtol=0)


def test_profiles_are_smooth_and_stay_between_the_data():
    (track,) = Kuramoto(WORLD).draw(range(1), sample_times(2, 0.1), 0)
    x, nodes = profile(track)
    assert x.shape == nodes.shape == (100, 1)
    assert (x.diff(dim=0) > 0).all()
    assert x.min() >= track.x[0].min()
    assert x.max() <= track.x[0].max()
    torch.testing.assert_close(at(x, places(100)), x, rtol=1e-12, atol=0)
    middle = at(x, torch.tensor([0.5], dtype=torch.float64))[0]
    torch.testing.assert_close(middle, (x[49] + x[50]) / 2, rtol=1e-12, atol=0)


def test_the_mean_field_of_kuramoto_is_the_known_one():
    assert critical("normal") == pytest.approx(1.5958, abs=1e-4)
    assert critical("lorentz") == 2.0
    assert order(0.99, "normal") == order(1.0, "lorentz") == 0.0
    assert order(2.0, "lorentz") == pytest.approx(math.sqrt(0.5))
    # near the transition r ≈ √(−16 (K − K_c)/(π K_c⁴ g″(0))), Strogatz 2000, equation 4.9
    k = critical("normal")
    near = math.sqrt(16 * 0.001 * k / (math.pi * k**4) * math.sqrt(2 * math.pi))
    assert order(1.001, "normal") == pytest.approx(near, rel=1e-2)
    # and the self-consistency, by drawing frequencies
    coupling, r = 1.5 * k, order(1.5, "normal")
    omega = np.random.default_rng(0).standard_normal(400_000)
    locked = np.abs(omega) < coupling * r
    drawn = np.sqrt(1 - (omega[locked] / (coupling * r)) ** 2).sum() / len(omega)
    assert r == pytest.approx(drawn, abs=3e-3)


@pytest.mark.parametrize("frequencies", ["normal", "lorentz"])
def test_phases_fall_into_step_as_the_mean_field_says(frequencies):
    system = Kuramoto(WORLD, 2.0)
    check = OrderParameter((0.5, 2.0), 400, 80, 250, frequencies, limit=0.1)
    finding = check.run(judged(system.truth()), evidence(system))
    assert finding.verdict == "pass", finding.summary
    (curve,) = finding.curves.values()
    theory = curve.lines[-1]
    assert theory.label == "mean field"
    assert theory.y[0] == 0.0
    assert theory.y[-1] == pytest.approx(order(theory.x[-1], frequencies))


@pytest.mark.parametrize("law", [KuramotoLaw(2.0, "sum"), KuramotoLaw(1.2)])
def test_a_coupling_that_is_off_moves_the_critical_point(law):
    finding = OrderParameter((1.5,), 400, 80, 250).run(judged(law), evidence(Kuramoto(WORLD, 2.0)))
    assert finding.verdict == "fail"
    assert values(finding)[0] > 0.2


def test_order_is_asked_of_phases_only():
    for seen in (evidence(SIS(WORLD)), Evidence(evidence(SIS(WORLD)).held_out)):
        assert OrderParameter().run(judged(SISLaw()), seen).verdict == "not_applicable"
    finding = OrderParameter(coupling=2.0).run(judged(SISLaw()), evidence(SIS(WORLD)))
    assert "have 1 columns and 0 parameters" in finding.summary


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MeanField(sizes=(10, 20)), r"three or more numbers .* got \[10, 20\]"),
        (lambda: MeanField(sizes=(20, 10, 40)), "ascending"),
        (lambda: MeanField(graphon="star"), "constant, ring or slope, got 'star'"),
        (lambda: MeanField(sparsity=1.0), "sparsity must be below 1"),
        (lambda: MeanField(repeats=0), "repeats must be at least 1"),
        (lambda: OrderParameter(ratios=()), "at least one coupling"),
        (lambda: OrderParameter(ratios=(0.0,)), r"ratios\[0\] must be positive"),
        (lambda: OrderParameter(nodes=50), "50 nodes have at most 49 neighbours, not 100"),
        (lambda: OrderParameter(frequencies="flat"), "normal or lorentz, got 'flat'"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
