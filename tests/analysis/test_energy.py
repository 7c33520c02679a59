"""Energy of data by direction, and the subspace where data live: awkward data too."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simlearn import ConfigError, DataError
from simlearn.analysis.energy import energy, rounding, threshold, threshold_of_steps, unit_of
from simlearn.analysis.graphs import fourier, local_inputs, node_share, undetermined, wave_energy
from simlearn.analysis.local import LocalNormals
from simlearn.analysis.subspace import looks_at_whole, subspace
from simlearn.dynamics import Flattened, MLPField
from simlearn.state import Graph, Topology, Trajectory

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def trajectory(x, dt=0.1, topology=None):
    """States ``[steps, dim]`` of one vector system, or of a topology."""
    t = dt * torch.arange(len(x), dtype=F64)
    return Trajectory(t, x if topology else x[:, None], topology or Topology.isolated(1))


def eye(n):
    return torch.eye(n, dtype=F64)


# Energy


@given(seed=st.integers(0, 100), count=st.integers(1, 60), n=st.integers(1, 8))
@settings(max_examples=40, deadline=None, derandomize=True)
def test_energies_are_the_eigenvalues_of_the_second_moment(seed, count, n):
    x = normal(count, n, seed=seed) * 3 + normal(n, seed=seed + 1)
    for centred in (False, True):
        found = energy(x, centred=centred)
        z = (x - (x.mean(0) if centred else 0)) / found.scale
        c = z.T @ z / count
        wanted = torch.linalg.eigvalsh(c).flip(0)
        size = float(wanted[0].abs()) + 1e-300
        torch.testing.assert_close(found.values, wanted, rtol=0, atol=1e-12 * size)
        u = found.directions
        torch.testing.assert_close(u.T @ u, eye(n), rtol=0, atol=1e-12)
        torch.testing.assert_close(u * found.values @ u.T, c, rtol=0, atol=1e-12 * size)
        assert found.values.shape == (n,)
        assert found.samples == count
        assert float(found.values.min()) >= 0


def test_what_the_report_derives_from_energies():
    found = energy(normal(400, 3), scale=torch.tensor([1.0, 1.0, 1e6]))
    torch.testing.assert_close(found.cumulative[-1], torch.tensor(1.0, dtype=F64))
    assert found.participation == pytest.approx(2.0, rel=0.05)
    assert found.rank == 3
    kinds = found.kinds(10.0)
    assert kinds == ["learned", "learned", "slow"]
    assert found.basis(kinds, "learned").shape == (3, 2)
    assert found.basis(kinds, "slow", "null").shape == (3, 1)
    assert found.basis(kinds, "null").shape == (3, 0)
    assert found.kinds() == ["learned"] * 3


def test_units_do_not_matter():
    x = normal(100, 3) @ normal(3, 3, seed=1)
    one, other = energy(x, centred=True), energy(x * torch.tensor([1e-9, 1.0, 1e12]), centred=True)
    torch.testing.assert_close(one.values, other.values, rtol=1e-9, atol=0)


def test_a_constant_channel_takes_the_unit_of_the_others_and_is_a_null_direction():
    x = normal(200, 3)
    x[:, 1] = 1e5 / 3
    found = energy(x, centred=True)
    typical = found.scale[[0, 2]].square().mean().sqrt()
    assert float(found.scale[1]) == pytest.approx(float(typical))
    assert found.rank == 2
    null = found.basis(found.kinds(), "null")
    torch.testing.assert_close(null.abs(), eye(3)[:, 1:2], rtol=0, atol=1e-9)
    raw = energy(x)
    assert raw.rank == 3  # the value itself has energy, only the Jacobian has none
    assert float(raw.values[0]) == pytest.approx(1e10 / 9 / float(typical) ** 2, rel=1e-6)


def test_rounding_on_a_constant_is_no_spread():
    x = 7.0 + 1e-15 * normal(100, 1)
    assert float(unit_of(x)[0]) == 1.0
    assert float(unit_of(7.0 + 1e-6 * normal(100, 1))[0]) < 1e-5


def test_fewer_samples_than_dimensions():
    found = energy(normal(3, 6))
    assert found.values.shape == (6,)
    assert found.rank == 3
    assert found.kinds()[3:] == ["null"] * 3
    u = found.directions
    torch.testing.assert_close(u.T @ u, eye(6), rtol=0, atol=1e-12)
    assert energy(normal(3, 6), centred=True).rank == 2
    assert energy(normal(1, 4), centred=True).rank == 0


def test_zero_data_have_no_rank():
    for x in (torch.zeros(10, 3, dtype=F64), torch.ones(10, 3, dtype=F64)):
        found = energy(x, centred=True)
        assert found.rank == 0
        assert found.kinds() == ["null"] * 3


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_none_are_refused(bad):
    x = normal(10, 3)
    x[4, 1] = bad
    with pytest.raises(DataError, match="finite"):
        energy(x)
    with pytest.raises(DataError, match="finite"):
        subspace([trajectory(x)])


@pytest.mark.parametrize("x", [torch.zeros(0, 3), torch.zeros(3)])
def test_no_samples_are_refused(x):
    with pytest.raises(DataError, match="samples"):
        energy(x)


def test_negative_noise_is_refused():
    with pytest.raises(ConfigError, match="noise"):
        energy(normal(10, 2), noise=-0.1)


def test_rounding_is_that_of_the_numbers_not_of_their_dtype():
    x = normal(10, 2)
    assert rounding(x) == torch.finfo(F64).eps
    assert rounding(x.float()) == rounding(x.float().double()) == torch.finfo(torch.float32).eps


def test_the_floor_follows_the_precision_of_the_data():
    """100 ε² of the energy; a direction at 1e-12 is told in float64 and not in float32."""
    u = torch.linalg.qr(normal(2, 2))[0]
    white = torch.linalg.qr(normal(100, 2, seed=1))[0] * 10
    x = white * torch.tensor([1.0, 1e-7], dtype=F64) @ u.T
    ones = torch.ones(2)
    assert energy(x, scale=ones).rank == 2
    assert energy(x.float(), scale=ones).rank == 1
    assert energy(x, scale=ones, precision=1e-6).rank == 1


@pytest.mark.parametrize(
    ("time", "tolerance"), [(0.0, 0.1), (-1.0, 0.1), (math.nan, 0.1), (1.0, 0.0), (1.0, 1.0)]
)
def test_impossible_thresholds_are_refused(time, tolerance):
    with pytest.raises(ConfigError):
        threshold(time, tolerance)
    with pytest.raises(ConfigError):
        energy(normal(5, 2)).kinds(time, tolerance)


def test_thresholds():
    assert threshold(10.0, math.exp(-1)) == pytest.approx(0.1)
    assert threshold_of_steps(0.5, 1, 0.1) == pytest.approx(1.8)


# Subspace


def plane(steps=200, dt=0.1, slow=0.0):
    """A rotation on an oblique plane of four dimensions."""
    t = dt * torch.arange(steps, dtype=F64)
    frame = torch.linalg.qr(normal(4, 4, seed=5))[0]
    z = torch.stack([torch.cos(t), torch.sin(t), slow * torch.cos(2 * t), 0 * t], -1)
    return z @ frame.T + torch.tensor([1.0, -2.0, 0.5, 3.0]), frame


def test_the_frame_of_a_plane():
    x, frame = plane()
    found = subspace([trajectory(x)])
    assert found.kinds == ["learned", "learned", "null", "null"]
    assert found.data.shape == found.normal.shape == (4, 2)
    p = found.projector
    torch.testing.assert_close(p @ p, p, rtol=0, atol=1e-12)
    off = x - x.mean(0)
    torch.testing.assert_close(off @ p.T, off, rtol=0, atol=1e-12)
    assert float(p.trace()) == pytest.approx(2.0)
    torch.testing.assert_close(p @ frame[:, :2], frame[:, :2], rtol=0, atol=1e-12)


def test_the_rate_is_that_of_the_motion():
    """A rotation of frequency 1 at the small steps of the differences."""
    x, _ = plane(steps=629, dt=0.01)
    assert subspace([trajectory(x, 0.01)]).rate == pytest.approx(1.0, rel=5e-3)
    assert subspace([trajectory(x, 0.02)]).rate == pytest.approx(0.5, rel=5e-3)


def test_weak_directions_are_slow_where_training_is_short():
    x, _ = plane(slow=1e-2)
    assert subspace([trajectory(x)]).kinds[2] == "learned"
    assert subspace([trajectory(x)], training_time=10.0).kinds[2] == "slow"
    assert subspace([trajectory(x)], noise=0.05).kinds[2] == "null"


@pytest.mark.parametrize("value", [0.0, 1.0, 1e8 / 3])
def test_data_that_never_move_are_refused(value):
    with pytest.raises(DataError, match="rank zero"):
        subspace([trajectory(torch.full((20, 3), value, dtype=F64))])


def test_no_data_are_refused():
    with pytest.raises(DataError, match="no training data"):
        subspace([])


def test_rows_are_samples_or_systems_are():
    topology = Topology.complete(3).repeat(2)
    z = normal(50, 2, 1, 2)
    x = z.expand(50, 2, 3, 2).reshape(50, 6, 2)  # rows of a system move together
    data = [trajectory(x, topology=topology)]
    rows, whole = subspace(data), subspace(data, whole=True)
    assert rows.data.shape == (2, 2)
    assert whole.data.shape == (6, 2)
    assert whole.normal.shape == (6, 4)
    assert rows.rate == pytest.approx(whole.rate, rel=1e-9)
    assert looks_at_whole(Flattened(MLPField(6, 8), 3))
    assert not looks_at_whole(MLPField(2, 8))


def test_systems_sampled_at_their_own_times():
    x = torch.stack([plane(100, 0.1)[0], plane(100, 0.1)[0]], 1)
    t = torch.arange(100, dtype=F64)[:, None] * torch.tensor([0.1, 0.2])
    found = subspace([Trajectory(t, x, Topology.isolated(2))])
    one = subspace([trajectory(x[:, 0])]).rate
    assert found.rate == pytest.approx(one * math.sqrt((1 + 0.25) / 2), rel=1e-6)


def test_float32_data_show_the_same_frame():
    x, _ = plane()
    found = subspace([trajectory(x.float())])
    assert found.kinds == ["learned", "learned", "null", "null"]
    torch.testing.assert_close(
        found.projector, subspace([trajectory(x)]).projector, atol=1e-5, rtol=0
    )


# Graphs


def path(rows):
    here = torch.arange(rows - 1)
    return Topology(
        Graph(torch.cat([torch.stack([here, here + 1]), torch.stack([here + 1, here])], 1), rows)
    )


def test_without_edges_a_row_is_its_own_input():
    topology = Topology(Graph(torch.zeros(2, 0, dtype=torch.int64), 3))
    x = normal(4, 3, 2)
    torch.testing.assert_close(local_inputs(x, topology), x.flatten(0, 1))
    known, unknown = undetermined(eye(2)[:, 1:], topology, 2)
    assert known.shape == (6, 3)
    torch.testing.assert_close(known[1::2], torch.zeros(3, 3, dtype=F64))
    assert unknown.shape == (6, 3)


def test_local_inputs_are_pairs_of_source_and_target():
    x = normal(4, 3, 2)
    found = local_inputs(x, path(3))
    assert found.shape == (16, 4)
    torch.testing.assert_close(found[0], torch.cat([x[0, 0], x[0, 1]]))
    torch.testing.assert_close(found[2], torch.cat([x[0, 1], x[0, 0]]))


def test_what_is_undetermined_by_brute_force():
    """P₀ L(e) for every edge, against the Gram matrix."""
    topology, dim = path(5), 2
    null = torch.linalg.qr(normal(4, 2, seed=3))[0]
    source, target = topology.graph.edge_index
    rows = []
    for i, j in zip(source.tolist(), target.tolist(), strict=True):
        one = torch.zeros(4, 10, dtype=F64)
        one[:2, 2 * i : 2 * i + 2] = eye(2)
        one[2:, 2 * j : 2 * j + 2] = eye(2)
        rows.append(null.T @ one)
    _, s, v = torch.linalg.svd(torch.cat(rows), full_matrices=True)
    s = torch.cat([s, s.new_zeros(10 - len(s))])
    known, unknown = undetermined(null, topology, dim)
    wanted = v.mT[:, s < 1e-7]
    torch.testing.assert_close(known @ known.T, wanted @ wanted.T, rtol=0, atol=1e-9)
    torch.testing.assert_close(known @ known.T + unknown @ unknown.T, eye(10), rtol=0, atol=1e-9)


def test_data_with_energy_everywhere_determine_all():
    known, unknown = undetermined(torch.zeros(4, 0, dtype=F64), path(4), 2)
    assert known.shape == (8, 8)
    assert unknown.shape == (8, 0)


def test_waves_of_a_path():
    """Eigenvalues 2 − 2 cos(π k / n)."""
    values, waves = fourier(path(6))
    wanted = 2 - 2 * torch.cos(math.pi * torch.arange(6, dtype=F64) / 6)
    torch.testing.assert_close(values, wanted, rtol=0, atol=1e-12)
    common = torch.full((6,), 1 / math.sqrt(6), dtype=F64)
    torch.testing.assert_close(waves[:, 0].abs(), common, rtol=0, atol=1e-12)


def test_shares_of_waves_and_nodes():
    _, waves = fourier(path(6))
    directions = torch.einsum("r,d->rd", waves[:, 2], torch.tensor([0.6, 0.8], dtype=F64))
    share = wave_energy(directions.reshape(12, 1), path(6), 2)
    torch.testing.assert_close(share[:, 0], eye(6)[2], rtol=0, atol=1e-12)
    nodes = node_share(directions.reshape(12, 1), 2)
    torch.testing.assert_close(nodes[:, 0], waves[:, 2].square(), rtol=0, atol=1e-12)


# Curved sets


def test_a_plane_in_space_has_one_normal():
    x = normal(300, 2) @ torch.linalg.qr(normal(3, 2, seed=4))[0].T
    normals = LocalNormals(x, neighbours=12)
    assert normals.dimension == 2
    assert normals.thickness < 1e-20
    n = normals(x[:5])
    assert n.shape == (5, 3, 1)
    assert float((x[:, None] @ n[0]).abs().max()) < 1e-10
    distance, nearest = normals.nearest(x[:3] + 1e-3 * n[:3, :, 0])
    torch.testing.assert_close(nearest, x[:3])
    torch.testing.assert_close(distance, torch.full((3,), 1e-3, dtype=F64))


@pytest.mark.parametrize(
    ("neighbours", "dimension", "error"),
    [(2, None, ConfigError), (3, 3, ConfigError), (50, 1, DataError)],
)
def test_impossible_neighbourhoods_are_refused(neighbours, dimension, error):
    with pytest.raises(error):
        LocalNormals(normal(20, 4), neighbours, dimension)
