"""Dataset generators, and systems of known physics that are integrated to tight tolerance."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol, final

import numpy as np
import torch
from scipy.integrate import DOP853
from torch import Tensor

from simlearn.component import Component, ConfigError, NumericalError, optional
from simlearn.dynamics.base import Dynamics, Map
from simlearn.randomness import generator
from simlearn.state import Topology, Trajectory

# trajectories integrated as one stack; fixed, because the step sizes and so the bytes depend on it
SHARD = 64
TOLERANCE = 1e-12
REFERENCE_TOLERANCE = 3e-14  # DOP853 takes no smaller one
# the second key of the generator that draws the inputs of trajectory i; its start has none
INPUTS = 1

_dtype_lock = threading.Lock()


class Invariant(Protocol):
    """A quantity that the true dynamics conserve."""

    def __call__(self, x: Tensor, topology: Topology) -> Tensor:
        """``[systems]``."""
        ...


class DatasetGenerator(Component):
    """Draws trajectories. Trajectory i depends on (seed, i) only."""

    @abstractmethod
    def draw(self, indices: range, times: Tensor, seed: int) -> Iterator[Trajectory]:
        """The trajectories of ``indices``, sampled at ``times`` ``[steps]``, float64."""

    @optional
    def accuracy(self, times: Tensor, seed: int) -> float | None:
        """Measured error of the data against a tighter reference, in the unit of the state.

        None if unknown.
        """
        return None

    @optional
    def units(self) -> Mapping[str, str]:
        """Units of "time", "position" (the first half of a state) and "momentum" or "velocity"."""
        return {}


class System(DatasetGenerator):
    """Known physics: a truth and random starts. `draw` integrates it in float64 and is final.

    Attributes:
        stack: Integrate up to 64 trajectories as one system (40 times faster). False where rows
            differ in difficulty, as in close encounters.
    """

    stack: ClassVar[bool] = True

    @abstractmethod
    def truth(self) -> Dynamics:
        """The true dynamics."""

    @abstractmethod
    def start(self, rng: torch.Generator) -> tuple[Tensor, Topology]:
        """A random start ``[rows, dim]`` with its topology; called under default dtype float64."""

    @optional
    def invariants(self) -> Mapping[str, Invariant]:
        """Conserved quantities by name."""
        return {}

    @optional
    def inputs(self, times: Tensor, rng: torch.Generator) -> Tensor | None:
        """Random control inputs ``[steps, rows, u]``, None where there are none.

        ``inputs[k]`` acts from ``times[k]`` to ``times[k + 1]`` without change (a zero-order hold);
        the truth finds it in ``topology.inputs``. The generator is not the one of the start.
        """
        return None

    @final
    def draw(self, indices: range, times: Tensor, seed: int) -> Iterator[Trajectory]:
        """Integrate by DOP853 (relative and absolute tolerance 1e-12), or iterate a map.

        Under control inputs the integration begins anew at every sample, where the right-hand side
        jumps.
        """
        size = SHARD if self.stack else 1
        wanted = sorted(indices)
        for shard in sorted({i // size for i in wanted}):
            drawn = self._shard(range(shard * size, (shard + 1) * size), times, seed, TOLERANCE)
            for i in wanted:
                if i // size == shard:
                    yield drawn[i - shard * size]

    @final
    def accuracy(self, times: Tensor, seed: int) -> float | None:
        """Largest difference of the first shard to one integrated at tolerance 3e-14."""
        first = range(SHARD if self.stack else 1)
        drawn = self._shard(first, times, seed, TOLERANCE)
        tight = self._shard(first, times, seed, REFERENCE_TOLERANCE)
        apart = [(one.x - two.x).abs().max() for one, two in zip(drawn, tight, strict=True)]
        return float(torch.stack(apart).max())

    @torch.no_grad()
    def _shard(self, shard: range, times: Tensor, seed: int, tolerance: float) -> list[Trajectory]:
        with _dtype_lock:
            before = torch.get_default_dtype()
            torch.set_default_dtype(torch.float64)
            try:
                starts = [self.start(generator(seed, i)) for i in shard]
                truth = self.truth().double()
                topology = Topology.union([s[1] for s in starts])
                x0 = torch.cat([s[0] for s in starts]).double()
                inputs = self._inputs(shard, times, seed, [s[1].rows for s in starts])
                x = _solved(truth, x0, times.double(), topology, tolerance, inputs)
                slopes = (
                    None if isinstance(truth, Map) else _slopes(truth, times, x, topology, inputs)
                )
            finally:
                torch.set_default_dtype(before)
        offsets = np.cumsum([0] + [s[1].rows for s in starts])
        return [
            Trajectory(
                times.double(),
                x[:, a:b].clone(),
                start[1],
                derivative=None if slopes is None else slopes[:, a:b].clone(),
                inputs=None if inputs is None else inputs[:, a:b].clone(),
            )
            for start, a, b in zip(starts, offsets, offsets[1:], strict=False)
        ]

    def _inputs(self, shard: range, times: Tensor, seed: int, rows: Sequence[int]) -> Tensor | None:
        """The inputs of a shard side by side, ``[steps, all rows, u]``."""
        drawn: list[Tensor] = []
        for i, count in zip(shard, rows, strict=True):
            one = self.inputs(times.double(), generator(seed, i, INPUTS))
            if one is None and not drawn:
                return None
            if one is None or one.ndim != 3 or one.shape[:2] != (len(times), count):
                raise ConfigError(
                    f"{type(self).__name__}.inputs must be [{len(times)}, {count}, u], got "
                    f"{None if one is None else list(one.shape)}. Return one value for each "
                    "sample time and row, or None for every trajectory."
                )
            drawn.append(one.double())
        return torch.cat(drawn, dim=1)


def _solved(
    truth: Dynamics,
    x0: Tensor,
    times: Tensor,
    topology: Topology,
    tol: float,
    inputs: Tensor | None,
) -> Tensor:
    """The states at the sample times, ``[steps, rows, dim]``."""
    solve = _iterate if isinstance(truth, Map) else _integrate
    if inputs is None:
        return solve(truth, x0, times, topology, tol)
    states = [x0]
    for k in range(len(times) - 1):
        acting = topology.replace(inputs=inputs[k])
        states.append(solve(truth, states[-1], times[k : k + 2], acting, tol)[-1])
    return torch.stack(states)


def _slopes(
    truth: Dynamics, times: Tensor, x: Tensor, topology: Topology, inputs: Tensor | None
) -> Tensor:
    """dx/dt at the sample times; where it jumps with the inputs, the value just after."""
    slopes = []
    for k, t in enumerate(times):
        acting = topology if inputs is None else topology.replace(inputs=inputs[k])
        slopes.append(truth(float(t), x[k], acting))
    return torch.stack(slopes)


def _integrate(
    truth: Dynamics, x0: Tensor, times: Tensor, topology: Topology, tol: float
) -> Tensor:
    """All rows as one system, dense output at the sample times."""

    def slope(t: float, flat: np.ndarray) -> np.ndarray:
        state = torch.from_numpy(flat.reshape(x0.shape).copy())
        answer: np.ndarray = truth(t, state, topology).numpy().ravel()
        return answer

    wanted = times.numpy()
    solver = DOP853(slope, wanted[0], x0.numpy().ravel(), wanted[-1], rtol=tol, atol=tol)
    out = np.empty((len(wanted), x0.numel()))
    out[0] = solver.y
    done = 1
    while done < len(wanted):
        message = solver.step()
        if solver.status == "failed" or not np.isfinite(solver.y).all():
            raise NumericalError(
                f"{type(truth).__name__} could not be integrated beyond t = {solver.t:.6g}: "
                f"{message or 'the state is not finite'}. Take a shorter time span or other "
                "parameters."
            )
        until = int(np.searchsorted(wanted, solver.t, side="right"))
        if until > done:
            out[done:until] = solver.dense_output()(wanted[done:until]).T
            done = until
    return torch.from_numpy(out).reshape(len(wanted), *x0.shape)


def _iterate(truth: Dynamics, x0: Tensor, times: Tensor, topology: Topology, tol: float) -> Tensor:
    states = [x0]
    for t, dt in zip(times[:-1].tolist(), times.diff().tolist(), strict=True):
        states.append(truth(t, states[-1], dt, topology))
        if not bool(states[-1].isfinite().all()):
            raise NumericalError(
                f"{type(truth).__name__} leaves every bound near t = {t + dt:.6g}. "
                "Take fewer steps, or other parameters or starts."
            )
    return torch.stack(states)


def sample_times(steps: int, dt: float, t0: float = 0.0) -> Tensor:
    """``steps`` times from ``t0``, ``dt`` apart, ``[steps]``.

    Raises:
        ConfigError: No step, or a step that is not positive.
    """
    if steps < 1 or not dt > 0:
        raise ConfigError(
            f"A trajectory needs at least 1 step and a positive dt, got {steps} and {dt}."
        )
    return t0 + dt * torch.arange(steps, dtype=torch.float64)
