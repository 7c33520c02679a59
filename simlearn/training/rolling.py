"""Rollouts along a window of the data, whatever its times."""

from __future__ import annotations

from torch import Tensor

from simlearn.component import ConfigError
from simlearn.simulator import Simulator
from simlearn.state import Trajectory
from simlearn.training.objective import row_time, same_interval


def along(
    simulator: Simulator,
    window: Trajectory,
    x0: Tensor,
    steps: int,
    every: int = 1,
    irregular: bool = False,
) -> Trajectory:
    """A rollout from ``x0`` that meets the first ``steps`` samples after the start of a window.

    Where the samples are one step of the simulator apart it is a plain rollout; uneven gaps are cut
    into equal steps no longer than that (`Simulator.through`). A window of one gap cannot tell
    whether the data are uneven; ``irregular`` says that they are.

    Raises:
        ConfigError: The samples are even, but at another interval than the simulator steps.
    """
    inputs = None if window.inputs is None else window.inputs[:steps]
    if same_interval(simulator, window):
        start = row_time(window, 0)
        return simulator.rollout(x0, steps, window.topology, t0=start, inputs=inputs, every=every)
    if not irregular:
        _refuse_even(simulator, window)
    met = simulator.through(x0, window.t[: steps + 1], window.topology, inputs=inputs)
    return met if every == 1 else met.slice(0, None, every)


def uneven(window: Trajectory) -> bool:
    """Whether the samples of a window differ in how far they are apart."""
    gaps = window.t.diff(dim=0)
    return bool(gaps.max() - gaps.min() > 1e-4 * gaps.max())


def _refuse_even(simulator: Simulator, window: Trajectory) -> None:
    if not uneven(window):
        raise ConfigError(
            f"The simulator steps by {simulator.dt:g}, the data are sampled every "
            f"{float(window.t.diff(dim=0).min()):g}. Set simulator.dt to the interval of the data."
        )
