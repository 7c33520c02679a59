"""An ensemble against its members one by one."""

import pytest
import torch

import simlearn
from simlearn import ConfigError, Ensemble, Simulator
from simlearn.dynamics import (
    CoupledSeries,
    EdgeNetwork,
    GraphCoupled,
    LinearField,
    MLPField,
    ensemble,
)
from simlearn.integrators import RK4
from simlearn.state import Graph, Topology

EDGES = torch.tensor([[0, 1, 1, 2, 3, 0, 4], [1, 0, 2, 1, 0, 3, 2]])
TOPOLOGY = Topology(Graph(EDGES, 6))


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def networks():
    return Ensemble(GraphCoupled(width=5), 4, seed=3).double()


def edge_networks():
    return Ensemble(GraphCoupled(pair=EdgeNetwork(width=4), width=5), 3).double()


def splines(apart):
    """Three fields on one basis, or each on its own."""
    fields = []
    for k in range(3):
        one = CoupledSeries(own=5, pair=4)
        one.measure(normal(50, 1, seed=k if apart else 0))
        one.coefficients.data = normal(*one.coefficients.shape, seed=10 + k)
        fields.append(one)
    return Ensemble.of(fields)


def kinds():
    return [networks(), edge_networks(), splines(False), splines(True)]


def one_by_one(field, x, topology):
    return torch.stack([field.pick(k)(0.0, x, topology) for k in range(field.size)])


@pytest.mark.parametrize("rows", [2**14, 12, 1])
def test_members_answer_as_they_do_alone(monkeypatch, rows):
    monkeypatch.setattr(ensemble, "CHUNK", rows)  # all at once, some, one after another
    x = 2 * normal(6, 1)
    for field in kinds():
        told = field.members(0.0, x, TOPOLOGY)
        torch.testing.assert_close(told, one_by_one(field, x, TOPOLOGY))
        torch.testing.assert_close(field(0.0, x, TOPOLOGY), told.mean(0))
        assert told.std(0).min() > 0
        with torch.no_grad():
            torch.testing.assert_close(field.members(0.0, x, TOPOLOGY), told)


def test_every_member_gets_its_own_gradient():
    for field in kinds():
        x = normal(6, 1)
        field.members(0.0, x, TOPOLOGY).square().sum().backward()
        for k in range(field.size):
            alone = field.pick(k).requires_grad_()
            alone(0.0, x, TOPOLOGY).square().sum().backward()
            for (name, stacked), own in zip(
                field.member.named_parameters(), alone.parameters(), strict=True
            ):
                torch.testing.assert_close(stacked.grad[k], own.grad, msg=name)


def test_derivatives_by_the_state_go_through():
    x, tangent = normal(6, 1), normal(6, 1, seed=1)
    for field in kinds():
        forward = torch.func.jvp(lambda s, f=field: f(0.0, s, TOPOLOGY), (x,), (tangent,))[1]
        jacobian = torch.func.jacrev(lambda s, f=field: f(0.0, s, TOPOLOGY))(x).reshape(6, 6)
        parts = [
            torch.func.jacfwd(lambda s, f=one: f(0.0, s, TOPOLOGY))(x).reshape(6, 6)
            for one in map(field.pick, range(field.size))
        ]
        torch.testing.assert_close(jacobian, torch.stack(parts).mean(0))
        torch.testing.assert_close(forward, jacobian @ tangent)


def test_members_start_from_weights_of_their_own_that_follow_from_the_seed():
    member, other = GraphCoupled(width=5), GraphCoupled(width=5)
    state = torch.random.get_rng_state()
    first, again = Ensemble(member, 4, seed=3).double(), Ensemble(other, 4, seed=3).double()
    more, other = Ensemble(member, 6, seed=3).double(), Ensemble(member, 4, seed=4).double()
    assert torch.equal(state, torch.random.get_rng_state())
    x = normal(6, 1)
    told = first.members(0.0, x, TOPOLOGY)
    assert torch.equal(told, again.members(0.0, x, TOPOLOGY))
    torch.testing.assert_close(more.members(0.0, x, TOPOLOGY)[:4], told)
    assert (other.members(0.0, x, TOPOLOGY) - told).abs().min() > 0
    assert (told[1:] - told[:-1]).abs().min() > 0


def test_a_trained_member_is_not_taken_and_not_changed():
    member = GraphCoupled(width=5)
    kept = {name: value.clone() for name, value in member.state_dict().items()}
    field = Ensemble(member, 3)
    assert all(torch.equal(kept[name], value) for name, value in member.state_dict().items())
    answers = field.double().members(0.0, normal(6, 1), TOPOLOGY)
    own = member.double()(0.0, normal(6, 1), TOPOLOGY)
    assert (answers - own).abs().amax((1, 2)).min() > 1e-3


def test_fields_that_are_described_differently_are_no_ensemble():
    with pytest.raises(ConfigError, match="one description"):
        Ensemble.of([GraphCoupled(width=4), GraphCoupled(width=5)])
    with pytest.raises(ConfigError, match="at least 2 members, got 1"):
        Ensemble.of([GraphCoupled(width=4)])
    with pytest.raises(ConfigError, match="at least 2 members, got size 1"):
        Ensemble(GraphCoupled(width=4), 1)


def test_ranges_of_its_own_come_back_from_the_archive(tmp_path):
    field, x = splines(True), 3 * normal(6, 1)
    before = field.members(0.0, x, TOPOLOGY)
    assert field._same() < splines(False)._same()
    simlearn.save(Simulator(field, RK4(), 0.1), tmp_path / "kept")
    loaded = simlearn.load(tmp_path / "kept").dynamics
    assert torch.equal(loaded.members(0.0, x, TOPOLOGY), before)


def test_new_weights_are_noticed():
    field, other, x = splines(False), splines(True), 3 * normal(6, 1)
    field.members(0.0, x, TOPOLOGY)
    field.load_state_dict(other.state_dict())
    torch.testing.assert_close(field.members(0.0, x, TOPOLOGY), other.members(0.0, x, TOPOLOGY))


def test_a_node_is_outside_where_it_is_for_any_member():
    field, x = splines(True), torch.linspace(-4, 4, 6, dtype=torch.float64)[:, None]
    alone = torch.stack([field.pick(k).outside(x, TOPOLOGY) for k in range(3)])
    assert torch.equal(field.outside(x, TOPOLOGY), alone.any(0))
    assert alone.any(0).tolist() != alone.all(0).tolist()
    plain = Ensemble(LinearField(dim=2), 2)
    assert not plain.outside(100 * normal(6, 2), TOPOLOGY).any()


def test_all_members_measure_the_same_samples():
    field, alone = networks(), GraphCoupled(width=5).double()
    x, slope = 3 + normal(7, 6, 1), 5 * normal(7, 6, 1, seed=1)
    field.members(0.0, x[0], TOPOLOGY)
    for one in (field, alone):
        one.standardize(x, slope)
    for k in range(field.size):
        for name, value in alone.named_buffers():
            torch.testing.assert_close(dict(field.pick(k).named_buffers())[name], value)
    torch.testing.assert_close(
        field.members(0.0, x[0], TOPOLOGY), one_by_one(field, x[0], TOPOLOGY)
    )


class Summing(GraphCoupled):
    """Says what it sees: the state and the sum of its neighbours'."""

    def watched(self, x, topology):
        return torch.cat([x, self.own.layers[0].bias[0] + topology.adjacency() @ x], dim=-1)


def test_what_networks_see_is_told_by_every_member():
    x, plain, telling = normal(6, 1), networks(), Ensemble(Summing(width=5), 3).double()
    assert torch.equal(plain.seen(x, TOPOLOGY), x.expand(4, 6, 1))
    bias = telling.member.own.layers[0].bias[:, :1, None]
    wanted = torch.cat([x.expand(3, 6, 1), bias + TOPOLOGY.adjacency() @ x], dim=-1)
    torch.testing.assert_close(telling.seen(x, TOPOLOGY), wanted)


def test_inputs_and_parameters_are_those_of_a_member():
    field = Ensemble(MLPField(dim=2, width=4, inputs=1, attributes=2), 2)
    assert (field.inputs, field.attributes, field.dim) == (1, 2, 2)
