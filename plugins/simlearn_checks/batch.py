"""Many rollouts at once, each of which may be lost by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn import DataError, Evidence, Simulator, Topology, Trajectory, inputs_for
from simlearn.analysis import flat

Inside = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Flock:
    """Rollouts side by side.

    Attributes:
        t: ``[kept]`` time since the start.
        x: ``[kept, rows, dim]``; NaN where a system was lost.
        topology: Of all of them.
        lost: ``[systems]`` the step after which a system was no number, or outside; −1 where not.
    """

    t: Tensor
    x: Tensor
    topology: Topology
    lost: Tensor

    def systems(self) -> Tensor:
        """``[kept, systems, n]``."""
        return flat.states(Trajectory(self.t, self.x, self.topology))


@torch.no_grad()
def together(
    simulator: Simulator,
    begins: Sequence[Trajectory],
    steps: int,
    every: int = 1,
    inside: Inside | None = None,
) -> Flock:
    """Roll out from the first state of every trajectory, all as one batch.

    A system that is lost does not disturb the others.

    Args:
        simulator: What is rolled out.
        begins: Where; control inputs, where there are any, are taken from them.
        steps: Number of steps.
        every: Keep every so many steps, and the start.
        inside: Whether each row ``[rows, dim]`` is where it may be; a system is lost with a row.
    """
    topology, x, t0, inputs = _joined(begins, steps, simulator.dt)
    lost = torch.full((topology.num_systems,), -1)
    kept, dt = [x], simulator.dt
    for k, (now, here) in enumerate(_walk(simulator, x, steps, t0, topology, inputs)):
        x, topology = now, here
        good = x.isfinite().all(-1)
        good = good if inside is None else good & inside(x)
        out = topology.per_system((~good).double()) > 0
        lost = torch.where((lost < 0) & out, k + 1, lost)
        if (k + 1) % every == 0:
            kept.append(torch.where(topology.per_row(lost < 0)[:, None], x, torch.nan))
        if k % 64 == 0 and bool((lost >= 0).all()):
            break
    kept += [torch.full_like(x, torch.nan)] * (steps // every + 1 - len(kept))
    t = dt * every * torch.arange(len(kept), dtype=torch.float64)
    return Flock(t, torch.stack(kept), topology, lost)


def _walk(
    simulator: Simulator,
    x: Tensor,
    steps: int,
    t0: float | Tensor,
    topology: Topology,
    inputs: Tensor | None,
) -> Iterator[tuple[Tensor, Topology]]:
    """The states after every step, and the topology that acted; the scheme keeps its carry."""
    field, scheme, dt = simulator.dynamics, simulator.integrator, simulator.dt
    carry: tuple[Tensor, ...] = ()
    for k in range(steps):
        t = t0 + k * dt
        if inputs is not None:
            topology = topology.replace(inputs=inputs[k])
        if scheme is None:
            x = field(t, x, dt, topology)
        else:
            if k == 0 or inputs is not None:
                carry = scheme.start(field, t, x, topology)
            x, carry = scheme.step(field, t, x, dt, topology, carry)
        yield x, topology


def _joined(
    begins: Sequence[Trajectory], steps: int, dt: float
) -> tuple[Topology, Tensor, float | Tensor, Tensor | None]:
    """The union of all starts: topology, states, times, and the inputs of every step."""
    parts = [one.topology for one in begins]
    shared = all(part is parts[0] for part in parts)
    topology = parts[0].repeat(len(parts)) if shared else Topology.union(parts)
    x = torch.cat([one.x[0] for one in begins])
    times = [float(one.t[0].min()) for one in begins]
    t0: float | Tensor = times[0]
    if len(set(times)) > 1:
        t0 = torch.cat([x.new_full((p.rows, 1), t) for p, t in zip(parts, times, strict=True)])
    acting = [inputs_for(one, steps, dt) for one in begins]
    given = [one for one in acting if one is not None]
    if given and len(given) < len(acting):
        raise DataError("Some held-out trajectories carry control inputs and some do not.")
    return topology, x, t0, torch.cat(given, 1) if given else None


def distances(flock: Flock, data: Sequence[Trajectory], every: int = 1) -> Tensor:
    """‖x − data‖ of every system, ``[samples, systems]``; data at every so many samples."""
    theirs = torch.cat([one.x[::every] for one in data], 1)
    squares = (flock.x[: len(theirs)] - theirs).square().sum(-1)
    return flock.topology.per_system(squares, dim=1).sqrt()


def climate(evidence: Evidence) -> float:
    """The root mean square of held-out states about their mean, as vectors."""
    seen = [flat.states(one).flatten(0, 1) for one in evidence.held_out]
    if len({part.shape[1] for part in seen}) == 1:
        seen = [torch.cat(seen)]
    total = sum(float((part - part.mean(0)).square().sum()) for part in seen)
    return math.sqrt(total / sum(len(part) for part in seen))


def models(simulator: Simulator, evidence: Evidence) -> dict[str, Simulator]:
    """The judged simulator under "", the references under their names."""
    return {"": simulator, **evidence.references}


def meets(model: Simulator, spacing: float) -> bool:
    """Whether a whole number of steps lies between samples."""
    ratio = spacing / model.dt
    return ratio > 0.5 and abs(ratio - round(ratio)) < 1e-6 * ratio


def steps_of(model: Simulator, judged: Simulator, steps: int) -> int:
    """How many steps of another simulator cover the same time."""
    return max(1, round(steps * judged.dt / model.dt))
