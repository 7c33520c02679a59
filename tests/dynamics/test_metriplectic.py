"""GENERIC: energy is kept and entropy grows for any weights, any number of columns."""

import contextlib

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import Metriplectic
from simlearn.integrators import RK4
from simlearn.simulator import Simulator
from simlearn.state import Topology


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def states(rows, dim, seed=0, units=True):
    """States in columns of different units."""
    stretch = torch.logspace(-1, 1, dim, dtype=torch.float64)
    x = normal(rows, dim, seed=seed)
    return 2 + stretch * x if units else x


def loud(dim, units=True):
    """Random weights, larger than at the start of training; in units of `states`."""
    field = Metriplectic(dim, width=8).double().requires_grad_(False)
    for k, value in enumerate(field.parameters()):
        value.copy_(0.5 * normal(*value.shape, seed=k))
    if units:
        field.standardize(states(50, dim)[:, None], 3 * (states(50, dim, 1)[:, None] - 2))
    return field


def gradients(field, x, topology):
    """∇E and ∇S by automatic differentiation."""
    return [
        torch.func.grad(lambda s, of=of: of(s, topology).sum())(x)
        for of in (field.energy, field.entropy)
    ]


@pytest.mark.parametrize("dim", [2, 3, 4, 7])
@pytest.mark.parametrize("units", [False, True])
def test_energy_is_kept_and_entropy_grows_for_random_weights(seeded, dim, units):
    field, x, topology = loud(dim, units), states(40, dim, 3, units), Topology.isolated(40)
    slope = field(0.0, x, topology)
    of_energy, of_entropy = gradients(field, x, topology)
    kept, grown = (of_energy * slope).sum(-1), (of_entropy * slope).sum(-1)
    size = (of_energy * slope).abs().sum(-1)
    assert slope.abs().mean() > 1e-3
    assert (of_energy * slope).abs().mean() > 1e-3
    assert (kept.abs() / (1 + size)).max() < 1e-10
    assert grown.min() >= -1e-10
    assert grown.mean() > 1e-3


@pytest.mark.parametrize("dim", [2, 3, 5])
@pytest.mark.parametrize("units", [False, True])
def test_the_matrices_are_what_generic_asks_for(seeded, dim, units):
    """L skew, M symmetric and positive, L ∇S = 0, M ∇E = 0, and both together the field."""
    field, x, topology = loud(dim, units), states(40, dim, 3, units), Topology.isolated(40)
    turn, fall = field.matrices(x)
    of_energy, of_entropy = (g[..., None] for g in gradients(field, x, topology))
    size = 1 + turn.abs().amax() + fall.abs().amax()
    assert (turn + turn.mT).abs().max() < 1e-13 * size
    assert (fall - fall.mT).abs().max() < 1e-13 * size
    assert torch.linalg.eigvalsh(fall).min() > -1e-12 * size
    assert (turn @ of_entropy).abs().max() < 1e-12 * size
    assert (fall @ of_energy).abs().max() < 1e-12 * size
    assert fall.abs().mean() > 1e-4
    if dim > 2:
        assert turn.abs().mean() > 1e-4
    else:  # a skew matrix of the plane is invertible or zero
        assert turn.abs().max() < 1e-12
    whole = (turn @ of_energy + fall @ of_entropy).squeeze(-1)
    torch.testing.assert_close(field(0.0, x, topology), whole, rtol=1e-9, atol=1e-10)


def test_neither_energy_nor_entropy_goes_the_wrong_way_in_a_rollout(seeded):
    field = Metriplectic(4, width=8).double()
    field.requires_grad_(False)
    rolled = Simulator(field, RK4(), 0.002).rollout(normal(4, 4), 500)
    energy, entropy = (
        torch.stack([of(x, rolled.topology) for x in rolled.x])
        for of in (field.energy, field.entropy)
    )
    assert (energy - energy[0]).abs().max() < 1e-6
    assert (entropy.diff(dim=0) > -1e-12).all()
    assert (entropy[-1] - entropy[0]).min() > 1e-4


def damped(count, seed):
    """A damped oscillator that warms a bath: q' = p, p' = −q − γp, s' = γp²/T, T = e^s.

    E = q²/2 + p²/2 + e^s and S = s are its energy and entropy; time in minutes.
    """
    rng = torch.Generator().manual_seed(seed)
    x = 2 * torch.rand(count, 3, generator=rng, dtype=torch.float64) - 1
    q, p, s = x.unbind(-1)
    return x, 60 * torch.stack([p, -q - 0.5 * p, 0.5 * p * p / s.exp()], dim=-1)


def test_a_damped_oscillator_and_its_bath_are_learned(seeded):
    field, topology = Metriplectic(3, width=12).double(), Topology.isolated(300)
    x, slope = damped(300, 1)
    field.standardize(x[:, None], slope[:, None])
    size = slope.square().mean(0).sqrt()
    optimizer = torch.optim.LBFGS(field.parameters(), max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((field(0.0, x, topology) - slope) / size).square().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    y, wanted = damped(300, 2)
    with torch.no_grad():
        error = ((field(0.0, y, topology) - wanted) / size).square().mean(0)
    assert error.max() < 0.25, error


@pytest.mark.parametrize("dim", [2, 3])
def test_it_runs_in_every_mode_of_autograd(seeded, dim):
    field, x, topology = loud(dim, False), normal(5, 3, dim), Topology.isolated(3)

    def slope(state):
        return field(0.0, state, topology)

    wanted = torch.stack([slope(one) for one in x])
    torch.testing.assert_close(torch.func.vmap(slope)(x), wanted)
    push = normal(3, dim, seed=4)
    _, turned = torch.func.jvp(slope, (x[0],), (push,))
    jacobian = torch.func.jacrev(slope)(x[0])
    torch.testing.assert_close(turned, torch.einsum("abcd,cd->ab", jacobian, push))
    for mode in (torch.no_grad, torch.inference_mode, contextlib.nullcontext):
        with mode():
            assert torch.equal(slope(x[0]), wanted[0])
    found = field.float()(0.0, x[0].float(), topology)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), wanted[0], rtol=1e-3, atol=1e-3)


def test_energy_and_entropy_add_up_over_the_rows_of_a_system(seeded):
    field, x = loud(3), normal(4, 3)
    alone, pair = Topology.isolated(4), Topology.complete(2).repeat(2)
    for of in (field.energy, field.entropy):
        torch.testing.assert_close(of(x, pair), of(x, alone).reshape(2, 2).sum(1))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"dim": 1}, "needs at least two columns, got dim 1"),
        ({"dim": 3, "width": 0}, "width must be at least 1, got 0"),
        ({"dim": 3, "depth": 0}, "depth must be at least 1, got 0"),
    ],
)
def test_it_says_what_it_cannot_be(given, said):
    with pytest.raises(ConfigError, match=said):
        Metriplectic(**given)
