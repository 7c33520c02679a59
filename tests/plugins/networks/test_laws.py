"""Every law against the plain sum over all pairs, written anew in NumPy."""

import inspect
import math

import numpy as np
import pytest
import torch

import simlearn_networks as networks
from simlearn import DataError, System, Topology, VectorField
from simlearn_networks.common import Aggregation

EXP, SIN = math.exp, math.sin
OMEGA = np.linspace(-1.2, 0.9, 7)
MACHINES = np.stack([np.linspace(-1, 1, 7), np.linspace(0.5, 2, 7), np.linspace(0, 0.4, 7)], 1)

# own term L(i, x_i) and pair term Q(x_i, x_j), each a list of the columns of dx/dt
PLAIN = {
    networks.HeatLaw(0.7): (
        lambda i, x: [0.0],
        lambda x, y: [0.7 * (y[0] - x[0])],
    ),
    networks.GeneRegulationLaw(1.1, 2.0, 1.5): (
        lambda i, x: [-1.1 * x[0] ** 2],
        lambda x, y: [y[0] ** 1.5 / (y[0] ** 1.5 + 1)],
    ),
    networks.MutualisticLaw(0.1, 5.0, 1.2, 4.0, 0.9, 0.2): (
        lambda i, x: [0.1 + x[0] * (1 - x[0] / 5) * (x[0] / 1.2 - 1)],
        lambda x, y: [x[0] * y[0] / (4 + 0.9 * x[0] + 0.2 * y[0])],
    ),
    networks.KuramotoLaw(1.7, "sum"): (
        lambda i, x: [OMEGA[i]],
        lambda x, y: [1.7 * SIN(y[0] - x[0])],
    ),
    networks.InertialKuramotoLaw(2.0, 0.3, 1.7, "sum"): (
        lambda i, x: [x[1], (OMEGA[i] - 0.3 * x[1]) / 2],
        lambda x, y: [0, 1.7 * SIN(y[0] - x[0]) / 2],
    ),
    networks.SISLaw(3.0, 0.6): (
        lambda i, x: [-3 * x[0]],
        lambda x, y: [0.6 * (1 - x[0]) * y[0]],
    ),
    networks.SIRLaw(0.3, 0.15): (
        lambda i, x: [0, -0.15 * x[1]],
        lambda x, y: [-0.3 * x[0] * y[1], 0.3 * x[0] * y[1]],
    ),
    networks.MassActionLaw(0.5, 0.1, 3.0, 0.8): (
        lambda i, x: [0.5 - 0.1 * x[0] ** 3],
        lambda x, y: [-0.8 * x[0] * y[0]],
    ),
    networks.MichaelisMentenLaw(4.0, 0.5, 3.0): (
        lambda i, x: [-4 * x[0]],
        lambda x, y: [0.5 * y[0] ** 3 / (1 + y[0] ** 3)],
    ),
    networks.PopulationLaw(2.0, 3.0, 0.3, 1.5): (
        lambda i, x: [-2 * x[0] ** 3],
        lambda x, y: [0.3 * y[0] ** 1.5],
    ),
    networks.LotkaVolterraLaw(1.1, 0.9, -0.2): (
        lambda i, x: [x[0] * (1.1 - 0.9 * x[0])],
        lambda x, y: [-0.2 * x[0] * y[0]],
    ),
    networks.NeuronalLaw(3.5, 2.0): (
        lambda i, x: [-x[0]],
        lambda x, y: [1 / (1 + EXP(3.5 - 2 * y[0]))],
    ),
    networks.FitzHughNagumoLaw(0.7, 0.8, 0.08, 0.4, 0.3): (
        lambda i, x: [x[0] - x[0] ** 3 / 3 - x[1] + 0.4, 0.08 * (x[0] + 0.7 - 0.8 * x[1])],
        lambda x, y: [0.3 * (y[0] - x[0]), 0],
    ),
    networks.CoupledRoesslerLaw(0.2, 0.3, 5.7, 0.4, [0, 2], "sum"): (
        lambda i, x: [-x[1] - x[2], x[0] + 0.2 * x[1], 0.3 + x[2] * (x[0] - 5.7)],
        lambda x, y: [0.4 * (y[0] - x[0]), 0, 0.4 * (y[2] - x[2])],
    ),
    networks.CoupledLorenzLaw(10.0, 28.0, 8 / 3, 0.5, [1], "sum"): (
        lambda i, x: [
            10 * (x[1] - x[0]),
            x[0] * (28 - x[2]) - x[1],
            x[0] * x[1] - 8 / 3 * x[2],
        ],
        lambda x, y: [0, 0.5 * (y[1] - x[1]), 0],
    ),
    networks.OpinionLaw(1.3, 0.5, "sum"): (
        lambda i, x: [0.0],
        lambda x, y: [1.3 * EXP(-((y[0] - x[0]) ** 2) / 0.5) * (y[0] - x[0])],
    ),
    networks.SwingLaw(2.5): (
        lambda i, x: [x[1], (MACHINES[i, 0] - MACHINES[i, 2] * x[1]) / MACHINES[i, 1]],
        lambda x, y: [0, 2.5 * SIN(y[0] - x[0])],
    ),
    networks.PowerGridLaw(): (
        lambda i, x: [x[1], MACHINES[i, 0] - MACHINES[i, 1] * x[1]],
        lambda x, y: [0, SIN(y[0] - x[0])],
    ),
}


def plainly(own, pair, x, a):
    """L(x_i) + Σ_j A_ij Q(x_i, x_j), one number after another."""
    answer = np.array([own(i, xi) for i, xi in enumerate(x)], float)
    for i in range(len(x)):
        for j in range(len(x)):
            answer[i] += a[i, j] * np.array(pair(x[i], x[j]), float)
    return answer


def carried(law, topology):
    if isinstance(law, networks.SwingLaw | networks.PowerGridLaw):
        return topology.replace(node_attr=torch.from_numpy(MACHINES))
    return topology.replace(node_attr=torch.from_numpy(OMEGA)[:, None])


def test_every_law_stands_here():
    offered = [c for c in networks.simlearn_components() if issubclass(c, VectorField)]
    assert {type(law) for law in PLAIN} == set(offered)


@pytest.mark.parametrize("law", PLAIN, ids=lambda law: type(law).__name__)
def test_a_law_is_the_plain_sum_over_pairs(law, directed):
    topology, a = directed
    own, pair = PLAIN[law]
    if isinstance(law, networks.SwingLaw):
        a = a / MACHINES[:, 1:2]
    if isinstance(law, networks.PowerGridLaw):
        a = a * MACHINES[:, 2:]
    x = np.random.default_rng(5).uniform(0.1, 1.4, (7, law.dim))
    answer = law(0.0, torch.from_numpy(x), carried(law, topology))
    np.testing.assert_allclose(answer.numpy(), plainly(own, pair, x, a), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("aggregation", Aggregation.__args__)
@pytest.mark.parametrize("cls", [networks.KuramotoLaw, networks.OpinionLaw, networks.HeatLaw])
def test_what_divides_the_weights(cls, aggregation, directed):
    topology, a = directed
    arrives, leaves = a.sum(1), a.sum(0)
    below = {
        "sum": np.ones_like(a),
        "mean": arrives[:, None] + 0 * a,
        "symmetric": np.sqrt(np.outer(arrives, leaves)),
        "graphon": np.full_like(a, 7),
        "mean_degree": np.full_like(a, arrives.mean()),
    }[aggregation]
    scaled = np.divide(a, below, out=np.zeros_like(a), where=a > 0)
    law = cls(aggregation=aggregation)
    own = (lambda i, x: [OMEGA[i]]) if cls is networks.KuramotoLaw else lambda i, x: [0.0]
    pair = {
        networks.KuramotoLaw: lambda x, y: [2 * SIN(y[0] - x[0])],
        networks.OpinionLaw: lambda x, y: [EXP(-((y[0] - x[0]) ** 2) / 0.32) * (y[0] - x[0])],
        networks.HeatLaw: lambda x, y: [y[0] - x[0]],
    }[cls]
    x = np.random.default_rng(6).uniform(0, 1.4, (7, 1))
    answer = law(0.0, torch.from_numpy(x), carried(law, topology))
    wanted = plainly(own, pair, x, scaled)
    np.testing.assert_allclose(answer.numpy(), wanted, rtol=1e-12, atol=1e-13)


def test_edges_without_weights_count_as_one(directed):
    topology, a = directed
    bare = Topology(topology.graph)
    x = np.linspace(0, 1, 7)[:, None]
    wanted = plainly(lambda i, x: [0.0], lambda x, y: [y[0] - x[0]], x, (a > 0).astype(float))
    answer = networks.HeatLaw()(0.0, torch.from_numpy(x), bare)
    np.testing.assert_allclose(answer.numpy(), wanted, rtol=1e-12, atol=1e-13)


def test_a_node_that_nobody_reaches_moves_alone(directed):
    topology, _ = directed
    x = torch.linspace(0.1, 1, 7, dtype=torch.float64)[:, None]
    answer = networks.NeuronalLaw()(0.0, x, topology)
    assert answer[5] == -x[5]


def test_negative_states_do_not_break_a_broken_power():
    x = torch.tensor([[-1e-9], [0.5]], dtype=torch.float64)
    assert networks.PopulationLaw()(0.0, x, Topology.complete(2)).isfinite().all()


@pytest.mark.parametrize(
    ("law", "columns"),
    [
        (networks.KuramotoLaw(), "frequency"),
        (networks.InertialKuramotoLaw(), "frequency"),
        (networks.SwingLaw(), "power, inertia, damping"),
        (networks.PowerGridLaw(), "power over inertia, damping over inertia, one over inertia"),
    ],
)
def test_nodes_must_carry_what_the_law_needs(law, columns):
    x = torch.zeros(3, law.dim, dtype=torch.float64)
    wanted = rf"{type(law).__name__} needs node_attr .* columns {columns}; the topology has 0"
    with pytest.raises(DataError, match=wanted):
        law(0.0, x, Topology.complete(3))


def test_a_law_takes_the_arguments_of_its_system():
    """Every argument of a law is one of its system, with the same default."""
    for cls in networks.simlearn_components():
        if issubclass(cls, System):
            law = inspect.signature(type(cls().truth())).parameters
            own = inspect.signature(cls).parameters
            for name, parameter in law.items():
                assert own[name].default == parameter.default, (cls, name)
