"""Control inputs of a system: held between samples, a stream of their own, stored."""

import pytest
import torch

from simlearn import ConfigError, Map, System, Topology, read, sample_times
from simlearn.randomness import generator
from simlearn_mechanics import DampedMassSpringLaw, DrivenMassSpring, DrivenPendulum, MassSpring

TIMES = sample_times(30, 0.1)


@pytest.mark.parametrize("kind", [DrivenMassSpring, DrivenPendulum])
def test_the_recorded_derivative_is_that_with_the_input_acting(kind):
    system = kind()
    (track,) = system.draw(range(1), TIMES, seed=0)
    assert track.inputs.shape == (30, 1, 1)
    assert track.topology.inputs is None
    for x, u, slope in zip(track.x, track.inputs, track.derivative, strict=True):
        acting = track.topology.replace(inputs=u)
        assert torch.equal(system.truth()(0.0, x, acting), slope)
        assert not torch.equal(system.truth()(0.0, x, track.topology), slope)


def test_levels_are_held_and_within_the_limit():
    (track,) = DrivenMassSpring(force=0.3, hold=4).draw(range(1), TIMES, seed=0)
    u = track.inputs[:, 0, 0]
    assert u.abs().max() <= 0.3
    changes = (u.diff() != 0).nonzero().squeeze(1) + 1
    assert changes.tolist() == list(range(4, 30, 4))


def test_inputs_have_a_stream_of_their_own():
    """The same start as the undriven system, and inputs that differ by index and by seed."""
    tracks = list(DrivenMassSpring().draw(range(3), TIMES, seed=0))
    for driven, free in zip(tracks, MassSpring().draw(range(3), TIMES, seed=0), strict=True):
        assert torch.equal(driven.x[0], free.x[0])
    (other,) = DrivenMassSpring().draw(range(1), TIMES, seed=1)
    drawn = {tuple(track.inputs.flatten().tolist()) for track in [*tracks, other]}
    assert len(drawn) == 4
    system, (track, *_) = DrivenMassSpring(), tracks
    assert not torch.equal(system.inputs(TIMES, generator(0, 0)), track.inputs)


def test_bytes_depend_on_seed_and_index_only():
    both = list(DrivenPendulum().draw(range(70), TIMES, seed=3))
    for i in (1, 65):
        (one,) = DrivenPendulum().draw(range(i, i + 1), TIMES, seed=3)
        for name in ("x", "inputs", "derivative"):
            assert getattr(one, name).numpy().tobytes() == getattr(both[i], name).numpy().tobytes()


def test_inputs_go_to_the_file_and_come_back(command, tmp_path):
    arguments = ["--count", 2, "--steps", 30, "--dt", 0.1, "--seed", 0, "--out", "driven.h5"]
    assert command("generate", "--generator", "DrivenPendulum", *arguments) == 0
    stored = read(tmp_path / "driven.h5").trajectories
    for one, drawn in zip(stored, DrivenPendulum().draw(range(2), TIMES, 0), strict=True):
        assert torch.equal(one.inputs, drawn.inputs)
        assert torch.equal(one.x, drawn.x)


def test_the_measured_accuracy_covers_driven_systems():
    assert 0 < DrivenPendulum().accuracy(TIMES, seed=0) < 1e-8


class Adds(Map):
    """x + u."""

    def forward(self, t, x, dt, topology):
        return x + topology.inputs


class Sum(System):
    """A map whose input is 1, 2, 3 ..."""

    def truth(self):
        return Adds()

    def start(self, rng):
        return torch.zeros(1, 1), Topology.isolated(1)

    def inputs(self, times, rng):
        return torch.arange(1.0, len(times) + 1)[:, None, None]


def test_a_map_takes_the_input_of_the_sample_it_leaves():
    (track,) = Sum().draw(range(1), sample_times(5, 1.0), seed=0)
    assert track.x.flatten().tolist() == [0, 1, 3, 6, 10]


class Short(Sum):
    """Inputs for too few samples."""

    def inputs(self, times, rng):
        return torch.zeros(2, 1, 1)


class Sometimes(Sum):
    """Inputs for some trajectories only."""

    def inputs(self, times, rng):
        draw = torch.rand(1, generator=rng)
        return torch.zeros(len(times), 1, 1) if draw < 0.5 else None


@pytest.mark.parametrize(("kind", "got"), [(Short, r"\[2, 1, 1\]"), (Sometimes, "None|mix")])
def test_inputs_of_another_shape_are_refused(kind, got):
    with pytest.raises(ConfigError, match=rf"must be \[5, 1, u\], got ({got})"):
        list(kind().draw(range(1), sample_times(5, 1.0), seed=0))


def test_an_input_of_another_width_than_the_force_is_refused():
    topology = Topology.isolated(2).replace(inputs=torch.zeros(2, 3))
    with pytest.raises(ConfigError, match=r"control input must be \[2, 1\].*got \[2, 3\]"):
        DampedMassSpringLaw()(0.0, torch.zeros(2, 2), topology)
