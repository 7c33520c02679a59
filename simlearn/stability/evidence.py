"""What a check sees: held-out and training data, relatives of the simulator, and its rollouts."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from simlearn.component import DataError
from simlearn.data.generate import Invariant
from simlearn.data.screen import pieces
from simlearn.dynamics.base import Dynamics
from simlearn.dynamics.linear import Estimate
from simlearn.simulator import Simulator
from simlearn.state import Topology, Trajectory

LOST = 3.3  # times the largest component of the data
WORTH_A_PROCESS = 50_000  # steps under which starting a process costs more than it saves


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a simulator is held against.

    Attributes:
        held_out: Trajectories it was not trained on, cut where samples are missing.
        training: Trajectories it was trained on.
        siblings: Simulators of the same description trained from other seeds.
        references: Simulators drawn beside it, never judged.
        estimates: Fitted quantities with standard errors, from the archive's provenance.
        truth: The true dynamics, where they are known.
        invariants: Quantities that the true dynamics conserve, by name.
        units: Units of "time" and "position", for tables and pictures.
        seed: Seed of whatever a check draws.
        processes: How many processes long rollouts may use.
    """

    held_out: Sequence[Trajectory] = ()
    training: Sequence[Trajectory] = ()
    siblings: Sequence[Simulator] = ()
    references: Mapping[str, Simulator] = field(default_factory=dict)
    estimates: Mapping[str, Estimate] = field(default_factory=dict)
    truth: Dynamics | None = None
    invariants: Mapping[str, Invariant] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    processes: int = 1
    _rolled: dict[tuple[int, str, int, int, float], Trajectory] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("held_out", "training"):
            given = getattr(self, name)
            whole = (given,) if isinstance(given, Trajectory) else given
            # nobody is held against a sample that is missing
            cut = [part for one in whole for part in pieces(one)]
            object.__setattr__(self, name, tuple(cut))

    def box(self) -> float:
        """Largest absolute component of any held-out state; of training where there is none."""
        seen = self.held_out or self.training
        return max((float(one.x.abs().max()) for one in seen), default=math.inf)

    def start(self, number: int = 0) -> Trajectory:
        """The held-out trajectory a rollout begins with.

        Raises:
            DataError: There is none.
        """
        if number >= len(self.held_out):
            raise DataError(
                f"The check needs held-out trajectory {number}, the evidence has "
                f"{len(self.held_out)}. "
                "Give --data a file with more trajectories."
            )
        return self.held_out[number]

    def require(self, steps: int, dt: float, number: int = 0) -> Trajectory:
        """The held-out trajectory, if it covers so many steps.

        Raises:
            DataError: It is shorter, or sampled at times the simulator does not reach.
        """
        truth = self.start(number)
        have, want = float(truth.t[-1].max() - truth.t[0].min()), steps * dt
        if want > have * (1 + 1e-9):
            raise DataError(
                f"The horizon of {steps} steps is {want:g} long, the held-out trajectory {number} "
                f"covers {have:g}. "
                "Shorten the horizon in the gate, or generate longer evidence."
            )
        return truth

    def rollouts(
        self,
        simulator: Simulator,
        horizon: int,
        every: int = 1,
        number: int = 0,
        factor: float = LOST,
    ) -> dict[str, Trajectory]:
        """Rollouts from a held-out start: the judged one under "", each reference under its name.

        Every rollout is done once and kept for the next check. Long ones run in several processes.
        A reference with another step covers the same time. A rollout stops once a component is
        ``factor`` times as large as any in the evidence: it is lost then, whatever else is asked
        of it.
        """
        bound = max(factor, LOST) * self.box()
        wanted = {"": simulator, **self.references}
        missing, jobs = [], []
        for name, model in wanted.items():
            key = (number, name, horizon, every, bound)
            if key not in self._rolled:
                steps = max(1, round(horizon * simulator.dt / model.dt))
                stored = max(1, round(every * simulator.dt / model.dt))
                missing.append(key)
                jobs.append((model, self.start(number), steps, stored, bound))
        self._rolled.update(zip(missing, _roll_all(jobs, self.processes), strict=True))
        return {name: self._rolled[number, name, horizon, every, bound] for name in wanted}


Job = tuple[Simulator, Trajectory, int, int, float]


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread, so that sums have one order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _roll(job: Job) -> Trajectory:
    simulator, begin, steps, every, bound = job
    with one_thread(), torch.no_grad():
        return simulator.rollout(
            begin.x[0],
            steps,
            begin.topology,
            t0=float(begin.t[0].min()),
            inputs=inputs_for(begin, steps, simulator.dt),
            every=every,
            bound=bound,
        )


def inputs_for(begin: Trajectory, steps: int, dt: float) -> torch.Tensor | None:
    """Control inputs of the data for every step of a rollout, held between samples.

    Raises:
        DataError: The rollout goes on where the inputs end.
    """
    if begin.inputs is None:
        return None
    t = begin.t if begin.t.ndim == 1 else begin.t[:, 0]
    when = t[0] + dt * torch.arange(steps, dtype=t.dtype)
    if steps and float(when[-1]) >= float(t[-1]) * (1 + 1e-9):
        raise DataError(
            f"The rollout of {steps} steps needs control inputs until t = {float(when[-1]):g}, "
            "the data "
            f"end at {float(t[-1]):g}. Shorten the horizon."
        )
    return begin.inputs[torch.searchsorted(t, when + 1e-9 * dt, right=True) - 1]


def _lean(job: Job) -> Job:
    """The same job with one state only, where that is all it needs, to travel to a process."""
    return job if job[1].inputs is not None else (job[0], job[1].slice(0, 1), *job[2:])


def _roll_all(jobs: Sequence[Job], processes: int) -> list[Trajectory]:
    if processes < 2 or len(jobs) < 2 or sum(job[2] for job in jobs) < WORTH_A_PROCESS:
        return [_roll(job) for job in jobs]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(processes, len(jobs)) - 1, mp_context=context) as pool:
        others = [pool.submit(_roll, _lean(job)) for job in jobs[1:]]
        return [_roll(jobs[0]), *(other.result() for other in others)]


def energy_of(
    simulator: Simulator, evidence: Evidence, states: torch.Tensor, topology: Topology
) -> torch.Tensor | None:
    """Energy along a rollout ``[steps, systems]``.

    The truth's where it is known, else the simulator's own.
    """
    for source in (evidence.truth, simulator.dynamics):
        energy = getattr(source, "energy", None)
        if energy is not None:
            with torch.no_grad():
                return torch.stack([energy(x, topology) for x in states])
    return None
