"""Plain fields and maps: standardising, flattening, the Hénon map, estimates."""

import math

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import Estimate, Flattened, HenonMap, MLPField, ResidualMap
from simlearn.state import Topology


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def test_standardising_takes_centre_spread_and_rate_by_column(seeded):
    field = MLPField(dim=2, width=8).double()
    x = normal(50, 3, 2) * torch.tensor([2.0, 5.0]) + torch.tensor([1.0, -3.0])
    slope = normal(50, 3, 2, seed=1) * torch.tensor([0.1, 7.0])
    field.standardize(x, slope)
    flat, rate = x.reshape(-1, 2), slope.reshape(-1, 2)
    torch.testing.assert_close(field.centre, flat.mean(0))
    torch.testing.assert_close(field.spread, flat.std(0))
    torch.testing.assert_close(field.rate, rate.square().mean(0).sqrt())
    wanted = field.net((x[0] - flat.mean(0)) / flat.std(0)) * field.rate
    torch.testing.assert_close(field(0.0, x[0], Topology.isolated(3)), wanted)


@pytest.mark.parametrize("constant", [0.0, 0.1, -1 / 3, 1e9])
@pytest.mark.parametrize("samples", [1, 7, 1000])
def test_a_constant_column_keeps_the_unit_one(seeded, constant, samples):
    field = MLPField(dim=2, width=8).double()
    x, slope = normal(samples, 3, 2), normal(samples, 3, 2, seed=1)
    x[..., 1] = constant
    slope[..., 0] = 0
    field.standardize(x, slope)
    assert float(field.spread[1]) == 1.0
    assert float(field.rate[0]) == 1.0
    answer = field(0.0, x.reshape(-1, 2), Topology.isolated(3 * samples))
    assert answer.isfinite().all()
    assert answer.abs().max() > 0


@pytest.mark.filterwarnings("ignore:std")
def test_a_single_sample_keeps_the_unit_one(seeded):
    field = MLPField(dim=2, width=8).double()
    x = normal(1, 1, 2)
    field.standardize(x, normal(1, 1, 2, seed=1))
    assert field.spread.tolist() == [1.0, 1.0]
    assert field(0.0, x[0], Topology.isolated(1)).isfinite().all()


@pytest.mark.parametrize("kind", [MLPField, ResidualMap])
@pytest.mark.parametrize("argument", ["dim", "width", "depth"])
def test_a_network_refuses_sizes_below_one(kind, argument):
    with pytest.raises(ConfigError, match=f"{argument} must be at least 1, got -1"):
        kind(**{"dim": 2, argument: -1})


def test_a_residual_map_moves_by_the_step_times_the_network(seeded):
    step = ResidualMap(dim=2, width=8).double()
    x, topology = normal(3, 2), Topology.isolated(3)
    torch.testing.assert_close(step(0.0, x, 0.25, topology), x + 0.25 * step.net(x))
    assert torch.equal(step(0.0, x, 0.0, topology), x)


@pytest.mark.parametrize(("b", "determinant"), [(-1.0, 1.0), (1.0, -1.0), (0.3, -0.3)])
def test_the_henon_map_scales_area_by_minus_b(b, determinant):
    step, topology = HenonMap(a=1.4, b=b), Topology.isolated(1)
    for x in normal(20, 1, 2):
        j = torch.func.jacrev(lambda s: step(0.0, s, 1.0, topology))(x).reshape(2, 2)
        assert float(torch.linalg.det(j)) == pytest.approx(determinant, abs=1e-14)


def test_the_henon_map_takes_the_step_of_the_paper():
    after = HenonMap(a=1.4, b=0.3)(0.0, torch.tensor([[0.5, 0.2]]).double(), 9.0, None)
    torch.testing.assert_close(after, torch.tensor([[0.2 + 1 - 1.4 * 0.25, 0.15]]).double())


def test_flattened_shows_the_field_one_row_a_system(seeded):
    inner = MLPField(dim=6, width=8).double()
    field = Flattened(inner, rows=3)
    x = normal(6, 2)
    wanted = inner(0.0, x.reshape(2, 6), Topology.isolated(2)).reshape(6, 2)
    assert torch.equal(field(0.0, x, Topology.complete(3).repeat(2)), wanted)
    assert field.dim == 2


@pytest.mark.parametrize(
    "topology",
    [
        Topology.complete(4),
        Topology.isolated(6),
        Topology.complete(2).repeat(2),
        Topology.union([Topology.complete(2), Topology.complete(4)]),
    ],
    ids=["one of four", "six of one", "two of two", "two and four"],
)
def test_flattened_refuses_systems_of_another_size(seeded, topology):
    field = Flattened(MLPField(dim=6, width=8).double(), rows=3)
    with pytest.raises(ConfigError, match="made for 3 rows a system"):
        field(0.0, normal(topology.rows, 2), topology)


def test_flattened_refuses_a_field_that_it_cannot_cut():
    with pytest.raises(ConfigError, match="multiple of 4, got 6"):
        Flattened(MLPField(dim=6), rows=4)


def test_flattened_standardises_every_coordinate_of_every_row(seeded):
    inner = MLPField(dim=6, width=8).double()
    x, slope = normal(40, 3, 2), normal(40, 3, 2, seed=1)
    Flattened(inner, rows=3).standardize(x, slope)
    torch.testing.assert_close(inner.centre, x.reshape(40, 6).mean(0))
    torch.testing.assert_close(inner.rate, slope.reshape(40, 6).square().mean(0).sqrt())


@pytest.mark.parametrize(
    ("value", "error", "positive", "determined"),
    [
        (2.0, 0.1, True, True),
        (2.0, 1.0, True, True),
        (2.0, 1.01, True, False),
        (-2.0, 0.1, True, False),
        (-2.0, 0.1, False, True),
        (-2.0, 1.01, False, False),
        (0.0, 0.0, False, False),
        (math.nan, 0.1, True, False),
        (2.0, math.nan, True, False),
        (2.0, math.inf, True, False),
    ],
)
def test_an_estimate_is_determined_by_error_and_sign(value, error, positive, determined):
    assert Estimate(value, error, positive=positive).determined is determined


def test_the_relative_error_of_nothing_is_infinite():
    assert Estimate(0.0, 1e-9).relative_error == math.inf
    assert Estimate(-4.0, 1.0).relative_error == 0.25


def test_a_flattened_field_sees_inputs_and_parameters_of_all_rows(seeded):
    """Standardized and driven: [rows · u] inputs and the parameters of the system."""
    field = Flattened(MLPField(dim=6, width=8, inputs=3, attributes=2), rows=3).double()
    assert (field.inputs, field.attributes) == (1, 2)
    x, slope = normal(10, 3, 2, seed=1), normal(10, 3, 2, seed=2)
    inputs, shared = normal(10, 3, 1, seed=3), normal(10, 1, 2, seed=4).expand(10, 3, 2)
    field.standardize(x, slope, torch.cat([inputs, shared], dim=-1))
    wanted = torch.cat([x.flatten(1), inputs.flatten(1), shared[:, 0]], dim=-1)
    torch.testing.assert_close(field.field.centre, wanted.mean(0))
    topology = Topology.complete(3).replace(inputs=inputs[0], system_attr=shared[0, :1])
    answer = field(0.0, x[0], topology)
    assert answer.shape == (3, 2)
    moved = topology.replace(inputs=inputs[0] + 1)
    assert not torch.equal(answer, field(0.0, x[0], moved))
