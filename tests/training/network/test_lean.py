"""The coupled series in NumPy gives the numbers of that in tensors."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from simlearn.dynamics.coupledseries import CoupledSeries
from simlearn.state import Graph, Topology
from simlearn.training.network.lean import Lean
from simlearn.training.network.tangent import Tangent

KINDS = [
    {"own": 4, "pair": 0},
    {"own": 0, "pair": 4},
    {"own": 12, "pair": 8, "weight": 0, "aggregation": "mean"},
    {"dim": 2, "own": 5, "pair": 4, "angles": [0]},
    {"dim": 3, "own": 6, "pair": 4, "angles": [0, 2], "node": [1]},
    {"dim": 2, "own": 4, "pair": 5, "node": [0, 1]},
    {"dim": 1, "own": 5, "angles": [0], "node": [0]},
]


@pytest.fixture(params=KINDS, ids=str)
def drawn(request):
    """A series, sets of coefficients, and states of a copy for each, inside and outside."""
    rng = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    topology = Topology(
        Graph(torch.randint(20, (2, 70), generator=rng), 20),
        node_attr=1 + noise(20, 2) ** 2,
        edge_attr=noise(70, 1) ** 2,
    )
    series = CoupledSeries(**request.param).requires_grad_(False)
    series.measure(noise(300, series.dim), topology.node_attr)
    sets = noise(3, *series.coefficients.shape)
    series.coefficients.copy_(sets[0])
    return series, topology, sets, noise(3, 20, series.dim)


def same(found, wanted):
    np.testing.assert_allclose(found, wanted.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("wide", [0.3, 3.0], ids=["inside", "also outside"])
def test_rates_of_all_sets(drawn, wide):
    series, topology, sets, x = drawn
    found = Lean(series, topology, sets).rate((wide * x).numpy())
    for k, one in enumerate(sets):
        series.coefficients.copy_(one)
        same(found[k], series(0.0, wide * x[k], topology))
    few = Lean(series, topology, sets)
    few.only(np.array([True, False, True]))
    same(few.rate((wide * x[[0, 2]]).numpy()), torch.from_numpy(found[[0, 2]]))


def test_one_set_for_all_copies(drawn):
    series, topology, _, x = drawn
    lean = Lean(series, topology)
    wanted = torch.cat([series.columns(one, topology) for one in x])
    same(lean.columns(x.numpy()), wanted)
    same(lean.rate(x.numpy()), torch.stack([series(0.0, one, topology) for one in x]))


@pytest.mark.parametrize("wide", [0.3, 3.0], ids=["inside", "also outside"])
def test_parts_of_the_tangent(drawn, wide):
    series, topology, _, x = drawn
    found = Lean(series, topology).jet(wide * x[:1].numpy())
    for name, wanted in series.jet(wide * x[0], topology)._asdict().items():
        same(getattr(found, name), wanted)


def test_a_state_that_is_no_number_has_no_rate(drawn):
    series, topology, _, x = drawn
    x[0, 3] = torch.nan
    with np.errstate(invalid="ignore"):
        found = Lean(series, topology).rate(x[:1].numpy())
    assert np.isnan(found[0, 3]).all()


@pytest.mark.parametrize("full", [True, False])
def test_the_tangent_as_a_matrix(drawn, full, monkeypatch):
    """Full or sparse, it multiplies as forward mode does through the series."""
    series, topology, _, x = drawn
    monkeypatch.setattr("simlearn.training.network.tangent.FILLED", 0.0 if full else 1.0)
    tangent = Tangent(series, topology)
    assert (tangent.full is not None) == full
    at = 0.3 * x[0]
    product = tangent.at(Lean(series, topology).jet(at[None].numpy()))
    rng = torch.Generator().manual_seed(1)
    along = torch.randn(at.numel(), 4, generator=rng, dtype=torch.float64)
    for k, found in enumerate(product(along).T):
        direction = along[:, k].reshape(at.shape)
        _, wanted = torch.func.jvp(lambda y: series(0.0, y, topology), (at,), (direction,))
        torch.testing.assert_close(found.reshape(at.shape), wanted, rtol=1e-10, atol=1e-10)


def test_nothing_is_told_of_sparse_tensors_that_are_new_to_torch():
    """It warns once in a process, whoever makes the first one."""
    line = (
        "import torch; from simlearn.state import Graph, Topology;"
        "from simlearn.dynamics.coupledseries import CoupledSeries;"
        "from simlearn.training.network.lean import Lean;"
        "from simlearn.training.network.tangent import Tangent;"
        "t = Topology(Graph(torch.tensor([[0, 1], [1, 2]]), 90)); s = CoupledSeries();"
        "x = torch.rand(1, 90, 1, dtype=torch.float64); s.measure(x[0]);"
        "p = Tangent(s, t).at(Lean(s, t).jet(x.numpy())); print(p(x[0]).shape)"
    )
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "90" in done.stdout
