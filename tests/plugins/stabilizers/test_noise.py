"""NoiseInjection: what its windows teach by least squares, and what it leaves alone."""

import dataclasses
import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, Simulator, Topology, Trajectory
from simlearn.analysis import directions, flat, linear
from simlearn.analysis.subspace import subspace
from simlearn.dynamics import Flattened, LinearField, LinearMap, ResidualMap
from simlearn.integrators import RK4
from simlearn.training.objectives import DerivativeMatching
from simlearn_stabilizers import NoiseInjection

F64, DT, MANY = torch.float64, 0.1, 100_000
CONVENTIONS = ["corrected", "uncorrected", "restoring", "measured"]


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=F64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


UNITS = torch.tensor([1.0, 5.0, 0.2, 2.0], dtype=F64)
FRAME = torch.linalg.qr(normal(4, 4, seed=2))[0]
ENERGY = torch.tensor([1.0, 0.3, 0.05, 0.0], dtype=F64)  # one direction without data


def states(count, seed=0):
    """Centred samples of exact second moment in columns of different units."""
    drawn = normal(count, 3, seed=seed)
    white = torch.linalg.qr(drawn - drawn.mean(0))[0] * math.sqrt(count)
    return white @ (ENERGY[:3].sqrt()[:, None] * FRAME[:, :3].T) * UNITS


GENERATOR = UNITS[:, None] * (0.6 * normal(4, 4, seed=7)) / UNITS
STEP = torch.linalg.matrix_exp(DT * GENERATOR)


def windows(steps, times=None, derivative=True, count=MANY):
    """Many vector systems of a linear flow, one window each; the first state has the moment C."""
    times = DT * torch.arange(steps, dtype=F64) if times is None else times
    first = states(2000).repeat(count // 2000, 1)
    x = torch.stack([first @ torch.linalg.matrix_exp(GENERATOR * float(t)).T for t in times])
    slope = x @ GENERATOR.T if derivative else None
    return Trajectory(times, x, Topology.isolated(count), derivative=slope)


def training():
    """What the stabilizer sees: the first states, as one trajectory."""
    x = states(2000)
    return [Trajectory(DT * torch.arange(2000, dtype=F64), x[:, None], Topology.isolated(1))]


def flow():
    return Simulator(LinearField(4).double(), RK4(), DT)


def discrete():
    return Simulator(LinearMap(4).double(), None, DT)


def seen(stabilizer, simulator=None):
    stabilizer.observe(simulator or flow(), training())
    return stabilizer


def covariance(scale):
    """Q of noise everywhere: in units of each column's spread."""
    return torch.diag((scale * states(2000).std(0, correction=0)) ** 2)


def moment():
    x = states(2000)
    return x.T @ x / len(x)


def fitted(inputs, targets):
    return torch.linalg.lstsq(inputs, targets).solution.T


def same(found, wanted, units=UNITS):
    """Equal to five standard errors, in units in which columns compare."""
    apart = ((found - wanted) / units[:, None] * units).abs().max()
    assert float(apart) < 5 / math.sqrt(MANY) * max(
        1.0, float((wanted / units[:, None] * units).abs().max())
    )


# The table of biases, by least squares on the stabilizer's own windows


@pytest.mark.parametrize(
    ("target", "kappa", "share"),
    [
        ("corrected", None, 0.0),
        ("measured", None, 0.0),
        ("uncorrected", None, 1.0),
        ("restoring", 2.0, 1 - 2.0 * DT),
    ],
)
def test_maps_learn_what_the_closed_form_says(target, kappa, share):
    """V1 to V4 and V6k of a step."""
    stabilizer = seen(NoiseInjection(0.5, target, kappa, "everywhere"), discrete())
    moved = stabilizer.perturb(windows(2, derivative=False), discrete(), generator())
    found = fitted(moved.x[0], moved.x[1])
    q = covariance(0.5)
    same(found, linear.noisy(STEP, moment(), q, target, kappa=(kappa or 0.0) * DT))
    null = UNITS * FRAME[:, 3]  # C has no energy along its dual
    dual = FRAME[:, 3] / UNITS
    assert float((moment() @ dual).norm()) < 1e-12
    assert float(null @ dual) == pytest.approx(1.0)
    along = q @ dual  # (C + Q)⁻¹ takes it to the dual: what is learned there
    along = linear.noisy(STEP, moment(), q, target, kappa=(kappa or 0.0) * DT) @ along
    torch.testing.assert_close(along, share * (q @ dual), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kappa", [0.0, 1.5, 10.0])
def test_fields_learn_what_the_closed_form_says(kappa):
    """V6 and V6k, on recorded slopes."""
    stabilizer = seen(NoiseInjection(0.5, "restoring", kappa, "everywhere"))
    for steps in (1, 4):
        moved = stabilizer.perturb(windows(steps), flow(), generator())
        found = fitted(moved.x[0], moved.derivative[0])
        same(found, linear.noisy_generator(GENERATOR, moment(), covariance(0.5), kappa))


@pytest.mark.parametrize(("target", "kappa"), [("uncorrected", 0.0), ("corrected", 1 / DT)])
def test_fields_with_the_other_targets_are_restoring_ones(target, kappa):
    moved = seen(NoiseInjection(0.5, target, where="everywhere")).perturb(
        windows(1), flow(), generator()
    )
    found = fitted(moved.x[0], moved.derivative[0])
    same(found, linear.noisy_generator(GENERATOR, moment(), covariance(0.5), kappa))


def test_differences_of_measured_states():
    """V7: forward differences are dead at −1/dt; central ones neutral."""
    moved = seen(NoiseInjection(0.5, "measured", where="everywhere")).perturb(
        windows(3), flow(), generator()
    )
    assert moved.derivative is None
    q, one = covariance(0.5), torch.eye(4, dtype=F64)
    forward = fitted(moved.x[0], moved.x[1] - moved.x[0]) / DT
    wanted = (linear.noisy(STEP, moment(), q, "measured") - one) / DT
    same(forward * DT, wanted * DT)
    middle = STEP @ moment() @ STEP.T
    central = fitted(moved.x[1], moved.x[2] - moved.x[0])
    back = torch.linalg.inv(STEP)
    same(central, linear.noisy_generator(STEP - back, middle, q))


class Known(simlearn.System):
    """The flow itself, or its step."""

    def __init__(self, discrete=False):
        self.discrete = discrete

    def truth(self):
        law = (LinearMap if self.discrete else LinearField)(4).double().requires_grad_(False)
        law.linear.weight.copy_(STEP if self.discrete else GENERATOR)
        return law

    def start(self, rng):
        return normal(1, 4), Topology.isolated(1)


@pytest.mark.parametrize("is_map", [False, True])
def test_resimulated_targets_teach_all_without_bias(is_map):
    """V5: exactly, also where there are no data."""
    stabilizer = seen(NoiseInjection(0.5, "resimulated", where="everywhere", system=Known(is_map)))
    window = windows(3, derivative=not is_map, count=2000)
    moved = stabilizer.perturb(window, discrete() if is_map else flow(), generator())
    for k in range(2):
        torch.testing.assert_close(
            fitted(moved.x[k], moved.x[k + 1]), STEP, rtol=0, atol=1e-8 * float(UNITS.max())
        )
    if is_map:
        assert moved.derivative is None
    else:
        torch.testing.assert_close(moved.derivative, moved.x @ GENERATOR.T, rtol=0, atol=1e-10)


def test_noise_in_the_complement_is_exact_on_the_data():
    """W = M P, whatever was drawn."""
    stabilizer = seen(NoiseInjection(0.5, "corrected", where="complement"), discrete())
    window = windows(2, derivative=False, count=2000)
    moved = stabilizer.perturb(window, discrete(), generator())
    p = subspace(training()).projector
    found = fitted(moved.x[0], moved.x[1])
    torch.testing.assert_close(found, STEP @ p, rtol=0, atol=1e-12 * float(UNITS.max() / 0.2))


def test_noise_in_the_complement_of_a_field_is_exact_on_the_data():
    stabilizer = seen(NoiseInjection(0.5, "restoring", 1.5, "complement"))
    moved = stabilizer.perturb(windows(1, count=2000), flow(), generator())
    p = subspace(training()).projector
    found = fitted(moved.x[0], moved.derivative[0])
    wanted = GENERATOR @ p - 1.5 * (torch.eye(4) - p)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-11 * float(UNITS.max() / 0.2))


def test_training_under_noise_forgets_the_start_off_the_data_at_its_variance():
    """Gradient descent on fresh draws: (1 − η s²)^K off the data, to the accuracy of the draws."""
    stabilizer, simulator = seen(NoiseInjection(0.5, "corrected", where="complement")), discrete()
    window, rng = windows(2, derivative=False, count=2000), generator(5)
    s, n = states(2000).std(0, correction=0), subspace(training()).normal
    window = dataclasses.replace(window, x=window.x / s)
    stabilizer._size = torch.ones(4, dtype=F64)  # in scaled columns
    weight = simulator.dynamics.linear.weight
    with torch.no_grad():
        weight.copy_(normal(4, 4, seed=9))
    first = weight.detach() @ n
    optimizer = torch.optim.SGD([weight], lr=0.4)
    for _ in range(10):
        moved = stabilizer.perturb(window, simulator, rng)
        optimizer.zero_grad()
        off = simulator.step(moved.x[0], moved.topology) - moved.x[1]
        (off.square().sum() / (2 * 2000)).backward()
        optimizer.step()
    left = weight.detach() @ n
    torch.testing.assert_close(left, (1 - 0.4 * 0.25) ** 10 * first, rtol=0, atol=0.05)
    assert float(first.abs().max()) > 0.9


def test_a_network_learns_its_plane_and_decays_beside_it_at_kappa():
    """Amplitude within 10 % of the truth, 1 − κ dt a step off the data (theory, 1.4)."""
    frame = torch.linalg.qr(normal(8, 2, seed=2))[0]
    step = torch.linalg.matrix_exp(DT * torch.tensor([[-0.05, -1.0], [1.0, -0.05]], dtype=F64))
    z = [normal(16, 2, seed=3)]
    for _ in range(60):
        z.append(z[-1] @ step.T)
    x = torch.stack(z) @ frame.T
    data = [Trajectory(DT * torch.arange(61, dtype=F64), x, Topology.isolated(16))]
    law, rng = ResidualMap(8, 32).double(), generator(0)
    with torch.no_grad():
        for one in law.parameters():
            size = one.shape[-1] ** -0.5 if one.ndim > 1 else 0.1
            one.copy_(size * (2 * torch.rand(one.shape, generator=rng, dtype=F64) - 1))
    simulator, stabilizer = Simulator(law, None, DT), NoiseInjection(0.15, kappa=2.0)
    stabilizer.observe(simulator, data)
    pairs = torch.stack([x[:-1].reshape(-1, 8), x[1:].reshape(-1, 8)])
    window = Trajectory(DT * torch.arange(2, dtype=F64), pairs, Topology.isolated(960))
    optimizer = torch.optim.Adam(law.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1500)
    for _ in range(1500):
        moved = stabilizer.perturb(window, simulator, rng)
        optimizer.zero_grad()
        off = (simulator.step(moved.x[0], moved.topology) - moved.x[1]) / DT
        off.square().mean().backward()
        optimizer.step()
        schedule.step()
    law.requires_grad_(False)
    found = subspace(data)
    scaled = flat.scaled(flat.stepper(simulator), found.energy.scale)
    seen = directions.blocks(scaled, x[30] / found.energy.scale, found.data, found.normal)
    assert float(seen.radius.median()) == pytest.approx(0.8, rel=0.05)
    end = directions.rolled(flat.stepper(simulator), x[0], 100)[-1]
    amplitude = float(((end @ frame).norm(dim=-1) / z[0].norm(dim=-1)).median())
    assert amplitude == pytest.approx(0.6065, rel=0.1)


def test_corrected_targets_do_not_reach_slopes_that_are_differenced():
    """Noise falls on the first state alone; the middle one is the input. Documented."""
    stabilizer = seen(NoiseInjection(0.5, "corrected", where="everywhere"))
    objective, window = DerivativeMatching(), windows(3, derivative=False, count=2000)
    assert objective.length([window]) == 3
    moved = stabilizer.perturb(window, flow(), generator())
    assert torch.equal(moved.x[1], window.x[1])
    restoring = seen(NoiseInjection(0.5, "restoring", kappa=1.0, where="everywhere"))
    assert not torch.equal(restoring.perturb(window, flow(), generator()).x[1], window.x[1])
    assert "take restoring targets there" in " ".join(NoiseInjection.__doc__.split())


def test_measured_states_are_neutral_by_central_differences():
    """V7c: slopes differenced over the noise do not damp."""
    moved = seen(NoiseInjection(0.5, "measured", where="everywhere")).perturb(
        windows(3, derivative=False), flow(), generator()
    )
    found = fitted(moved.x[1], (moved.x[2] - moved.x[0]) / (2 * DT))
    dual = FRAME[:, 3] / UNITS
    away = covariance(0.5) @ dual
    assert abs(float((found @ away) @ dual / (away @ dual))) < 0.05 / DT  # dead is −1 / dt
    assert "neutral for slopes" in NoiseInjection(0.5, "measured").bias


def test_complement_noise_is_said_to_need_a_constant_term():
    """Data with x₃ = 1: a model without a constant learns it from x₃, and noise there biases it."""
    x = normal(500, 3)
    x[:, 2] = 1.0
    m = torch.tensor([[0.9, 0.1, 0.3], [-0.1, 0.9, -0.2], [0.0, 0.0, 1.0]], dtype=F64)
    data = [Trajectory(DT * torch.arange(500, dtype=F64), x[:, None], Topology.isolated(1))]
    simulator = Simulator(LinearMap(3, bias=True).double(), None, DT)
    stabilizer = NoiseInjection(0.3, "corrected", where="complement")
    stabilizer.observe(simulator, data)
    assert "none, for models that have a constant term" in stabilizer.bias
    window = Trajectory(DT * torch.arange(2.0), torch.stack([x, x @ m.T]), Topology.isolated(500))
    moved = stabilizer.perturb(window, simulator, generator())
    one = torch.ones(len(x), 1, dtype=F64)
    found = torch.linalg.lstsq(torch.cat([moved.x[0], one], 1), moved.x[1]).solution
    torch.testing.assert_close(torch.cat([x, one], 1) @ found, x @ m.T, rtol=0, atol=1e-6)


# What it leaves alone


@pytest.mark.parametrize("target", CONVENTIONS)
def test_the_window_given_is_not_changed(target):
    window = windows(4, count=2000)
    x, slope = window.x.clone(), window.derivative.clone()
    moved = seen(NoiseInjection(0.1, target)).perturb(window, flow(), generator())
    assert torch.equal(window.x, x)
    assert torch.equal(window.derivative, slope)
    assert not torch.equal(moved.x[0], x[0])
    assert moved.topology is window.topology
    assert torch.equal(moved.t, window.t)


def test_noise_depends_on_its_generator_alone():
    stabilizer, window, simulator = seen(NoiseInjection(0.1)), windows(3, count=2000), flow()
    before = torch.random.get_rng_state()
    one = stabilizer.perturb(window, simulator, generator(3))
    other = stabilizer.perturb(window, simulator, generator(3))
    assert torch.equal(one.x, other.x)
    assert not torch.equal(one.x, stabilizer.perturb(window, simulator, generator(4)).x)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("target", CONVENTIONS)
def test_no_noise_changes_nothing(target):
    window = windows(3, count=2000)
    assert seen(NoiseInjection(0.0, target)).perturb(window, flow(), generator()) is window


def test_noise_ends_after_its_epochs():
    stabilizer, window = seen(NoiseInjection(0.1, epochs=3)), windows(2, count=2000)
    for number, noisy in [(0, True), (2, True), (3, False), (10, False), (1, True)]:
        stabilizer.epoch(number)
        moved = stabilizer.perturb(window, flow(), generator())
        assert torch.equal(moved.x, window.x) is not noisy
    forever = seen(NoiseInjection(0.1))
    forever.epoch(10**6)
    assert not torch.equal(forever.perturb(window, flow(), generator()).x, window.x)


@pytest.mark.parametrize("target", CONVENTIONS)
def test_complement_noise_has_no_component_in_the_data(target):
    stabilizer, window = seen(NoiseInjection(0.3, target, where="complement")), windows(3)
    moved = stabilizer.perturb(window, flow(), generator())
    found = subspace(training())
    scaled = (moved.x - window.x) / found.energy.scale
    assert float((scaled @ found.data).abs().max()) < 1e-13
    # of the full size where it acts
    assert float((scaled[0] @ found.normal).std()) == pytest.approx(0.3, rel=0.02)


def test_auto_takes_the_complement_where_there_is_one():
    window = windows(2, count=2000)
    auto = seen(NoiseInjection(0.3, "uncorrected")).perturb(window, flow(), generator())
    wanted = seen(NoiseInjection(0.3, "uncorrected", where="complement"))
    assert torch.equal(auto.x, wanted.perturb(window, flow(), generator()).x)
    full = [Trajectory(torch.arange(50.0), normal(50, 1, 4), Topology.isolated(1))]
    everywhere = NoiseInjection(0.3, "uncorrected")
    everywhere.observe(flow(), full)
    moved = everywhere.perturb(window, flow(), generator())
    off = (moved.x - window.x)[0] / full[0].x[:, 0].std(0, correction=0)
    torch.testing.assert_close(off.std(0), torch.full((4,), 0.3, dtype=F64), rtol=0.06, atol=0)


def test_a_complement_that_is_not_there_is_refused():
    full = [Trajectory(torch.arange(50.0), normal(50, 1, 4), Topology.isolated(1))]
    with pytest.raises(ConfigError, match="everywhere"):
        NoiseInjection(where="complement").observe(flow(), full)


def test_what_it_says_it_does():
    assert "none" in seen(NoiseInjection(where="complement")).bias
    everywhere = seen(NoiseInjection(0.02, where="everywhere")).bias
    assert "s²/(λ + s²)" in everywhere
    assert "0.02" in everywhere
    assert "none" in seen(NoiseInjection(target="resimulated", system=Known())).bias
    for target in CONVENTIONS:
        assert len(NoiseInjection(target=target).bias) > 40


# Windows of all kinds


def test_the_shift_along_a_window():
    window = windows(4, count=2000)
    for target, kappa, shares in [
        ("corrected", None, [1, 0, 0, 0]),
        ("uncorrected", None, [1, 1, 1, 1]),
        ("restoring", 3.0, [math.exp(-3.0 * DT * k) for k in range(4)]),
    ]:
        moved = seen(NoiseInjection(0.3, target, kappa)).perturb(window, flow(), generator())
        off, rate = moved.x - window.x, {"corrected": 1 / DT, "restoring": 3.0}.get(target, 0.0)
        for k, share in enumerate(shares):
            torch.testing.assert_close(off[k], share * off[0], rtol=0, atol=1e-12)
            slope = moved.derivative[k] - window.derivative[k]
            torch.testing.assert_close(slope, -rate * off[k], rtol=0, atol=1e-11)


def test_irregular_times():
    times = torch.tensor([0.0, 0.1, 0.25, 0.3], dtype=F64)
    window = windows(4, times, count=2000)
    moved = seen(NoiseInjection(0.3, "restoring", 2.0)).perturb(window, flow(), generator())
    off = moved.x - window.x
    for k, share in enumerate(torch.exp(-2.0 * times).tolist()):
        torch.testing.assert_close(off[k], share * off[0], rtol=0, atol=1e-12)
    dead = seen(NoiseInjection(0.3, "corrected")).perturb(window, flow(), generator())
    torch.testing.assert_close(dead.x[1:], window.x[1:], rtol=0, atol=1e-12)


def test_systems_of_one_window_have_their_own_times():
    window = windows(3, count=2000)
    own = torch.linspace(0.5, 2.0, 2000, dtype=F64)
    window = dataclasses.replace(window, t=window.t[:, None] * own)
    moved = seen(NoiseInjection(0.3, "restoring", 1.0)).perturb(window, flow(), generator())
    off = moved.x - window.x
    share = torch.exp(-DT * own)[:, None]
    torch.testing.assert_close(off[1], share * off[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(off[2], share**2 * off[0], rtol=0, atol=1e-12)
    dead = seen(NoiseInjection(0.3, "corrected")).perturb(window, flow(), generator())
    torch.testing.assert_close(dead.x[1:], window.x[1:], rtol=0, atol=1e-12)


def test_the_automatic_rate_is_that_of_the_data_and_at_most_half_a_step():
    t = 0.1 * torch.arange(400, dtype=F64)
    orbit = torch.stack([torch.cos(t), torch.sin(t), 0 * t, 0 * t], -1) @ FRAME.T
    data = [Trajectory(t, orbit[:, None], Topology.isolated(1))]
    window = Trajectory(t[:2], orbit[:2, None], Topology.isolated(1))
    for dt, rate in [(0.1, 1.0), (2.0, 0.25)]:
        stabilizer, simulator = NoiseInjection(0.1), Simulator(LinearField(4).double(), RK4(), dt)
        stabilizer.observe(simulator, data)
        moved = stabilizer.perturb(window, simulator, generator())
        off = moved.x - window.x
        torch.testing.assert_close(off[1], math.exp(-rate * 0.1) * off[0], rtol=1e-2, atol=0)


@pytest.mark.parametrize("target", CONVENTIONS)
def test_single_precision_stays_single(target):
    window = windows(3, count=2000).to("cpu", torch.float32)
    moved = seen(NoiseInjection(0.1, target)).perturb(window, flow().float(), generator())
    assert moved.x.dtype == torch.float32
    assert moved.t.dtype == F64
    assert moved.derivative is None or moved.derivative.dtype == torch.float32
    assert bool(moved.x.isfinite().all())


def test_flattened_dynamics_look_for_directions_of_whole_systems():
    """Three rows that move together: rows fill their plane, systems do not fill six dimensions."""
    z = normal(300, 1, 2)
    x = z.expand(300, 3, 2).contiguous()
    topology = Topology.complete(3)
    data = [Trajectory(DT * torch.arange(300, dtype=F64), x, topology)]
    flat = Simulator(Flattened(LinearField(6), 3).double(), RK4(), DT)
    stabilizer = NoiseInjection(0.2, "uncorrected", where="complement")
    stabilizer.observe(flat, data)
    window = Trajectory(DT * torch.arange(2.0), x[:2].repeat(1, 4, 1), topology.repeat(4))
    off = (stabilizer.perturb(window, flat, generator()).x - window.x)[0]
    together = (off.reshape(4, 3, 2) / x.std((0, 1), correction=0)).sum(1)
    assert float(together.abs().max()) < 1e-12  # no system moves as the data do
    assert float(off.abs().max()) > 0.05
    rows = NoiseInjection(0.2, where="complement")
    with pytest.raises(ConfigError):
        rows.observe(Simulator(LinearField(2).double(), RK4(), DT), data)


def test_without_a_look_at_the_data_the_window_says_its_size():
    window = windows(2, count=2000)
    moved = NoiseInjection(0.1, "uncorrected").perturb(window, flow(), generator())
    size = window.x[0].square().mean(0).sqrt()
    off = (moved.x - window.x)[0] / size
    torch.testing.assert_close(off.std(0), torch.full((4,), 0.1, dtype=F64), rtol=0.06, atol=0)


# Refusals


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": -0.1},
        {"scale": math.nan},
        {"epochs": -1},
        {"target": "backwards"},
        {"kappa": -1.0},
        {"kappa": math.nan},
        {"kappa": 1.0, "target": "corrected"},
        {"kappa": 0.0, "target": "uncorrected"},
        {"target": "resimulated"},
        {"target": "corrected", "system": Known()},
    ],
)
def test_arguments_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ConfigError):
        NoiseInjection(**wrong)


def test_an_unknown_place_is_refused():
    with pytest.raises(ConfigError):
        NoiseInjection(where="somewhere")


@pytest.mark.parametrize("kappa", [2.0, 5.0, 9.0, 15.0])
def test_a_restoring_rate_is_learned_from_differences_too_and_never_teaches_growth(kappa):
    """Central differences of a shift exp(−κ t): −sinh(κ Δ) / Δ, whatever κ."""
    window = windows(3, derivative=False, count=2000)
    noise = seen(NoiseInjection(0.5, "restoring", kappa, where="everywhere"))
    off = noise.perturb(window, flow(), generator()).x - window.x
    slope = (off[2] - off[0]) / (2 * DT)
    torch.testing.assert_close(slope, -math.sinh(kappa * DT) / DT * off[1], rtol=1e-9, atol=1e-12)
    assert float(off.abs().amax()) == float(off[0].abs().amax())


def test_single_states_with_recorded_slopes_have_a_rate_of_their_own():
    """Where no two states follow one another, the recorded slopes tell the rate."""
    whole = seen_data()
    alone = [
        Trajectory(one.t[k : k + 1], one.x[k : k + 1], one.topology, one.derivative[k : k + 1])
        for one in whole
        for k in range(0, one.steps, 7)
    ]
    noise = NoiseInjection(0.1)
    noise.observe(flow(), alone)
    window = windows(2, count=2000)
    off = noise.perturb(window, flow(), generator()).x - window.x
    assert float((off[1] / off[0]).nan_to_num(1.0).max()) < 1.0


def seen_data():
    t = DT * torch.arange(100, dtype=F64)
    orbit = torch.stack([torch.cos(t), torch.sin(t), 0 * t, 0 * t], -1) @ FRAME.T
    turn = torch.stack([-torch.sin(t), torch.cos(t), 0 * t, 0 * t], -1) @ FRAME.T
    return [Trajectory(t, orbit[:, None], Topology.isolated(1), derivative=turn[:, None])]
