"""Pair forces: Newton's law by hand, the exact potential, momentum, the linear design."""

import math

import pytest
import scipy.integrate
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import Multilinear, Newtonian, PairForce
from simlearn.state import Graph, Topology

NAMES = ("star", "near", "far", "moon")
MASS = (1.0, 0.4, 1.7, 0.2)


def real(*values):
    return torch.tensor(values, dtype=torch.float64)


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def learned(**changes):
    """A force with random coefficients and masses of order one."""
    field = PairForce(NAMES, **{"terms": 8, "r_min": 0.2, "r_max": 35.0, **changes}).double()
    field.load({"mass": real(*MASS), "weights": normal(field.terms, seed=3)})
    return field.requires_grad_(False)


def newtonian():
    return Newtonian(NAMES, MASS, gravity=0.7)


def hidden_edge(topology):
    """The same bodies, the first pair not joined."""
    edges = topology.graph.edge_index
    kept = ~((edges == 0).any(0) & (edges == 1).any(0))
    return topology.replace(graph=Graph(edges[:, kept], topology.rows))


COMPLETE = Topology.complete(4, NAMES)
GRAPHS = [
    pytest.param(COMPLETE, id="complete"),
    pytest.param(hidden_edge(COMPLETE), id="one pair missing"),
    pytest.param(COMPLETE.repeat(3), id="three systems"),
    pytest.param(COMPLETE.replace(node_type=torch.tensor([2, 0, 3, 1])), id="other order"),
]


@pytest.mark.parametrize("topology", GRAPHS)
def test_newtons_law_equals_a_double_loop(topology):
    field, q = newtonian(), normal(topology.rows, 3)
    joined = set(map(tuple, topology.graph.edge_index.T.tolist()))
    wanted = torch.zeros_like(q)
    for i in range(topology.rows):
        for j in range(topology.rows):
            if (i, j) in joined:
                apart = q[j] - q[i]
                mass = MASS[int(topology.node_type[j])]
                wanted[i] += 0.7 * mass * apart / apart.norm() ** 3
    torch.testing.assert_close(field.kick(0.0, q, topology), wanted, rtol=1e-12, atol=1e-12)


def test_the_energy_of_newtons_law_equals_a_double_loop():
    field, x = newtonian(), normal(4, 6)
    q, v = x.chunk(2, dim=1)
    wanted = sum(0.5 * m * float(u @ u) for m, u in zip(MASS, v, strict=True))
    for i in range(4):
        for j in range(i):
            wanted -= 0.7 * MASS[i] * MASS[j] / float((q[i] - q[j]).norm())
    assert field.energy(x, COMPLETE).tolist() == [pytest.approx(wanted, rel=1e-13)]


@pytest.mark.parametrize("make", [newtonian, learned])
def test_the_force_is_the_slope_of_the_potential(make):
    field = make()
    r = torch.logspace(math.log10(0.3), math.log10(30), 400, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(field.potential(r).sum(), r)
    scale = 1 / r.detach() ** 2
    assert ((slope - field.force(r.detach())) / scale).abs().max() < 1e-10
    assert (slope / scale).abs().max() > 0.1


@pytest.mark.parametrize("r", [0.3, 2.0, 30.0])
def test_the_potential_is_the_work_from_infinity(r):
    field = learned()

    def work(s):
        return float(field.force(real(math.exp(s)))) * math.exp(s)

    total, _ = scipy.integrate.quad(work, math.log(r), 12.0, epsabs=1e-13, epsrel=1e-13)
    assert float(field.potential(real(r))) == pytest.approx(-total, abs=1e-11)


@pytest.mark.parametrize("topology", GRAPHS)
@pytest.mark.parametrize("make", [newtonian, learned])
def test_forces_add_up_to_nothing(make, topology):
    field, q = make(), normal(topology.rows, 3)
    force = field.row_masses(topology)[:, None] * field.kick(0.0, q, topology)
    total = topology.per_system(force)
    assert total.abs().max() < 1e-14 * force.abs().sum()
    assert force.abs().max() > 1e-2


@pytest.mark.parametrize("topology", GRAPHS)
def test_the_columns_weighed_by_coefficients_are_the_accelerations(topology):
    field, x = learned(), normal(topology.rows, 6)
    assert isinstance(field, Multilinear)
    columns = field.columns(x, topology)
    assert columns.shape == (topology.rows, 3, *field.blocks().values())
    design = torch.einsum("rcjk,j,k->rc", columns, field.masses(), field.weights)
    wanted = field.fitted(field(0.0, x, topology))
    torch.testing.assert_close(design, wanted, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(wanted, field.kick(0.0, x[:, :3], topology), rtol=0, atol=0)


def test_the_gauge_makes_the_first_body_the_unit_and_keeps_the_products():
    raw = {"mass": normal(4).abs() + 0.1, "weights": normal(8, seed=1)}
    fixed = learned().gauge(dict(raw))
    assert float(fixed["mass"][0]) == 1.0
    torch.testing.assert_close(
        torch.outer(fixed["mass"], fixed["weights"]), torch.outer(raw["mass"], raw["weights"])
    )


def test_loading_takes_coefficients_over_and_clips_impossible_masses():
    field, weights = learned(), normal(8, seed=5)
    field.load({"mass": real(1.0, 0.3, -2.0, 5.0), "weights": weights})
    wanted = real(1.0, 0.3, PairForce.MASS_FLOOR, 5.0)
    torch.testing.assert_close(field.masses(), wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(field.weights, weights)


def test_loading_no_force_at_all_leaves_no_force():
    field = learned()
    field.load({"mass": real(1, 1, 1, 1), "weights": torch.zeros_like(field.weights)})
    assert field.kick(0.0, normal(4, 3), COMPLETE).abs().max() == 0


def test_unevenness_is_the_roughness_relative_to_the_coefficients_loaded():
    field = learned()
    w, matrix = field.weights, field.roughness()["weights"]
    wanted = float(w @ matrix @ w / w.abs().max() ** 2)
    assert float(field.unevenness()) == pytest.approx(wanted, rel=1e-12)
    line = torch.linspace(-1, 3, 8, dtype=torch.float64)
    assert float(line @ matrix @ line) == pytest.approx(0, abs=1e-14)


def test_estimates_name_every_body_but_the_unit_and_judge_it():
    coefficients = {"mass": real(1.0, 0.4, -0.1, 0.2), "weights": torch.ones(8)}
    errors = {"mass": real(0.0, 0.01, 0.01, 0.15)}
    found = learned().estimates(coefficients, errors)
    assert {n: e.determined for n, e in found.items()} == {
        "near": True,
        "far": False,
        "moon": False,
    }
    assert found["near"].value == 0.4
    assert {e.unit for e in found.values()} == {"mass of star"}


def directed():
    return COMPLETE.replace(graph=Graph(COMPLETE.graph.edge_index[:, 1:], 4))


@pytest.mark.parametrize("make", [newtonian, learned])
@pytest.mark.parametrize(
    ("topology", "said"),
    [
        (Topology.complete(4), "the data name none"),
        (Topology.complete(4, NAMES[::-1]), "'moon', 'far'.* in their order"),
        (Topology.complete(4, ("a", "b", "c", "d")), r"knows the bodies \['star'.*'a'"),
        (directed(), "needs a symmetric graph"),
    ],
    ids=["no names", "another order", "strangers", "directed"],
)
def test_data_that_do_not_fit_are_refused(make, topology, said):
    with pytest.raises(ConfigError, match=said):
        make().kick(0.0, normal(4, 3), topology)


@pytest.mark.parametrize("make", [newtonian, learned])
def test_a_state_without_halves_is_refused(make):
    with pytest.raises(ConfigError, match="even"):
        make()(0.0, normal(4, 5), COMPLETE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"terms": 2}, "got 2 terms"),
        ({"names": ("star",)}, "1 bodies"),
        ({"r_min": 0.0}, "r_min 0.0"),
        ({"r_min": 3.0, "r_max": 2.0}, "r_min 3.0, r_max 2.0"),
        ({"r_max": math.nan}, "r_max nan"),
    ],
)
def test_a_pair_force_refuses_arguments_that_make_no_force(arguments, said):
    with pytest.raises(ConfigError, match=said):
        PairForce(**{"names": NAMES, **arguments})


def test_newtons_law_needs_a_mass_for_each_name():
    with pytest.raises(ConfigError, match="4 names and 2 masses"):
        Newtonian(NAMES, (1.0, 2.0))
