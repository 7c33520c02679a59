"""What is asked of dataset generators."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from simlearn.component import EnvironmentFault
from simlearn.data.generate import DatasetGenerator, System, sample_times
from simlearn.state import Trajectory
from simlearn.testing.cases import SEED, acting, examples
from simlearn.testing.spawn import drawn_elsewhere, drawn_here


def _drawn(
    one: DatasetGenerator, indices: range, seed: int = SEED, steps: int = 5, dt: float = 0.05
) -> list[Trajectory]:
    import pytest

    try:
        return list(one.draw(indices, sample_times(steps, dt), seed))
    except EnvironmentFault as fault:
        pytest.skip(str(fault))


def trajectory_depends_on_seed_and_index(cls: type[DatasetGenerator]) -> None:
    """Trajectories are the same bytes whatever else is drawn, float64, finite, at the times."""
    times = sample_times(5, 0.05)
    for one in examples(cls):
        both, alone = _drawn(one, range(2)), _drawn(one, range(1, 2))
        assert torch.equal(both[1].x, alone[0].x), "trajectory 1 depends on what else is drawn"
        assert both[0].x.dtype == torch.float64
        assert both[0].x.isfinite().all()
        assert torch.equal(both[0].t, times), f"asked for {times}, sampled at {both[0].t}"
        assert not torch.equal(both[0].x, both[1].x), "every trajectory is the same"
        if isinstance(one, System):
            assert not torch.equal(both[0].x, _drawn(one, range(1), SEED + 1)[0].x)


def tells_its_accuracy(cls: type[DatasetGenerator]) -> None:
    """`accuracy` is None or a number; a System's data are right to 1e-6."""
    for one in examples(cls):
        accuracy = one.accuracy(sample_times(5, 0.05), SEED)
        if isinstance(one, System):
            assert accuracy is not None
            assert accuracy < 1e-6, f"the data are wrong by {accuracy:.1e}"
        assert accuracy is None or accuracy >= 0


def drawing_leaves_the_global_rng_alone(cls: type[DatasetGenerator]) -> None:
    """Nor does drawing leave another default dtype behind."""
    for one in examples(cls):
        before, dtype = torch.random.get_rng_state(), torch.get_default_dtype()
        _drawn(one, range(1))
        assert torch.equal(before, torch.random.get_rng_state())
        assert torch.get_default_dtype() == dtype


def workers_draw_the_same_bytes(cls: type[DatasetGenerator]) -> None:
    """Two spawned workers, each with half of the indices, draw what one process draws."""
    import pytest

    for one in examples(cls):
        try:
            here = drawn_here(one, range(4), 5)
        except EnvironmentFault as fault:
            pytest.skip(str(fault))
        apart = b"".join(drawn_elsewhere(one, [range(2), range(2, 4)], 5))
        assert apart == here, (
            f"{cls.__name__} draws other bytes in other processes: something besides the seed and "
            "the index decides"
        )


def derivative_is_the_slope_of_the_data(cls: type[DatasetGenerator]) -> None:
    """A recorded derivative is dx/dt of the data; a System's is its truth at the state."""
    for one in examples(cls):
        (track,) = _drawn(one, range(1), steps=9, dt=1e-3)
        if track.derivative is None:
            continue
        if track.inputs is None:  # under inputs the slope jumps at every sample
            slope = (track.x[2:] - track.x[:-2]) / 2e-3
            near = 1e-2 * (float(slope.abs().max()) + 1e-6)
            torch.testing.assert_close(track.derivative[1:-1], slope, rtol=0, atol=near)
        if isinstance(one, System):
            truth = one.truth().double()
            for k, t in enumerate(track.t.tolist()):
                wanted = truth(t, track.x[k], acting(track, k))
                torch.testing.assert_close(track.derivative[k], wanted, rtol=1e-9, atol=1e-9)


def names_its_units(cls: type[DatasetGenerator]) -> None:
    """`units` maps the known quantities to strings."""
    known = ("time", "position", "momentum", "velocity")
    for one in examples(cls):
        units = one.units()
        assert isinstance(units, Mapping), f"units() is a {type(units).__name__}"
        for name, unit in units.items():
            assert name in known, f"units() names {name!r}; it may name {', '.join(known)}"
            assert isinstance(unit, str), f"the unit of {name} is {unit!r}, no string"


def invariants_are_conserved(cls: type[System]) -> None:
    """Every invariant keeps its value along the data, one number a system."""
    for one in examples(cls):
        if not one.invariants():
            continue
        (track,) = _drawn(one, range(1), steps=41)
        for name, invariant in one.invariants().items():
            told = torch.stack([invariant(x, track.topology) for x in track.x])
            assert told.shape == (track.steps, 1), f"{name} of one system is {list(told.shape[1:])}"
            drift = float((told - told[0]).abs().max())
            assert drift < 1e-7 * (1 + float(told[0].abs())), f"{name} changes by {drift:.1e}"
