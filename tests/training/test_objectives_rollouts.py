"""Rollouts as an objective: learned starts, states alone, uneven times."""

import pytest
import torch

import simlearn
from simlearn import ConfigError, Simulator, Topology, Trajectory
from simlearn.archive import load, save
from simlearn.component import ArchiveError, describe
from simlearn.data.module import TrajectoryData
from simlearn.data.windows import Windows
from simlearn.dynamics import HenonMap, SeparableEnergy
from simlearn.integrators import RK4, Leapfrog
from simlearn.training.fit import DEFAULTS
from simlearn.training.module import SimulatorModule
from simlearn.training.objectives import DerivativeMatching, MultiStep, OneStep
from simlearn.training.starts import Starts
from simlearn_mechanics import MassSpring
from simlearn_stabilizers import NoiseInjection

NOISE = 0.3


def small(width=8):
    return Simulator(SeparableEnergy(dim=2, width=width).double(), Leapfrog(), 0.1)


def states_of(count, steps=40, noise=0.0):
    """Orbits of a spring without recorded slopes, exact and with white noise."""
    exact = [
        Trajectory(one.t, one.x, one.topology)
        for one in MassSpring().draw(range(count), simlearn.sample_times(steps, 0.1), 0)
    ]
    rng = torch.Generator().manual_seed(1)
    noisy = [
        Trajectory(
            one.t,
            one.x + noise * torch.randn(one.x.shape, generator=rng, dtype=one.x.dtype),
            one.topology,
        )
        for one in exact
    ]
    return exact, noisy


def field_error(simulator, tracks):
    """Mean squared error of the field on exact states."""
    truth = MassSpring().truth()
    x = torch.cat([one.x[:, 0] for one in tracks])
    topology = Topology.isolated(len(x))
    wrong = simulator.dynamics(0.0, x, topology) - truth(0.0, x, topology)
    return float(wrong.square().mean().detach())


@pytest.fixture(scope="module")
def learned():
    """The same net on the same noisy states, starts measured or learned: (errors, module)."""
    import lightning.pytorch as pl

    exact, noisy = states_of(12, 20, NOISE)
    found = {}
    for free in (False, True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            simulator = small(16)
        module = SimulatorModule(
            simulator,
            MultiStep(19, optimize_starts=free),
            optimizer=lambda weights: torch.optim.Adam(weights, lr=1e-2),
        )
        data = TrajectoryData.of(noisy)
        pl.Trainer(**{**DEFAULTS, "max_epochs": 150, "accelerator": "cpu"}).fit(
            module, datamodule=data
        )
        found[free] = (field_error(simulator, exact), module)
    return exact, noisy, found


def test_learned_starts_help_on_noisy_states(learned):
    """The field is nearer to the truth than with rollouts from noisy states."""
    _, _, found = learned
    assert found[True][0] < 0.5 * found[False][0]


def test_learned_starts_are_nearer_to_the_truth_than_the_measured(learned):
    exact, noisy, found = learned
    module = found[True][1]
    window = next(iter(Windows(noisy, 20, shuffle=False)))
    true = torch.cat([one.x[0] for one in exact])
    with torch.no_grad():
        better = (module.objective.starts(window) - true).square().mean()
    assert better < 0.5 * (window.x[0] - true).square().mean()


def test_states_alone_teach_a_field(learned):
    """No slope is recorded; of the field's variance less than five percent is missed."""
    exact, noisy, found = learned
    assert noisy[0].derivative is None
    size = float(torch.cat([one.x for one in exact]).square().mean())  # |dx/dt| = |x| of a spring
    assert found[True][0] < 0.05 * size


def test_an_archive_holds_no_starts(learned, tmp_path):
    from simlearn.training.fit import finished

    _, noisy, found = learned
    module = found[True][1]
    data = TrajectoryData.of(noisy)
    data.setup("fit")
    save(finished(module, data), tmp_path / "kept")
    again = load(tmp_path / "kept")
    assert set(again.state_dict()) == set(module.simulator.state_dict())
    assert "objective.starts.offset" in module.state_dict()


@pytest.mark.parametrize("number", [torch.float32, torch.float64])
def test_every_window_finds_its_own_start(number):
    """Whatever the order, length, stride and precision of windows, and with several rows."""
    rng = torch.Generator().manual_seed(0)
    graph = Topology.complete(3)
    t = torch.arange(9, dtype=torch.float64)
    tracks = [
        Trajectory(t, torch.randn(9, 3, 2, generator=rng, dtype=torch.float64), graph)
        for _ in range(4)
    ]
    starts = Starts(tracks)
    with torch.no_grad():
        number_of_row = torch.arange(len(starts.offset), dtype=torch.float64)
        starts.offset[:] = number_of_row[:, None] / starts.spread
    for length, stride, seed in ((2, 1, 0), (4, 2, 1), (9, 8, 2)):
        for window in Windows(tracks, length, stride, batch_size=3, seed=seed):
            window = window.to("cpu", number)
            moved = (starts(window) - window.x[0])[:, 0].round().long()
            track, sample = moved[::3] // 24, moved[::3] % 24 // 3
            wanted = torch.cat([tracks[a].x[b] for a, b in zip(track, sample, strict=True)])
            torch.testing.assert_close(window.x[0], wanted.to(number))
            assert torch.equal(moved % 3, torch.arange(3).repeat(len(moved) // 3))


def test_a_window_of_other_data_begins_where_it_was_measured():
    exact, noisy = states_of(2, 10, NOISE)
    starts = Starts(noisy)
    torch.nn.init.ones_(starts.offset)
    window = next(iter(Windows(exact, 5)))
    assert torch.equal(starts(window), window.x[0])


def test_a_resumed_training_has_its_starts(tmp_path, seeded):
    """Half of the epochs, a checkpoint, the other half: the same bits as at one stretch."""
    import lightning.pytorch as pl

    _, noisy = states_of(4, 12, NOISE)

    def run(epochs, simulator, resume=None, tracks=noisy):
        module = SimulatorModule(simulator, MultiStep(5, optimize_starts=True))
        trainer = pl.Trainer(**{**DEFAULTS, "max_epochs": epochs, "accelerator": "cpu"})
        trainer.fit(module, datamodule=TrajectoryData.of(tracks), ckpt_path=resume)
        return trainer, module

    first, twin = small(), small()
    twin.load_state_dict(first.state_dict())
    trainer, _ = run(3, first)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    _, resumed = run(6, small(), str(tmp_path / "half.ckpt"))
    _, straight = run(6, twin)
    for name, value in straight.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    assert float(resumed.objective.starts.offset.abs().max()) > 0
    with pytest.raises(ArchiveError, match="Resume with the data"):
        run(6, small(), str(tmp_path / "half.ckpt"), noisy[:2])


def test_learned_starts_and_perturbed_starts_exclude_each_other():
    _, noisy = states_of(2, 12)
    with pytest.raises(ConfigError, match="NoiseInjection perturbs them"):
        simlearn.fit(
            small(),
            noisy,
            objective=MultiStep(5, optimize_starts=True),
            stabilizers=[NoiseInjection(0.1)],
            max_epochs=1,
        )


def test_it_describes_itself():
    told = describe(MultiStep(3, optimize_starts=True))
    assert told["init_args"]["optimize_starts"] is True


def uneven_orbits(count=6):
    """Exact orbits sampled at uneven times, each at its own."""
    one = MassSpring()
    tracks = []
    for number in range(count):
        rng = torch.Generator().manual_seed(number)
        gaps = 0.04 + 0.1 * torch.rand(24, generator=rng, dtype=torch.float64)
        times = torch.cat([torch.zeros(1, dtype=torch.float64), gaps.cumsum(0)])
        (track,) = one.draw(range(number, number + 1), times, 0)
        tracks.append(Trajectory(track.t, track.x, track.topology))
    return tracks


@pytest.mark.parametrize("objective", [MultiStep(6), MultiStep(6, every=2), OneStep()])
def test_uneven_times_are_met(objective, seeded):
    """The exact law has no loss on them, and a stranger has."""
    tracks = uneven_orbits()
    objective.prepare(tracks)
    window = next(iter(Windows(tracks, objective.length(tracks))))
    truth = Simulator(MassSpring().truth(), RK4(), 0.1)
    assert float(objective.loss(truth, window)) < 1e-10
    assert float(objective.loss(small(), window).detach()) > 1e-3


def test_uneven_times_can_be_trained_on_and_held_out(seeded):
    """With patience, which looks at rollouts through held-out times."""
    tracks, simulator = uneven_orbits(), small()
    before = field_error(simulator, tracks)
    fitted = simlearn.fit(
        simulator,
        tracks,
        objective=MultiStep(6),
        optimizer=lambda weights: torch.optim.Adam(weights, lr=1e-2),
        held_out=0.2,
        patience=50,
        max_epochs=60,
    )
    assert field_error(fitted, tracks) < 0.1 * before


def test_a_map_meets_no_uneven_times():
    tracks = uneven_orbits(2)
    objective = OneStep()
    objective.prepare(tracks)
    window = next(iter(Windows(tracks, 2)))
    with pytest.raises(ConfigError, match="takes no other"):
        objective.loss(Simulator(HenonMap()).double(), window)


def test_slopes_need_no_rollout():
    """Uneven data without slopes still serve derivative matching."""
    tracks = uneven_orbits(2)
    objective = DerivativeMatching()
    objective.prepare(tracks)
    truth = Simulator(MassSpring().truth(), RK4(), 0.1)
    window = next(iter(Windows(tracks, objective.length(tracks))))
    assert float(objective.loss(truth, window)) < 1e-2
