"""The topology: lengths, the one reduction, unions and copies."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlearn.component import DataError
from simlearn.state import Graph, Topology


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def ragged(sizes):
    return Topology.union([Topology.complete(n) for n in sizes])


def summed(topology, value):
    """Row by row, in a loop."""
    total = torch.zeros(topology.num_systems, *value.shape[1:], dtype=value.dtype)
    for row, system in enumerate(topology.system.tolist()):
        total[system] += value[row]
    return total


CASES = [
    pytest.param(Topology.isolated(5), id="isolated"),
    pytest.param(Topology.isolated(1), id="one row"),
    pytest.param(Topology.complete(4), id="single"),
    pytest.param(ragged([3, 1, 4]), id="ragged"),
    pytest.param(Topology.complete(3).repeat(4), id="repeated"),
]


@pytest.mark.parametrize("topology", CASES)
@pytest.mark.parametrize("tail", [(), (2,), (2, 3)])
def test_per_system_equals_a_loop(topology, tail):
    value = normal(topology.rows, *tail)
    torch.testing.assert_close(
        topology.per_system(value), summed(topology, value), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("topology", CASES)
def test_per_system_sums_along_the_dimension_asked_for(topology):
    value = normal(6, topology.rows, 2)
    wanted = torch.stack([summed(topology, one) for one in value])
    torch.testing.assert_close(topology.per_system(value, dim=1), wanted, rtol=0, atol=1e-14)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 2**31))
def test_reduction_and_broadcast_agree_on_random_ragged_unions(sizes, seed):
    topology = ragged(sizes)
    assert topology.num_systems == len(sizes)
    assert torch.bincount(topology.system, minlength=len(sizes)).tolist() == sizes
    value = normal(topology.rows, 2, seed=seed)
    torch.testing.assert_close(
        topology.per_system(value), summed(topology, value), rtol=0, atol=1e-13
    )
    each = normal(topology.num_systems, 2, seed=seed + 1)
    spread = topology.per_row(each)
    assert torch.equal(spread, each[topology.system])
    torch.testing.assert_close(
        topology.per_system(spread),
        each * torch.tensor(sizes, dtype=torch.float64)[:, None],
        rtol=1e-14,
        atol=1e-13,
    )


def test_as_many_systems_as_rows_is_no_shortcut_by_itself():
    swapped = Topology(Graph(torch.zeros((2, 0), dtype=torch.int64), 3), num_systems=3,
                       system=torch.tensor([0, 0, 2]))  # fmt: skip
    assert swapped.per_system(torch.tensor([1.0, 2.0, 4.0])).tolist() == [3.0, 0.0, 4.0]


@pytest.mark.parametrize(
    ("name", "length", "wanted"),
    [
        ("edge_attr", 5, 6),
        ("node_attr", 4, 3),
        ("node_type", 2, 3),
        ("inputs", 1, 3),
        ("system", 2, 3),
        ("system_attr", 3, 1),
    ],
)
def test_an_attribute_of_another_length_is_refused(name, length, wanted):
    kind = torch.int64 if name in ("node_type", "system") else torch.float64
    value = torch.zeros((length, 1) if kind == torch.float64 else (length,), dtype=kind)
    with pytest.raises(DataError, match=f"{name} has {length} entries, .* needs {wanted}"):
        Topology.complete(3).replace(**{name: value})


def test_several_systems_need_to_know_their_rows():
    with pytest.raises(DataError, match="2 systems needs `system`"):
        Topology(Graph(torch.zeros((2, 0), dtype=torch.int64), 4), num_systems=2)


def test_union_puts_every_attribute_in_order():
    parts = [
        Topology.complete(n, ("a", "b", "c")[:3]).replace(
            node_type=torch.arange(n),
            edge_attr=normal(n * (n - 1), 2, seed=n),
            node_attr=normal(n, 1, seed=n),
            system_attr=normal(1, 3, seed=n),
            inputs=normal(n, 2, seed=n),
        )
        for n in (3, 2)
    ]
    joined = Topology.union(parts)
    assert joined.node_names == ("a", "b", "c")
    assert joined.system.tolist() == [0, 0, 0, 1, 1]
    assert joined.node_type.tolist() == [0, 1, 2, 0, 1]
    for name in ("edge_attr", "node_attr", "system_attr", "inputs"):
        assert torch.equal(getattr(joined, name), torch.cat([getattr(p, name) for p in parts]))


def test_union_counts_the_systems_of_unions():
    joined = Topology.union([ragged([2, 1]), Topology.isolated(2)])
    assert joined.system.tolist() == [0, 0, 1, 2, 3]
    assert joined.num_systems == 4


def test_a_union_refuses_other_names_and_half_given_attributes():
    with pytest.raises(DataError, match="mix node names"):
        Topology.union([Topology.complete(2, ("a", "b")), Topology.complete(2, ("b", "a"))])
    weighted = Topology.complete(2).replace(edge_attr=normal(2, 1))
    with pytest.raises(DataError, match="carry edge_attr and some do not"):
        Topology.union([weighted, Topology.complete(2)])


def test_repeat_equals_a_union_and_is_made_once():
    one = Topology.complete(3, ("a", "b", "c")).replace(system_attr=normal(1, 2))
    four = one.repeat(4)
    assert four is one.repeat(4)
    assert one.repeat(1) is one
    union = Topology.union([one] * 4)
    assert four.graph.key == union.graph.key
    for name in ("system", "node_type", "system_attr"):
        assert torch.equal(getattr(four, name), getattr(union, name))


def test_replace_keeps_the_graph_with_its_caches():
    topology = Topology.complete(3)
    assert topology.replace(node_attr=normal(3, 1)).graph is topology.graph


def test_to_keeps_one_copy_and_is_itself_where_nothing_changes():
    topology = Topology.complete(3).replace(edge_attr=normal(6, 2))
    single = topology.to("cpu", torch.float32)
    assert single.edge_attr.dtype == torch.float32
    assert single is topology.to("cpu", torch.float32)
    assert single.graph is topology.graph
    assert topology.to("cpu") is topology
    assert topology.to("cpu", torch.float64) is topology
    assert Topology.isolated(2).to("meta").system.device.type == "meta"


@pytest.mark.parametrize("kind", [torch.int64, torch.bool])
@pytest.mark.parametrize("name", ["edge_attr", "node_attr", "system_attr", "inputs"])
def test_to_casts_real_attributes_only(name, kind):
    length = {"edge_attr": 6, "system_attr": 1}.get(name, 3)
    topology = Topology.complete(3).replace(**{name: torch.ones(length, 1, dtype=kind)})
    assert getattr(topology.to("cpu", torch.float32), name).dtype == kind
