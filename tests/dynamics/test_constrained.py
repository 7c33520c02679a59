"""Rods in Cartesian coordinates: the motion of the angles, with lengths and energy kept."""

import pytest
import torch

from simlearn.component import ConfigError
from simlearn.dynamics import ConstrainedEnergy, ConstrainedField
from simlearn.integrators import RK4
from simlearn.simulator import Simulator
from simlearn.state import Topology
from simlearn_mechanics import DoublePendulumLaw, PendulumLaw

CHAIN = {"points": 2, "space": 2, "rods": [[2, 0], [0, 1]], "anchors": [[0.3, -0.1]]}
DUMBBELL = {"points": 2, "space": 3, "rods": [[0, 1]], "anchors": []}


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


class Hanging(ConstrainedField):
    """Masses m under their weight, V = Σ m g y."""

    def __init__(self, masses, gravity=1.0, anchor=(0.0, 0.0)):
        rods = [[len(masses), 0], *([k, k + 1] for k in range(len(masses) - 1))]
        super().__init__(len(masses), 2, rods, [anchor])
        self.mass = torch.tensor(masses, dtype=torch.float64)
        self.gravity = gravity

    def inverse_masses(self):
        return 1 / self.mass

    def potential(self, q):
        return (q[..., 1::2] * self.mass * self.gravity).sum(-1)


def cartesian(angles, rates, masses, lengths):
    """Positions and momenta of a chain hung from the origin, ``[rows, 4 · points]``."""
    place = torch.stack([angles.sin(), -angles.cos()], dim=-1) * lengths[:, None]
    speed = torch.stack([angles.cos(), angles.sin()], dim=-1) * (rates * lengths)[..., None]
    q, v = place.cumsum(-2), speed.cumsum(-2)
    return torch.cat([q.flatten(-2), (v * masses[:, None]).flatten(-2)], dim=-1)


MASSES = torch.tensor([1.5, 0.7], dtype=torch.float64)
LENGTHS = torch.tensor([0.8, 1.3], dtype=torch.float64)


def embedded(law, masses, lengths):
    """From the angles and momenta of a law to the points."""

    def embed(x):
        angles = x.chunk(2, dim=-1)[0]
        rates = law(0.0, x, Topology.isolated(len(x))).chunk(2, dim=-1)[0]
        return cartesian(angles, rates, masses, lengths)

    return embed


PENDULUM = PendulumLaw(mass=1.5, length=0.8, gravity=2.0)
DOUBLE = DoublePendulumLaw(mass1=1.5, mass2=0.7, length1=0.8, length2=1.3, gravity=2.0)
LAWS = [(PENDULUM, 1), (DOUBLE, 2)]


@pytest.mark.parametrize(("law", "points"), LAWS, ids=["pendulum", "double pendulum"])
def test_with_the_true_potential_points_move_as_the_angles_do(law, points):
    """The field of the points is the field of the angles, pushed forward: exact, at any state."""
    embed = embedded(law, MASSES[:points], LENGTHS[:points])
    field, x = Hanging(MASSES[:points].tolist(), gravity=2.0), 2 * normal(20, 2 * points)
    twenty = Topology.isolated(20)
    where, wanted = torch.func.jvp(embed, (x,), (law(0.0, x, twenty),))
    torch.testing.assert_close(field(0.0, where, twenty), wanted, rtol=1e-11, atol=1e-11)
    assert wanted.abs().max() > 1
    above = law.energy(x, twenty) - field.energy(where, twenty)
    torch.testing.assert_close(above, above[:1].expand(20))


@pytest.mark.parametrize(
    ("law", "points", "steps"),
    [(PENDULUM, 1, 300), (DOUBLE, 2, 1000)],
    ids=["pendulum", "double pendulum"],
)
def test_a_rollout_of_the_points_follows_the_angles(law, points, steps):
    embed = embedded(law, MASSES[:points], LENGTHS[:points])
    start = torch.tensor([[1.2, 0.5], [1.0, -0.4]], dtype=torch.float64)[:, :points].reshape(1, -1)
    angles = Simulator(law, RK4(), 0.01).rollout(start, steps)
    field = Hanging(MASSES[:points].tolist(), gravity=2.0)
    moved = Simulator(field, RK4(), 0.01).rollout(embed(start), steps)
    assert (moved.x[:, 0] - embed(angles.x[:, 0])).abs().max() < 1e-6
    lengths = field.squares(moved.x[:, 0]).sqrt()
    assert (lengths / LENGTHS[:points] - 1).abs().max() < 1e-8
    energy = field.energy(moved.x[:, 0], Topology.isolated(steps + 1))
    assert (energy - energy[0]).abs().max() < 1e-7


def test_what_drifts_is_the_scheme_and_falls_with_its_order():
    field, start = Hanging(MASSES.tolist(), gravity=2.0), torch.tensor([[1.2, 0.5, 1.0, -0.4]])
    x, drift = embedded(DOUBLE, MASSES, LENGTHS)(start.double()), []
    for parts in (1, 2):
        rolled = Simulator(field, RK4(), 0.04 / parts).rollout(x, 100 * parts)
        squares = field.squares(rolled.x[:, 0])
        drift.append(float((squares - squares[0]).abs().max()))
    assert 10 < drift[0] / drift[1] < 40


def learned(scaled=True, **more):
    field = ConstrainedEnergy(**{**CHAIN, "width": 12, **more}).double().requires_grad_(False)
    for k, value in enumerate(field.parameters()):
        value.add_(0.3 * normal(*value.shape, seed=k))
    if scaled:
        field.standardize(normal(40, field.dim, seed=1) * 3 + 1, normal(40, field.dim, seed=2))
    return field


@pytest.mark.parametrize("more", [{}, {"masses": [2.0, 0.5]}, DUMBBELL], ids=str)
def test_energy_and_lengths_are_constant_from_any_state_at_random_weights(seeded, more):
    field, topology = learned(**more), Topology.complete(3).repeat(2)
    x = normal(6, field.dim)
    motion = field(0.0, x, topology)
    assert field.stretching(x).abs().max() > 0.1
    for constant in (lambda s: field.energy(s, topology), field.squares, field.stretching):
        value, change = torch.func.jvp(constant, (x,), (motion,))
        assert change.abs().max() < 1e-11 * (1 + value.abs().max())
    assert field.energy(x, topology).shape == (2,)
    assert motion.abs().max() > 0.1


def test_a_rigid_start_moves_as_newton_says(seeded):
    """No rod stretches: dq/dt = p/m, and dp/dt is the force and pulls along the rods."""
    field, topology = learned(), Topology.isolated(5)
    x = field.project(normal(5, 8), field.squares(normal(5, 8)))
    dq, dp = field(0.0, x, topology).chunk(2, dim=-1)
    mass = (1 / field.inverse_masses()).repeat_interleave(2)
    torch.testing.assert_close(dq * mass, x[:, 4:], rtol=1e-10, atol=1e-10)
    upper = x[:, 0:2] - torch.tensor(CHAIN["anchors"], dtype=torch.float64)
    lower = x[:, 2:4] - x[:, 0:2]
    pull = dp + field.slope(x[:, :4])
    zero = torch.zeros(5, dtype=torch.float64)
    for force, rod in ((pull[:, 2:4], lower), (pull[:, :2] + pull[:, 2:4], upper)):
        turning = force[:, 0] * rod[:, 1] - force[:, 1] * rod[:, 0]
        torch.testing.assert_close(turning, zero, rtol=0, atol=1e-10)


class Free(ConstrainedField):
    """A dumb-bell in empty space."""

    def __init__(self):
        super().__init__(2, 3, [[0, 1]], [])
        self.mass = torch.tensor([1.0, 2.5], dtype=torch.float64)

    def inverse_masses(self):
        return 1 / self.mass

    def potential(self, q):
        return (0 * q).sum(-1)


def test_a_free_body_keeps_momentum_and_angular_momentum():
    x, topology = normal(4, 12), Topology.isolated(4)

    def kept(s):
        q, p = s.reshape(4, 2, 2, 3).unbind(1)
        return torch.cat([p.sum(1), torch.linalg.cross(q, p).sum(1)], dim=-1)

    change = torch.func.jvp(kept, (x,), (Free()(0.0, x, topology),))[1]
    assert change[:, :3].abs().max() < 1e-12
    still = Free().project(x, Free().squares(x))
    change = torch.func.jvp(kept, (still,), (Free()(0.0, still, topology),))[1]
    assert change.abs().max() < 1e-12


def test_projecting_restores_lengths_and_stops_stretching(seeded):
    field = learned()
    x = field.project(normal(5, 8), torch.ones(5, 2, dtype=torch.float64), turns=12)
    assert (field.squares(x) - 1).abs().max() < 1e-12
    assert field.stretching(x).abs().max() < 1e-12
    torch.testing.assert_close(field.project(x, field.squares(x)), x, rtol=0, atol=1e-12)
    off, missed = x + 0.02 * normal(5, 8, seed=3), []
    for turns in (0, 1, 2, 4):
        back = field.project(off, field.squares(x), turns=turns)
        missed.append(float((field.squares(back) - 1).abs().max()))
        assert field.stretching(back).abs().max() < 1e-12
    assert missed[0] > 1e-2
    assert missed[1] < missed[0] / 10
    assert missed[2] < missed[1] / 100
    assert missed[3] < 1e-12


def test_masses_given_do_not_change_the_precision_of_the_state(seeded):
    field, x = ConstrainedEnergy(**DUMBBELL, masses=[1.0, 2.0], width=4), normal(2, 12).float()
    assert field(0.0, x, Topology.isolated(2)).dtype == torch.float32
    assert field.energy(x, Topology.isolated(2)).dtype == torch.float32


def test_every_autograd_mode_agrees(seeded):
    field, x, three = learned(), normal(3, 8), Topology.isolated(3)
    wanted = field(0.0, x, three)
    with torch.inference_mode():
        assert torch.equal(field(0.0, x, three), wanted)
    each = torch.func.vmap(lambda s: field(0.0, s[None], Topology.isolated(1))[0])(x)
    torch.testing.assert_close(each, wanted, rtol=1e-12, atol=1e-12)
    back = torch.func.jacrev(lambda s: field(0.0, s, three))(x)
    torch.testing.assert_close(torch.func.jacfwd(lambda s: field(0.0, s, three))(x), back)


def test_masses_and_potential_can_be_trained_through(seeded):
    """The derivative of a loss in the weights, against a difference."""
    field, x, topology = learned(), normal(3, 8), Topology.isolated(3)

    def loss():
        return field(0.0, x, topology).square().sum()

    for value in field.parameters():
        value.requires_grad_(True)
        (slope,) = torch.autograd.grad(loss(), value)
        value.requires_grad_(False)
        step = 1e-6 * normal(*value.shape, seed=9)
        value.add_(step)
        ahead = loss()
        value.sub_(2 * step)
        change = (ahead - loss()) / 2
        value.add_(step)
        assert float((slope * step).sum()) == pytest.approx(float(change), rel=1e-4, abs=1e-13)


def test_the_double_pendulum_is_learned_with_its_masses(seeded):
    embed, two = embedded(DOUBLE, MASSES, LENGTHS), Topology.isolated(200)
    field = ConstrainedEnergy(**{**CHAIN, "anchors": [[0.0, 0.0]]}, width=12, depth=1).double()
    angles = normal(200, 4)
    x, slope = torch.func.jvp(embed, (angles,), (DOUBLE(0.0, angles, two),))
    with torch.no_grad():
        field.standardize(x, slope)
    size = slope.square().mean(0)
    optimizer = torch.optim.LBFGS(field.parameters(), max_iter=150, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        error = ((field(0.0, x, two) - slope).square() / size).mean()
        error.backward()
        return error

    optimizer.step(loss)
    assert float(loss().detach()) < 1e-3
    assert (1 / field.inverse_masses()).tolist() == pytest.approx(MASSES.tolist(), rel=0.01)


def test_an_undetermined_row_is_lost_alone(seeded):
    """Two ends of a rod in one place: nobody knows which way it pushes."""
    field, x = learned(), normal(3, 8)
    x[1, 2:4] = x[1, 0:2]
    found = field(0.0, x, Topology.isolated(3))
    assert found[1].isnan().any()
    torch.testing.assert_close(found[::2], field(0.0, x[::2], Topology.isolated(2)))
    rolled = Simulator(field, RK4(), 0.1).rollout(x[1:2], 5)
    assert (rolled.status, rolled.finite_steps) == ("diverged", 1)


def test_standardizing_starts_masses_at_momentum_over_velocity(seeded):
    field = ConstrainedEnergy(**CHAIN, width=4).double()
    x = normal(50, 8)
    slope = torch.cat([x[:, 4:] / torch.tensor([4.0, 4.0, 0.1, 0.1]), normal(50, 4, seed=1)], dim=1)
    field.standardize(x, slope)
    assert (1 / field.inverse_masses()).tolist() == pytest.approx([4.0, 0.1], rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rods": []}, "There are no rods"),
        ({"rods": [[0, 0]]}, r"another point or to an anchor, got \[0, 0\]"),
        ({"rods": [[0, 3]]}, r"2 points \(0 to 1\) and 1 anchors .*to 2\); got \[0, 3\]"),
        ({"rods": [[-1, 0]]}, r"got \[-1, 0\]"),
        ({"rods": [[0, 1, 2]]}, r"got \[0, 1, 2\]"),
        ({"rods": [[0, 1], [1, 0]]}, "two rods between 1 and 0"),
        ({"anchors": [[0.0, 0.0], [1.0, 0.0]], "rods": [[2, 3]]}, r"got \[2, 3\]"),
        ({"anchors": [[0.0]]}, r"2 finite coordinates, got \[0.0\]"),
        ({"anchors": [[0.0, float("nan")]]}, "finite coordinates"),
        (
            {"points": 1, "rods": [[0, 1], [0, 2]], "anchors": [[0.0, 0.0], [1.0, 0.0]]},
            "Of the 2 rods 2 are independent, for 1 points",
        ),
        (
            {"points": 4, "rods": [[a, b] for b in range(4) for a in range(b)], "anchors": []},
            "Of the 6 rods 5 are independent, for 4 points",
        ),
        ({"masses": [1.0]}, r"2 positive finite numbers, one a point; got \[1.0\]"),
        ({"masses": [1.0, 0.0]}, r"got \[1.0, 0.0\]"),
        ({"masses": [1.0, -2.0]}, r"got \[1.0, -2.0\]"),
        ({"masses": [1.0, float("nan")]}, "masses must be"),
        ({"points": 0}, "points must be at least 1, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
    ],
    ids=str,
)
def test_what_is_no_structure_is_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        ConstrainedEnergy(**{**CHAIN, **changes})


def test_a_point_held_by_two_anchors_is_allowed_where_another_swings():
    anchors = [[0.0, 0.0], [1.0, 0.0]]
    field = ConstrainedEnergy(points=2, space=2, rods=[[0, 2], [0, 3], [0, 1]], anchors=anchors)
    x, topology = normal(2, 8).float(), Topology.isolated(2)
    still = field.project(x, field.squares(x))
    assert field(0.0, still, topology)[:, :2].abs().max() < 1e-5
    assert field(0.0, still, topology)[:, 2:4].abs().max() > 0.1
