"""Angles enter learned energies as cosine and sine: periodic, and canonical all the same."""

import json
import math

import pytest
import torch

from simlearn import archive
from simlearn.component import ConfigError
from simlearn.dynamics import (
    ConstantMassEnergy,
    Energy,
    LagrangianField,
    MechanicalEnergy,
    SeparableEnergy,
    gradient_of,
)
from simlearn.dynamics.angles import Angles
from simlearn.dynamics.energy import ScaledNet
from simlearn.integrators import RK4
from simlearn.simulator import Simulator
from simlearn.state import Topology

ENERGIES = [Energy, SeparableEnergy, MechanicalEnergy, ConstantMassEnergy]
FIELDS = [*ENERGIES, LagrangianField]
FIVE = Topology.isolated(5)


def normal(*shape, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def learned(kind, angles=(1,), dim=6):
    """Random weights, and units that are nobody's defaults."""
    field = kind(dim=dim, width=12, angles=angles).double().requires_grad_(False)
    field.standardize(normal(40, dim, seed=1) * 3 + 1, normal(40, dim, seed=2) * 0.7)
    return field


def turned(column, turns):
    shift = torch.zeros(6, dtype=torch.float64)
    shift[column] = 2 * math.pi * turns
    return shift


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("turns", [1, -3])
def test_a_full_turn_of_an_angle_changes_neither_energy_nor_field(seeded, kind, turns):
    field, x = learned(kind, angles=(1,)), normal(5, 6)
    there = x + turned(1, turns)
    for f in (lambda s: field.energy(s, FIVE), lambda s: field(0.0, s, FIVE)):
        torch.testing.assert_close(f(there), f(x), rtol=1e-12, atol=1e-12)
    assert (field(0.0, x + turned(1, 0.4), FIVE) - field(0.0, x, FIVE)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("column", [0, 2])
def test_the_other_positions_do_not_turn(seeded, kind, column):
    field, x = learned(kind, angles=(1,)), normal(5, 6)
    moved = field.energy(x + turned(column, 1), FIVE) - field.energy(x, FIVE)
    assert moved.abs().max() > 1e-3


@pytest.mark.parametrize("kind", ENERGIES)
@pytest.mark.parametrize("angles", [(), (0,), (1,), (2, 0), (0, 1, 2)], ids=str)
def test_the_field_is_the_turned_gradient_of_the_energy(seeded, kind, angles):
    field, x = learned(kind, angles), normal(5, 6)
    slope = gradient_of(lambda s: field.energy(s, FIVE), x)
    wanted = torch.cat([slope[:, 3:], -slope[:, :3]], dim=1)
    torch.testing.assert_close(field(0.0, x, FIVE), wanted, rtol=1e-12, atol=1e-12)
    assert slope.abs().min() > 1e-6


def test_pushing_and_pulling_are_the_jacobian_and_its_transpose():
    angles, q = Angles(4, [2, 0]), normal(1, 4)
    jacobian = torch.autograd.functional.jacobian(angles, q)[0, :, 0]
    velocity, gradient = normal(1, 4, seed=1), normal(1, 6, seed=2)
    torch.testing.assert_close(angles.push(q, velocity), velocity @ jacobian.T)
    torch.testing.assert_close(angles.pull(q, gradient), gradient @ jacobian)
    assert angles(q)[0].tolist() == [q[0, 1], q[0, 3], *q[0, [2, 0]].cos(), *q[0, [2, 0]].sin()]


def test_angles_keep_the_radian_and_the_zero_when_the_rest_is_standardized():
    net, x = ScaledNet(3, 4, 1, angles=[1]).double(), normal(100, 3) * 5 + 2
    net.standardize(x, torch.tensor(2.0))
    assert (float(net.scale[1]), float(net.shift[1]), float(net.rate[1])) == (1.0, 0.0, 2.0)
    torch.testing.assert_close(net.scaled(x)[:, ::2].std(0), torch.ones(2).double())


@pytest.mark.parametrize(("kind", "nets"), [(Energy, 1), (SeparableEnergy, 2)])
def test_an_archive_saved_before_there_were_angles_still_loads(seeded, kind, nets, tmp_path):
    """It tells no angles, and its weights are scales and layers alone."""
    saved = Simulator(kind(dim=2, width=4), RK4(), 0.1)
    names = {name.rpartition(".")[2] for name in saved.state_dict()}
    assert names == {"shift", "scale", "unit", "rate", "weight", "bias"}
    assert len(saved.state_dict()) == nets * (4 + 5)
    path = archive.save(saved, tmp_path / "simulator")
    body = json.loads((path / archive.DESCRIPTION).read_text())
    del body["simulator"]["dynamics"]["init_args"]["angles"]
    body["sha256"] = archive._digest(body)
    (path / archive.DESCRIPTION).write_text(json.dumps(body))
    loaded = archive.load(path)
    assert loaded.dynamics.angles == ()
    assert torch.equal(loaded.step(normal(3, 2).float()), saved.step(normal(3, 2).float()))


@pytest.mark.parametrize("kind", FIELDS)
def test_angles_survive_the_archive(seeded, kind, tmp_path):
    saved = Simulator(learned(kind, angles=(2, 0)), RK4(), 0.1)
    loaded = archive.load(archive.save(saved, tmp_path / "simulator"))
    assert loaded.dynamics.angles == (2, 0)
    assert torch.equal(loaded.step(normal(5, 6)), saved.step(normal(5, 6)))


@pytest.mark.parametrize("kind", FIELDS)
@pytest.mark.parametrize("angles", [[3], [-1], [0, 7]], ids=str)
def test_a_momentum_or_a_stranger_is_no_angle(kind, angles):
    with pytest.raises(ConfigError, match=r"positions 0 to 2.* got \["):
        kind(dim=6, angles=angles)


@pytest.mark.parametrize("kind", FIELDS)
def test_an_angle_is_named_once(kind):
    with pytest.raises(ConfigError, match=r"each once; got \[1, 1\]"):
        kind(dim=6, angles=[1, 1])
