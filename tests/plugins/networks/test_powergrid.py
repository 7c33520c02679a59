"""The grids of the IEEE: their data, their operating points, and lines that are lost."""

import pickle
import sys

import numpy as np
import pytest
import torch

from simlearn import ConfigError, DataError, EnvironmentFault, Graph, Topology, sample_times
from simlearn_networks import PowerGrid, PowerGridLaw, SwingLaw, powergrid_case
from simlearn_networks.powergrid_case import grid

pytest.importorskip("pandapower", reason="pandapower is not installed (extra powergrid)")


def susceptance(found, first, second):
    return found.susceptance[found.line([first, second])]


def test_the_grid_of_118_buses_is_that_of_the_ieee():
    """Reactances, turns ratios, set points and loads of the published case, some by hand."""
    found = grid(118)
    assert found.buses.tolist() == list(range(1, 119))
    assert found.ends.shape == (2, 179)  # 186 branches, seven of them in parallel with another
    assert susceptance(found, 1, 2) == pytest.approx(0.955 / 0.0999, rel=1e-6)
    assert susceptance(found, 5, 8) == pytest.approx(1.015 / 0.0267 / 0.985, rel=1e-6)
    two_circuits = 1.025 * 0.955 * (1 / 0.289 + 1 / 0.291)
    assert susceptance(found, 49, 54) == pytest.approx(two_circuits, rel=1e-6)
    assert found.power[found.buses == 10] == pytest.approx(4.5)
    assert found.power[found.buses == 59] == pytest.approx(1.55 - 2.77)
    assert found.power[found.buses == 69] == pytest.approx(42.42 - 38.61 - 0.0, abs=2e-2)  # slack
    assert found.power.sum() == pytest.approx(0, abs=1e-12)
    assert (found.base, found.frequency) == (100, pytest.approx(2 * np.pi * 60))


def test_a_series_capacitor_joins_its_line():
    """Bus 1201 of case 300 stands between x = 0.6163 and x = −0.3697 and feeds nobody."""
    found = grid(300)
    assert len(found.buses) == 299
    assert 1201 not in found.buses
    v = susceptance(found, 118, 120) * (0.6163 - 0.3697)
    assert v == pytest.approx(1.0, rel=1e-3)
    assert (found.susceptance > 0).all()


@pytest.mark.parametrize("case", [14, 118, 300])
def test_at_the_operating_point_nothing_moves(case):
    system = PowerGrid(case, angle=0.0, speed=0.0)
    x, topology = system.start(torch.Generator().manual_seed(0))
    slope = system.truth()(0.0, x, topology)
    mass = 1 / topology.node_attr[:, 2:]
    assert (slope * torch.cat([torch.ones_like(mass), mass], 1)).abs().max() < 1e-10
    assert (x[:, 1] == 0).all()
    # by hand, the flow out of the first bus
    found = grid(case)
    out = found.susceptance * np.sin(x[found.ends[0], 0] - x[found.ends[1], 0]).numpy()
    assert np.bincount(found.ends[0], out)[0] == pytest.approx(found.power[0], abs=1e-10)


def test_the_law_is_the_swing_equation_in_other_columns():
    system = PowerGrid(14, damping=1.3)
    x, topology = system.start(torch.Generator().manual_seed(3))
    power, damping, light = topology.node_attr.unbind(1)
    plain = torch.stack([power / light, 1 / light, damping / light], dim=1)
    told = SwingLaw(1.0)(0.0, x, topology.replace(node_attr=plain))
    torch.testing.assert_close(PowerGridLaw()(0.0, x, topology), told, rtol=1e-12, atol=1e-9)


def test_a_grid_that_lost_a_line_comes_to_rest_where_newton_says():
    system = PowerGrid(14, without=[[1, 5]], angle=0.0, speed=0.0, damping=6.0)
    (track,) = system.draw(range(1), sample_times(6, 1.2), 0)
    assert track.topology.graph.edge_index.shape[1] == 2 * 19
    last, rest = track.x[-1], system.settled()
    torch.testing.assert_close(last[:, 0] - last[0, 0], rest[:, 0], rtol=0, atol=1e-5)
    assert last[:, 1].abs().max() < 1e-4
    assert (track.x[0, :, 0] - track.x[0, 0, 0] - rest[:, 0]).abs().max() > 0.01


def test_outages_are_others_in_each_trajectory_and_leave_the_grid_whole():
    system = PowerGrid(118, outages=3)
    drawn = [system.start(torch.Generator().manual_seed(k))[1] for k in (0, 1, 0)]
    keys = [one.graph.key for one in drawn]
    assert keys[0] == keys[2] != keys[1]
    whole = system.network()
    for one in drawn:
        assert one.graph.edge_index.shape[1] == whole.graph.edge_index.shape[1] - 6
        assert one.node_names == whole.node_names == tuple(str(k) for k in range(1, 119))
        reached = torch.linalg.matrix_power(dense(one) + torch.eye(118), 118)
        assert (reached > 0).all()


def dense(topology: Topology):
    a = torch.zeros(topology.rows, topology.rows)
    a[tuple(topology.graph.edge_index)] = 0.01
    return a


def test_inertia_follows_the_power_and_no_bus_is_without():
    heavy, light = (PowerGrid(118, least=least).network().node_attr[:, 2] for least in (0.1, 2.0))
    omega = 2 * np.pi * 60
    assert 1 / heavy[9] == pytest.approx(2 * 0.04 * 450 / omega)  # 450 MW at bus 10
    assert 1 / light.max() == pytest.approx(2 * 2.0 / omega)
    assert heavy.max() > light.max()


@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_what_is_kept_is_kept(damping):
    system = PowerGrid(14, without=[[2, 4]], damping=damping)
    assert list(system.invariants()) == ["momentum", *([] if damping else ["energy"])]
    (track,) = system.draw(range(1), sample_times(11, 0.1), 1)
    for invariant in system.invariants().values():
        told = torch.stack([invariant(x, track.topology) for x in track.x])
        assert (told - told[0]).abs().max() < 1e-9 * (1 + told[0].abs())
    assert track.x.diff(dim=0).abs().max() > 0.01


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"case": 9}, "case is one of 14, 30, 39, 57, 118, 300, got 9"),
        (
            {"without": [[1, 9]]},
            r"No line joins the buses 1 and 9. .*\[\[1, 2\], \[1, 5\]",
        ),
        ({"without": [[1, 99]]}, "has no bus 99; its buses are 1 to 14"),
        ({"without": [[1, 2, 3]]}, r"numbers of its two buses, got \[1, 2, 3\]"),
        ({"without": [[7, 8]]}, r"Without the lines \[\[7, 8\]\] the grid falls apart"),
        ({"outages": 8}, "falls apart after 7 outages of 8"),
        ({"least": 0.0}, "least must be positive"),
        ({"damping": -1.0}, "damping must not be negative"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PowerGrid(**{"case": 14, **arguments}).start(torch.Generator().manual_seed(0))


def test_lines_that_cannot_carry_the_power_are_told():
    """Bus 1 of case 14 feeds in 2.19: too much for one line of susceptance 2."""
    found = grid(14).without([grid(14).line([1, 2])])
    found.susceptance[found.line([1, 5])] = 2.3
    assert np.isfinite(found.rest()).all()
    found.susceptance[found.line([1, 5])] = 2.0
    with pytest.raises(DataError, match="no operating point near"):
        found.rest()


def test_it_travels_as_its_arguments_and_draws_the_same_there():
    system = PowerGrid(14, without=[[2, 5]], outages=1)
    system.network()
    again = pickle.loads(pickle.dumps(system))
    assert again._built is None
    one, other = (s.start(torch.Generator().manual_seed(5)) for s in (system, again))
    assert torch.equal(one[0], other[0])
    assert one[1].graph.key == other[1].graph.key


def test_a_missing_pandapower_says_which_extra_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandapower", None)
    powergrid_case.grid.cache_clear()
    with pytest.raises(EnvironmentFault, match=r"pip install 'simlearn\[powergrid\]'"):
        PowerGrid(14).network()


def test_the_plugin_loads_without_pandapower():
    """The extra is imported where a case is read, not with the module."""
    assert "pandapower" not in vars(powergrid_case)
    assert "networks" not in vars(powergrid_case)


def test_susceptances_are_read_from_the_edges():
    """Two machines joined by one line: 2 B sin δ by hand."""
    ends = torch.tensor([[0, 1], [1, 0]])
    nodes = torch.tensor([[0.0, 0.0, 4.0], [0.0, 0.0, 1.0]]).double()
    topology = Topology(Graph(ends, 2), edge_attr=torch.full((2, 1), 3.0).double(), node_attr=nodes)
    x = torch.tensor([[0.5, 0.0], [0.0, 0.0]]).double()
    slope = PowerGridLaw()(0.0, x, topology)[:, 1]
    torch.testing.assert_close(slope, torch.tensor([-12.0, 3.0]).double() * np.sin(0.5))
