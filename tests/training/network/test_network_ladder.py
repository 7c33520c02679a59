"""The program for networks: derivatives, known laws found, refusals, and other graphs."""

import json
import math

import pytest
import torch

import simlearn
from simlearn import Simulator, Topology, Trajectory
from simlearn.component import DataError, NumericalError
from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.integrators import DormandPrince
from simlearn.training.begin import _rows, told
from simlearn.training.network import fit, levels, network_ladder
from simlearn.training.network.course import path, sensitivities
from simlearn.training.network.data import Data
from simlearn.training.network.fit import error_of
from simlearn.training.network.noise import Observed
from simlearn.training.network.start import NetworkLadder, _told, gathered
from simlearn.training.network.weak import along_own
from simlearn_networks import ErdosRenyi, GeneRegulation, Grid8, Heat, Mutualistic


def drawn(system, count=1, steps=41, dt=0.05, seed=0):
    return list(system.draw(range(count), simlearn.sample_times(steps, dt), seed))


def grid(system, side=8, **arguments):
    return system(graph=Grid8(side=side), **arguments)


@pytest.fixture(autouse=True)
def two_sizes(monkeypatch):
    """The largest basis takes the longest, and says nothing else."""
    monkeypatch.setattr(levels, "SIZES", levels.SIZES[:2])


@pytest.fixture(scope="module")
def heat():
    return drawn(grid(Heat, 6, highest=5.0), steps=25, dt=0.08)


@pytest.fixture(scope="module")
def learned(heat):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(levels, "SIZES", levels.SIZES[:1])
        return network_ladder(heat)


@torch.no_grad()
def missed(simulator, one):
    """Error of a whole rollout over the size of the states."""
    rolled = simulator.through(one.x[0].double(), one.t, one.topology)
    assert rolled.status == "ok"
    return float((rolled.x - one.x).abs().mean() / one.x.abs().mean())


def series(data, own=4, pair=0, seed=0, size=0.02):
    field = CoupledSeries(1, own, pair).requires_grad_(False)
    field.measure(data.x.flatten(0, 1))
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(field.coefficients.shape, generator=rng, dtype=torch.float64)
    field.coefficients.copy_(size * noise)
    return field


def test_paths_meet_a_tight_solver(heat):
    (data,) = gathered(heat)
    field = series(data)
    tight = Simulator(field, DormandPrince(rtol=1e-12, atol=1e-12), 0.05)
    wanted = tight.through(data.x[0], data.t, data.topology).x
    assert float((path(field, data) - wanted).abs().max()) < 1e-5 * float(wanted.abs().max())


def test_sensitivities_are_derivatives_of_paths(heat):
    (data,) = gathered(heat)
    (data, *_) = data.pieces(5)
    field = series(data)
    found = list(sensitivities(field, data))
    kept = field.coefficients.clone()
    for k in range(0, len(kept), 3):
        ends = []
        for sign in (1, -1):
            field.coefficients.copy_(kept)
            field.coefficients[k] += sign * 1e-6
            ends.append(path(field, data)[-1])
        wanted = (ends[0] - ends[1]).flatten() / 2e-6
        torch.testing.assert_close(found[-1][1][:, k], wanted, rtol=1e-4, atol=1e-6)


def test_heat_is_found_and_forecast_on_other_graphs(learned, heat):
    assert learned.provenance["ladder"]["choice"].endswith("functions")
    assert missed(learned, heat[0]) < 3e-5
    for other in (
        grid(Heat, 20, highest=5.0),
        Heat(graph=ErdosRenyi(nodes=50, p=0.1), highest=5.0),
    ):
        assert missed(learned, drawn(other, seed=3)[0]) < 1e-3


@pytest.mark.parametrize("system", [GeneRegulation, Mutualistic])
def test_laws_that_are_no_splines_are_followed(system):
    data = drawn(grid(system, 8), steps=41)
    assert missed(network_ladder(data), data[0]) < 0.02


def test_several_trajectories_and_graphs_are_one_training(monkeypatch):
    monkeypatch.setattr(levels, "SIZES", ((4, 0),))
    system = Heat(graph=ErdosRenyi(nodes=15, p=0.3), highest=5.0, fresh=True)
    data = drawn(system, count=3, steps=25)
    assert len(gathered(data)) == 1
    found = network_ladder(data)
    assert missed(found, drawn(grid(Heat, highest=5.0), seed=5)[0]) < 1e-3
    assert found.provenance["training"]["rows"] == [15, 15]


def test_irregular_times(heat, monkeypatch):
    monkeypatch.setattr(levels, "SIZES", ((4, 0),))
    kept = torch.tensor([0, 1, 2, 3, 5, 6, 8, 11, 14, 17, 20, 24])
    (one,) = heat
    some = Trajectory(one.t[kept], one.x[kept], one.topology)
    assert missed(network_ladder([some]), one) < 1e-3


@pytest.mark.parametrize(("larger", "kept"), [(0.95e-3, 10), (0.5e-3, 61), (math.inf, 10)])
def test_a_larger_basis_has_to_help(heat, monkeypatch, larger, kept):
    reached = {10: 1e-3, 61: larger}

    def fitted(level, data):
        level.error = reached[len(level.model.coefficients)]

    monkeypatch.setattr(levels, "_fitted", fitted)
    monkeypatch.setattr(levels, "weak", lambda *given: 1e-2)
    monkeypatch.setattr(levels, "lasts", lambda *given: True)
    best, record = levels.climbed(gathered(heat))
    assert len(best.model.coefficients) == kept
    assert len(record) == 2


@pytest.mark.parametrize(("lasting", "kept"), [({10}, 10), ({10, 61}, 61), (set(), None)])
def test_a_basis_has_to_last(heat, monkeypatch, lasting, kept):
    errors = {10: 1e-2, 61: 1e-3}
    monkeypatch.setattr(levels, "_fitted", lambda *given: None)
    monkeypatch.setattr(levels, "weak", lambda model, *given: errors[len(model.coefficients)])
    monkeypatch.setattr(levels, "lasts", lambda model, data: len(model.coefficients) in lasting)
    best, record = levels.climbed(gathered(heat))
    assert (best and len(best.model.coefficients)) == kept
    assert ["lost" in one for one in record] == [
        10 not in lasting and 61 not in lasting,
        61 not in lasting,
    ]


def test_twice_the_time_of_the_data_is_looked_at(heat):
    (data,) = gathered(heat)
    field = series(data, size=0.0)
    assert levels.lasts(field, [data])
    duration = float(data.t[-1] - data.t[0])
    field.coefficients[0] = 15 * float(data.x.abs().max()) / duration  # at the bound after 4/3
    assert len(path(field, data)) == len(data.t)
    assert not levels.lasts(field, [data])


def test_a_path_that_explodes_is_lost_and_no_error(heat):
    (data,) = gathered(heat)
    field = series(data)
    field.coefficients.copy_(torch.zeros_like(field.coefficients))
    field.coefficients[0] = 1e6
    assert len(path(field, data)) < len(data.t)
    assert error_of(field, [data]) == math.inf
    assert along_own(field, data) is None
    assert len(list(sensitivities(field, data))) < len(data.t) - 1


def test_noise_for_dynamics_is_left_to_the_network(monkeypatch):
    monkeypatch.setattr(levels, "SIZES", ((4, 0),))
    rng = torch.Generator().manual_seed(0)
    topology = Grid8(side=4).draw(rng)
    x = torch.randn(8, 16, 1, generator=rng, dtype=torch.float64)
    with pytest.raises(NumericalError, match="No network in closed form"):
        network_ladder([Trajectory(simlearn.sample_times(8, 0.1), x, topology)])


def test_the_record_is_json_and_restores_the_size(learned):
    record = json.loads(json.dumps(learned.provenance["ladder"]))
    simulator = Simulator(CoupledSeries(1, 0, 0), DormandPrince(), 0.05)
    NetworkLadder().restore(simulator, record)
    simulator.load_state_dict(learned.state_dict())


def test_bad_data_are_refused_in_a_sentence(heat):
    (one,) = heat
    with pytest.raises(DataError, match="no edges"):
        network_ladder([Trajectory(one.t, one.x, Topology.isolated(36))])
    with pytest.raises(DataError, match="at least 4 states"):
        network_ladder([Trajectory(one.t[:3], one.x[:3], one.topology)])
    gone = one.x.clone()
    gone[3, 2] = torch.nan
    with pytest.raises(DataError, match="missing"):
        network_ladder([Trajectory(one.t, gone, one.topology)])
    with pytest.raises(DataError, match="empty"):
        network_ladder([])


def test_lost_rungs_are_told_in_json_and_in_words():
    stages = [{"stage": "weak form", "error": math.inf}]
    lost = {"rung": "10 functions", "error": math.inf, "stages": stages}
    record = {"rungs": [_told(lost)]}
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert "10 functions: whole rollouts are lost after 1 stages" in told(record)
    assert list(_rows(record))[1] == {"rung": 0, "stage": 0, "stage_error": math.inf}


def test_a_path_from_rest_at_zero_is_followed():
    def rising(t):  # dx/dt = 2 − x on a graph that does nothing
        return 2 * (1 - torch.exp(-t))

    t = torch.linspace(0, 3, 31, dtype=torch.float64)
    topology = Topology.complete(4)
    data = Data(t, rising(t)[:, None, None].expand(-1, 4, 1), topology)
    field = series(data)
    field.coefficients.zero_()
    field.coefficients[0], field.coefficients[1] = 2.0, -float(data.x.max())
    torch.testing.assert_close(path(field, data), data.x, rtol=1e-6, atol=1e-6)
    *_, (last, _) = sensitivities(field, data)
    torch.testing.assert_close(last, data.x[-1], rtol=1e-6, atol=1e-6)


def test_a_fit_that_cannot_begin_keeps_what_it_was_given(heat, monkeypatch):
    (data,) = gathered(heat)
    field, stages = series(data), []
    before, kept = error_of(field, [data]), field.coefficients.clone()
    monkeypatch.setattr(fit, "_system", lambda model, data: None)
    assert fit.newton(field, Observed.of([data]), stages) == before < math.inf
    assert torch.equal(field.coefficients, kept)


@pytest.mark.parametrize(
    ("errors", "first"),
    [
        ([0.2, 5e-3, 1e-3], 2),
        ([1e-5], 0),
        ([0.2, 0.1, 0.04], 1),
        ([0.2, 0.5, 0.04], 2),
        ([0.2, math.inf, math.inf], 0),
        ([math.inf, math.inf, math.inf], 1),
    ],
)
def test_the_size_that_is_fitted_first(errors, first):
    assert levels._first(errors) == first


def test_an_iteration_finds_a_short_step_where_longer_ones_are_lost(heat, monkeypatch):
    """Stiff transients lose all but tiny steps; damping goes on until steps are such."""
    (data,) = gathered(heat)
    data = data.pieces(3)[0]
    field = series(data, size=0.0)
    gram, right, cost = fit._system(field, [data])
    whole = fit._solved(gram, right, 1e-9).norm()
    known = fit.error_of

    def lost_afar(model, data, most=math.inf):
        return known(model, data, most) if model.coefficients.norm() < 1e-3 * whole else math.inf

    monkeypatch.setattr(fit, "error_of", lost_afar)
    _, error, gain = fit._iterated(field, [data], (gram, right, cost), 1e-9)
    assert gain > 0
    assert error < 1
    assert 0 < float(field.coefficients.norm()) < 1e-3 * whole
