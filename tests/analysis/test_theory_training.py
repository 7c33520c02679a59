"""Unlearnable directions of linear layers and small networks, against plain torch training."""

import math

import pytest
import torch
from scipy.integrate import solve_ivp
from torch import nn

from simlearn.analysis import contraction, directions, linear
from simlearn.analysis.energy import threshold, threshold_of_steps
from simlearn.analysis.graphs import local_inputs, undetermined
from simlearn.state import Graph, Topology

F64 = torch.float64


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def rotation(n, seed=0):
    return torch.linalg.qr(normal(n, n, seed=seed))[0]


def samples(energies, count=60, seed=0):
    """Data ``[count, n]`` whose second moment is U diag(λ) Uᵀ exactly, and U."""
    energies = torch.tensor(energies, dtype=F64)
    u = rotation(len(energies), seed=seed)
    white = torch.linalg.qr(normal(count, len(energies), seed=seed + 1))[0] * math.sqrt(count)
    return white @ (energies.sqrt()[:, None] * u.T), u


def moment(x):
    return x.T @ x / len(x)


def layer(first, bias=None):
    made = nn.Linear(first.shape[1], first.shape[0], bias=bias is not None, dtype=F64)
    with torch.no_grad():
        made.weight.copy_(first)
        if bias is not None:
            made.bias.copy_(bias)
    return made


def descend(model, x, y, steps, make, loss=None):
    """Full-batch training; the loss is |W x − y|² / 2 on average unless told otherwise."""
    loss = loss or (lambda a, b: (a - b).square().sum() / (2 * len(a)))
    optimizer = make(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    return model


def sgd(rate, **more):
    return lambda weights: torch.optim.SGD(weights, lr=rate, **more)


def network(width=16, seed=0):
    """6 → width → 6 with tanh, weights from a generator of their own."""
    first, second = layer(0.4 * normal(width, 6, seed=seed)), layer(normal(6, width, seed=seed + 1))
    return nn.Sequential(first, nn.Tanh(), second)


RANK4 = [1.0, 0.5, 0.3, 0.2, 0.0, 0.0]


# Gradient descent and flow on a linear layer


def test_gradient_descent_on_a_linear_layer_follows_the_formula():
    x, u = samples(RANK4)
    truth, first, null = normal(6, 6, seed=5), normal(6, 6, seed=6), u[:, 4:]
    found = descend(layer(first), x, x @ truth.T, 500, sgd(0.5)).weight.detach()
    wanted = linear.descended(first, truth, moment(x), 0.5, 500)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(found @ null, first @ null, rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [1, 7, 200])
def test_descent_of_a_map_between_spaces_of_other_size(steps):
    x, _ = samples([1.0, 0.5, 0.1, 0.0])
    truth, first = normal(3, 4, seed=5), normal(3, 4, seed=6)
    found = descend(layer(first), x, x @ truth.T, steps, sgd(0.3)).weight.detach()
    wanted = linear.descended(first, truth, moment(x), 0.3, steps)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_gradient_flow_is_the_exponential():
    x, _ = samples(RANK4)
    c, truth, first = moment(x), normal(6, 6, seed=5), normal(6, 6, seed=6)

    def slope(t, w):
        return -((w.reshape(6, 6) - truth.numpy()) @ c.numpy()).ravel()

    solved = solve_ivp(
        slope, (0, 7.0), first.numpy().ravel(), method="DOP853", rtol=1e-12, atol=1e-12
    )
    found = torch.from_numpy(solved.y[:, -1]).reshape(6, 6)
    wanted = linear.flowed(first, truth, c, 7.0)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_the_loss_follows_its_curve_and_is_no_check_of_weak_directions():
    x, u = samples([1.0, 0.3, 1e-6, 0.0])
    truth, first = normal(4, 4, seed=5), normal(4, 4, seed=6)
    for steps in (0, 3, 50):
        w = descend(layer(first), x, x @ truth.T, steps, sgd(0.5)).weight.detach()
        measured = float((x @ (w - truth).T).square().sum() / (2 * len(x)))
        wanted = linear.loss_after(first, truth, moment(x), 0.5, steps)
        assert wanted == pytest.approx(measured, rel=1e-12)
    assert wanted < 1e-5
    assert float(((w - truth) @ u[:, 2]).norm()) > 0.5


def test_the_spectrum_is_that_of_the_data_and_that_of_the_start():
    x, u = samples(RANK4)
    s, n = u[:, :4], u[:, 4:]
    inside, first = normal(4, 4, seed=5) / 3, normal(6, 6, seed=6)
    truth = s @ inside @ s.T + s @ normal(4, 2, seed=7) @ n.T  # stays in S
    w = linear.descended(first, truth, moment(x), 0.5, 4000)
    found = torch.linalg.eigvals(w)
    wanted = torch.cat([torch.linalg.eigvals(inside), torch.linalg.eigvals(n.T @ first @ n)])
    apart = (found[:, None] - wanted).abs()
    assert float(apart.amin(0).max()) < 1e-12
    assert float(apart.amin(1).max()) < 1e-12


def test_torch_averages_over_outputs_too():
    x, _ = samples(RANK4)
    truth, first = normal(3, 6, seed=5), normal(3, 6, seed=6)
    found = descend(layer(first), x, x @ truth.T, 200, sgd(0.4), nn.functional.mse_loss)
    wanted = linear.descended(first, truth, moment(x), 2 * 0.4 / 3, 200)
    torch.testing.assert_close(found.weight.detach(), wanted, rtol=0, atol=1e-13)


# What optimisers leave alone


@pytest.mark.parametrize(
    "optimizer", [sgd(0.1), sgd(0.05, momentum=0.9), sgd(0.05, momentum=0.9, nesterov=True)]
)
def test_descent_with_and_without_momentum_keeps_first_weights_without_data(optimizer):
    x, u = samples(RANK4)
    null, model = u[:, 4:], network()
    before = model[0].weight.detach() @ null
    descend(model, x, torch.sin(x), 200, optimizer)
    torch.testing.assert_close(model[0].weight.detach() @ null, before, rtol=0, atol=1e-12)


def test_what_the_network_answers_without_data_moves_all_the_same():
    """W₁ P₀ is kept, W₂ D W₁ P₀ is not: the head moves."""
    x, u = samples(RANK4)
    null, model = u[:, 4:], network()
    before = model[2].weight.detach() @ model[0].weight.detach() @ null
    descend(model, x, torch.sin(x), 200, sgd(0.1))
    after = model[2].weight.detach() @ model[0].weight.detach() @ null
    assert float((after - before).norm() / before.norm()) > 0.05


def test_weight_decay_shrinks_first_weights_without_data():
    x, u = samples(RANK4)
    null, model = u[:, 4:], network()
    before = model[0].weight.detach() @ null
    descend(model, x, torch.sin(x), 300, sgd(0.1, weight_decay=0.01))
    assert pytest.approx(0.7407070, abs=5e-8) == (1 - 0.1 * 0.01) ** 300
    wanted = (1 - 0.1 * 0.01) ** 300 * before
    torch.testing.assert_close(model[0].weight.detach() @ null, wanted, rtol=0, atol=1e-12)


def test_adamw_shrinks_them_where_the_null_directions_are_axes():
    x, _ = samples(RANK4)
    x = x @ torch.linalg.svd(x)[2].T  # onto the axes
    x[:, 4:] = 0.0
    model = network()
    before = model[0].weight.detach()[:, 4:].clone()
    descend(model, x, torch.sin(x), 300, lambda w: torch.optim.AdamW(w, lr=0.1, weight_decay=0.01))
    wanted = (1 - 0.1 * 0.01) ** 300 * before
    torch.testing.assert_close(model[0].weight.detach()[:, 4:], wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.RMSprop])
def test_adaptive_steps_move_oblique_null_directions(optimizer):
    x, u = samples(RANK4)
    null, first = u[:, 4:], normal(6, 6, seed=6) / math.sqrt(18)
    model = descend(
        layer(first), x, x @ normal(6, 6, seed=5).T, 300, lambda w: optimizer(w, lr=1e-2)
    )
    moved = (model.weight.detach() - first) @ null
    assert float(moved.norm() / (first @ null).norm()) > 0.1


def test_adam_keeps_null_directions_that_are_axes():
    x, first = normal(50, 6), normal(6, 6, seed=6)
    x[:, 4:] = 0.0
    model = descend(
        layer(first), x, x @ normal(6, 6, seed=5).T, 300, lambda w: torch.optim.Adam(w, lr=1e-2)
    )
    assert torch.equal(model.weight.detach()[:, 4:], first[:, 4:])


def test_a_constant_channel_shares_its_weight_with_the_bias():
    c, x = 1.7, normal(40, 3)
    v = rotation(3, seed=3)[:, 0]
    x = x - (x @ v - c)[:, None] * v  # vᵀx = c
    truth, first, b0 = normal(3, 3, seed=5), normal(3, 3, seed=6), normal(3, seed=7)
    model = descend(layer(first, b0), x, x @ truth.T, 3000, sgd(0.3))
    w, b = model.weight.detach(), model.bias.detach()
    torch.testing.assert_close(w @ v - c * b, first @ v - c * b0, rtol=0, atol=1e-10)
    wanted = ((first @ v - c * b0) + c**2 * truth @ v) / (1 + c**2)
    torch.testing.assert_close(w @ v, wanted, rtol=0, atol=1e-10)


# Initialisation


def test_the_share_of_the_draw_that_is_left_is_exact_in_any_sample():
    energies = [1.0, 0.3, 0.05, 0.004, 0.0]
    x, u = samples(energies)
    truth, anchors = normal(5, 5, seed=5), normal(2, 5, seed=6)
    drawn, trained = [], []
    for seed in range(8):
        first = normal(5, 5, seed=10 + seed)
        model = descend(layer(first), x, x @ truth.T, 60, sgd(0.5))
        before = layer(first)
        with torch.no_grad():
            drawn.append(directions.response(lambda y, t, m=before: m(y), anchors, u))
            trained.append(directions.response(lambda y, t, m=model: m(y), anchors, u))
    found = directions.sensitivity(torch.stack(trained), torch.stack(drawn))
    wanted = torch.tensor([(1 - 0.5 * e) ** 120 for e in energies], dtype=F64)
    told = torch.tensor([0.0, 3.39e-9, 0.047924, 0.786439, 1.0], dtype=F64)
    torch.testing.assert_close(wanted, told, rtol=0, atol=5e-7)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-10)


def outside(w):
    """Blocks of which only J_NN matters, ``[samples, m, m]``."""
    empty = w.new_zeros(len(w), 0, 0)
    return directions.Blocks(empty, empty, empty, w)


def uniform(bound, *shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return bound * (2 * torch.rand(*shape, generator=rng, dtype=F64) - 1)


def within_three(hits, truth):
    error = math.sqrt(truth * (1 - truth) / len(hits))
    return abs(float(hits.double().mean()) - truth) < 3 * error


@pytest.mark.parametrize(
    ("init", "truth"),
    [(nn.init.xavier_uniform_, 1 - 1 / math.sqrt(3)), (nn.init.kaiming_uniform_, 1 - 6**-0.5)],
)
def test_one_weight_of_a_usual_initialisation_often_expands(init, truth):
    rng = torch.Generator().manual_seed(0)
    drawn = torch.stack([init(torch.empty(1, 1), generator=rng) for _ in range(5000)])
    assert within_three(outside(drawn.double()).radius > 1, truth)


@pytest.mark.parametrize(("m", "truth"), [(1, 0.5), (2, 0.75)])
def test_a_random_flow_off_the_data_is_mostly_unstable(m, truth):
    for drawn in (uniform(1.0, 20000, m, m), normal(20000, m, m, seed=1)):
        assert within_three(outside(drawn).abscissa > 0, truth)


def test_a_random_hamiltonian_of_one_degree_of_freedom_is_mostly_unstable():
    drawn = normal(40000, 2, 2)
    energy = (drawn + drawn.mT) / 2
    form = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=F64)
    # eigenvalues are ±√(−det): a tenth of rounding is no growth
    assert within_three(outside(form @ energy).abscissa > 1e-7, 1 / math.sqrt(2))


def test_row_sums_do_not_protect_a_null_direction():
    w = torch.tensor([[-1.0, 1.0], [0.0, -0.01]], dtype=F64)
    assert float(torch.linalg.eigvals(w).real.max()) < 0
    assert float(contraction.log_norm(w)) == pytest.approx(0.1985801, abs=1e-7)
    worst = torch.linalg.eigh((w + w.T) / 2)[1][:, -1:]
    assert float(worst.T @ w @ worst) == pytest.approx(float(contraction.log_norm(w)), abs=1e-14)
    growing = torch.tensor([[0.0, 0.99], [0.0, 0.99]], dtype=F64)
    assert float(growing.abs().sum(1).max()) < 1
    assert float(contraction.log_norm(growing)) == pytest.approx(1.195, abs=5e-4)
    assert float(contraction.norm(growing)) > 1


# Graphs


def ring(rows, reach):
    """Each row joined to ``reach`` others on either side."""
    here = torch.arange(rows).repeat_interleave(reach)
    there = (here + torch.arange(1, reach + 1).repeat(rows)) % rows
    both = torch.cat([torch.stack([here, there]), torch.stack([there, here])], 1)
    return Topology(Graph(both, rows))


def test_synchronised_data_on_a_regular_graph_confound_self_and_coupling():
    topology, k = ring(9, 2), 4
    x = normal(30, 1).expand(30, 9)
    source, target = topology.graph.edge_index
    neighbours = torch.zeros(30, 9, dtype=F64).index_add(1, target, x[:, source])
    wanted = -1.0 * x + 0.5 * neighbours
    theta = torch.tensor([0.3, -0.2], dtype=F64, requires_grad=True)
    optimizer = torch.optim.SGD([theta], lr=0.02)
    for _ in range(2000):
        optimizer.zero_grad()
        (theta[0] * x + theta[1] * neighbours - wanted).square().mean().backward()
        optimizer.step()
    exact = torch.tensor([6.6 / 17, 2.6 / 17], dtype=F64)  # k a − b = 1.4 and a + k b = 1
    torch.testing.assert_close(theta.detach(), exact, rtol=0, atol=1e-9)
    told = torch.tensor([0.3882353, 0.1529412], dtype=F64)
    torch.testing.assert_close(exact, told, rtol=0, atol=5e-8)
    assert float(k * theta.detach()[0] - theta.detach()[1]) == pytest.approx(1.4, abs=1e-9)


@pytest.mark.parametrize("dim", [1, 2])
def test_synchronised_data_determine_the_common_motion_only(dim):
    topology = ring(9, 2)
    x = normal(30, 1, dim).expand(30, 9, dim)
    seen = local_inputs(x, topology)
    _, s, v = torch.linalg.svd(seen, full_matrices=True)
    null = v.mT[:, s < 1e-10]
    assert null.shape[1] == dim
    known, unknown = undetermined(null, topology, dim)
    assert known.shape == (9 * dim, dim)
    assert unknown.shape == (9 * dim, 8 * dim)
    common = torch.eye(dim, dtype=F64).repeat(9, 1) / 3  # 1 ⊗ e
    torch.testing.assert_close(known @ known.T @ common, common, rtol=0, atol=1e-12)
    torch.testing.assert_close(unknown.T @ common, torch.zeros(8 * dim, dim, dtype=F64))


# Escape, thresholds


def test_the_escape_step_of_the_table():
    assert directions.escape_step(1.1, 1e-6, 0.1) == 97


def test_a_direction_is_learned_where_the_threshold_says_so():
    rate, steps, tolerance = 0.5, 60, 0.1
    edge = threshold_of_steps(rate, steps, tolerance)
    assert (1 - rate * edge) ** steps == pytest.approx(tolerance, rel=1e-12)
    assert threshold(rate * steps, tolerance) == pytest.approx(edge, rel=0.03)
    assert threshold(1e6, 0.1) == pytest.approx(threshold_of_steps(1e-3, 10**9, 0.1), rel=1e-6)
