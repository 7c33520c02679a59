"""The test of states: exact ranks, size, power, and members that agree or are lost."""

import pytest
import torch

from simlearn import ConfigError, DataError, Graph, Topology
from simlearn.analysis.significance import ranks, resampled, rolled, significance

WEIGHTS = torch.linspace(-1, 1, 8, dtype=torch.float64)


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def uniform(rows, rng):
    return torch.rand(rows, 1, generator=rng, dtype=torch.float64)


def star(rows):
    leaves = torch.arange(1, rows)
    edges = torch.stack([torch.zeros_like(leaves), leaves])
    return Topology(Graph(torch.cat([edges, edges.flip(0)], dim=1), rows))


def members(x, topology):
    """Eight laws that part more the larger a state is, and by how much a node is linked."""
    felt = topology.adjacency() @ x.square()
    return torch.stack([w * (x**3 + felt * x) + w**2 * felt + x for w in WEIGHTS])


def states(count, rows, stretch=1.0, seed=50):
    rng = torch.Generator().manual_seed(seed)
    return stretch * torch.stack([uniform(rows, rng) for _ in range(count)])


def test_p_is_the_rank_among_the_null():
    null = torch.arange(9.0)[:, None]
    for observed, p in ((-1.0, 1.0), (0.0, 1.0), (4.5, 0.5), (8.0, 0.2), (9.0, 0.1)):
        assert float(ranks.p_value(torch.tensor([observed]), null)) == pytest.approx(p)


def test_the_combined_p_is_uniform_over_the_draws():
    """Every one of K + 1 draws in the place of the observation: each p from 1/(K+1) once."""
    drawn = normal(40, 3, 2)
    drawn[..., 1] += 0.7 * drawn[..., 0]
    p = torch.stack([ranks.combined(drawn[k], drawn[torch.arange(40) != k]) for k in range(40)])
    wanted = torch.arange(1, 41, dtype=p.dtype) / 40
    for column in p.sort(0).values.T:
        assert (column >= wanted - 1e-9).all()  # ties make it no smaller
        assert (column - wanted).max() < 0.06


def test_the_combined_p_of_one_null_for_all_is_that_of_each():
    observed, null = normal(5, 2, seed=1), normal(60, 1, 2)
    together = ranks.combined(observed, null)
    assert torch.equal(together, ranks.combined(observed, null.expand(60, 5, 2)))
    alone = torch.cat([ranks.combined(one[None], null) for one in observed])
    assert torch.equal(together, alone)


def test_false_discoveries_are_adjusted_as_benjamini_and_hochberg_say():
    p = torch.rand(4, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    found = ranks.benjamini_hochberg(p)
    for row, adjusted in zip(p.tolist(), found.tolist(), strict=True):
        for level in (0.01, 0.05, 0.2):
            ordered = sorted(row)
            passed = [k for k in range(30) if ordered[k] <= level * (k + 1) / 30]
            cut = ordered[passed[-1]] if passed else -1.0
            assert [q <= level for q in adjusted] == [one <= cut for one in row]


@pytest.mark.parametrize("apart", [False, True])
def test_nodes_are_ranked_among_all_nodes_of_all_draws(apart):
    observed, null = normal(3, 7), normal(5, 3 if apart else 1, 7, seed=1)
    null[0, 0, :3] = observed[0, :3]
    pool = ranks.Pool(observed, apart)
    for one in null:
        pool.add(one)
    for s in range(3):
        everything = torch.cat([observed[s], null[:, s if apart else 0].flatten()])
        wanted = [float((everything >= z).double().mean()) for z in observed[s]]
        torch.testing.assert_close(pool.p()[s], torch.tensor(wanted, dtype=torch.float64))


def test_states_of_the_distribution_are_rejected_as_often_as_asked():
    topology = star(30)
    found = significance(members, topology, states(600, 30), uniform, null=399)
    # one null for all: its own deviation, .011, and that of the count, .009
    for p in (found.p, found.p_mean, found.p_top, found.node_p[:, 0], found.node_p[:, 7]):
        assert abs(float((p <= 0.05).double().mean()) - 0.05) < 0.036
    assert abs(float((found.node_p <= 0.05).double().mean()) - 0.05) < 0.01
    assert float(found.rejected_nodes.any(1).double().mean()) < 0.1
    assert abs(float(found.z[:, 0].mean())) < 0.3  # the hub is judged by what is usual for a hub


def test_stretched_states_are_rejected_and_one_odd_node_is_found():
    topology, odd = star(30), states(20, 30)
    odd[:, 11] = 3.0
    stretched = significance(members, topology, states(20, 30, 2.0), uniform)
    assert stretched.rejected.all()
    assert (stretched.p >= 1 / 200).all()
    found = significance(members, topology, odd, uniform)
    assert found.rejected_nodes[:, 11].all()
    others = found.rejected_nodes[:, [k for k in range(1, 30) if k != 11]]
    assert float(others.double().mean()) < 0.05
    assert (found.p_top < found.p_mean).double().mean() > 0.6


def test_the_size_of_the_answers_and_of_each_column_does_not_count():
    topology, x = star(12), states(5, 12).expand(5, 12, 2) * torch.tensor([1.0, 2.0]).double()

    def two(rows, rng):
        return uniform(rows, rng) * torch.tensor([1.0, 2.0]).double()

    def scaled(y, t):
        return members(y, t) * torch.tensor([1e6, 1e-6]).double()

    plain = significance(members, topology, x, two)
    torch.testing.assert_close(significance(scaled, topology, x, two).z, plain.z)


def test_the_draws_follow_from_the_seed_and_not_from_how_many_states_are_asked():
    topology, x = star(10), states(7, 10)
    whole = significance(members, topology, x, uniform, null=19, reference=10)
    alone = significance(members, topology, x[2:3], uniform, null=19, reference=10)
    torch.testing.assert_close(whole.z[2:3], alone.z)
    assert torch.equal(whole.p[2:3], alone.p)
    other = significance(members, topology, x, uniform, null=19, reference=10, seed=1)
    assert not torch.equal(whole.z, other.z)


def test_draws_in_pieces_are_the_same_draws(monkeypatch):
    topology, x = star(10), states(7, 10)
    whole = significance(members, topology, x, uniform, null=19, reference=10)
    monkeypatch.setattr("simlearn.analysis.significance.states.ROWS", 30)
    told = []
    pieces = significance(
        members, topology, x, uniform, null=19, reference=10, progress=lambda *at: told.append(at)
    )
    torch.testing.assert_close(whole.z, pieces.z)
    assert torch.equal(whole.p, pieces.p)
    assert told[0] == (3, 29)
    assert told[-1] == (29, 29)


def test_members_that_agree_everywhere_give_no_doubt():
    topology = star(6)
    same = significance(
        lambda x, t: x.expand(4, *x.shape), topology, states(3, 6), uniform, null=19
    )
    assert same.z.abs().max() < 1e-9
    assert (same.p == 1).all()
    assert not same.rejected_nodes.any()

    def agree_at_rest(x, t):
        """Velocities are nobody's opinion; accelerations are."""
        return torch.cat([x[:, 1:].expand(8, *x[:, 1:].shape), members(x[:, :1], t)], dim=-1)

    def moving(rows, rng):
        return torch.cat([uniform(rows, rng), uniform(rows, rng)], dim=-1)

    x = torch.cat([states(3, 6, 2.0), states(3, 6)], dim=-1)
    half = significance(agree_at_rest, topology, x, moving)
    assert half.rejected.all()


def test_a_state_that_is_lost_is_as_unusual_as_can_be():
    topology, x = star(6), states(3, 6)
    x[1, 2] = torch.nan
    x[2, 0] = 1e200
    found = significance(members, topology, x, uniform, null=99)
    assert found.p[1:].tolist() == [0.01, 0.01]
    assert found.z.isfinite().all()


def test_a_path_is_compared_time_by_time():
    topology, rate = star(20), torch.tensor([0.0, 1.0, 2.0]).double()

    def grown(x0):
        return x0 * (1 + rate)[:, None, None]

    draw = rolled(states(50, 20), grown)
    paths = torch.stack([grown(one) for one in states(200, 20, seed=77)])
    p = torch.stack([significance(members, topology, one, draw, null=39).p for one in paths[:40]])
    assert float((p <= 0.05).double().mean()) < 0.15
    late = significance(members, topology, paths[0] * torch.tensor([1, 1, 1.6]).view(3, 1, 1), draw)
    assert late.rejected.tolist() == [False, False, True]
    together = significance(members, topology, paths[:, 2], resampled(states(50, 20)), null=39)
    assert together.rejected.all()  # usual states of late, unusual among first ones


def test_draws_of_the_wrong_shape_and_single_members_are_refused():
    topology, x = star(4), states(2, 4)
    with pytest.raises(DataError, match=r"draw must give \[4, 1\] or \[2, 4, 1\]"):
        significance(members, topology, x, lambda rows, rng: uniform(rows + 1, rng))
    with pytest.raises(ConfigError, match="one only"):
        significance(lambda y, t: y[None], topology, x, uniform)
    with pytest.raises(ConfigError, match="null is a number of draws"):
        significance(members, topology, x, uniform, null=1)
    with pytest.raises(DataError, match="on 4 rows"):
        significance(members, topology, x[0], uniform)
    with pytest.raises(DataError, match="1 of them not finite"):
        resampled(torch.tensor([[1.0], [torch.nan]]))
