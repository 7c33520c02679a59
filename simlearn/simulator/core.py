"""A simulator: dynamics, an integrator and a step, and the one rollout that everything uses."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, final

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError, describe
from simlearn.dynamics.base import Dynamics, Time
from simlearn.integrators.base import Carry, Integrator
from simlearn.simulator.outcome import inside, rolled
from simlearn.simulator.parts import fit_together
from simlearn.simulator.plan import Grid, Leg, even, sampled
from simlearn.simulator.reversible import Course, refuse, states_of
from simlearn.state import Topology, Trajectory

LOOK_EVERY = 256  # steps between two looks at whether the rollout is still finite


@final
class Simulator(nn.Module):
    """Dynamics that can be stepped and rolled out.

    Args:
        dynamics: A vector field, or a map.
        integrator: The scheme that advances a vector field; None for a map.
        dt: Length of a step, in the time unit of the data.

    Attributes:
        provenance: Where a trained simulator comes from, in plain JSON types; an archive keeps it.

    Raises:
        ConfigError: The parts do not fit: a field without an integrator, a map with one, or an
            integrator that needs another kind of field.
    """

    def __init__(self, dynamics: Dynamics, integrator: Integrator | None = None, dt: float = 1.0):
        super().__init__()
        fit_together(dynamics, integrator, dt)
        self.dynamics, self.integrator, self.dt = dynamics, integrator, float(dt)
        self.provenance: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        """The simulator as plain JSON types, without weights."""
        integrator = None if self.integrator is None else describe(self.integrator)
        return {"dynamics": describe(self.dynamics), "integrator": integrator, "dt": self.dt}

    def take(self, dynamics: Dynamics) -> None:
        """Other dynamics in place of the present ones.

        Raises:
            ConfigError: They do not suit the integrator.
        """
        fit_together(dynamics, self.integrator, self.dt)
        self.dynamics = dynamics

    @property
    def name(self) -> str:
        """How reports call it."""
        scheme = "" if self.integrator is None else f" with {type(self.integrator).__name__}"
        return f"{type(self.dynamics).__name__}{scheme}, dt = {self.dt:g}"

    def with_step(self, dt: float) -> Simulator:
        """The same dynamics and scheme with another step."""
        other = Simulator(self.dynamics, self.integrator, dt)
        other.provenance = self.provenance
        return other

    def forward(self, x: Tensor, topology: Topology | None = None, t: Time = 0.0) -> Tensor:
        """One step."""
        return self.step(x, topology, t)

    def step(self, x: Tensor, topology: Topology | None = None, t: Time = 0.0) -> Tensor:
        """The state one step later, the integrator started anew: ``[rows, dim]`` to the same."""
        topology = self._topology(x, topology)
        if self.integrator is None:
            return self.dynamics(t, x, self.dt, topology)
        carry = self._start(t, x, topology)
        return self.integrator.step(self.dynamics, t, x, self.dt, topology, carry)[0]

    def _topology(self, x: Tensor, topology: Topology | None) -> Topology:
        if topology is None:
            topology = Topology.isolated(x.shape[0]).to(x.device)
        dim = self.dynamics.dim
        if not (x.is_floating_point() or x.is_complex()):
            raise ConfigError(f"The state is {x.dtype}. Give real numbers: x.double().")
        own = next((p.dtype for p in self.parameters()), x.dtype)
        if x.dtype != own:
            raise ConfigError(
                f"The state is {x.dtype}, the simulator {own}. Give x.to({own}), or cast the "
                "simulator with .float() or .double()."
            )
        if x.ndim != 2 or x.shape[0] != topology.rows or (dim is not None and x.shape[1] != dim):
            rows = topology.rows if x.ndim == 2 else "rows"
            wanted = f"[{rows}, {dim if dim is not None else 'dim'}]"
            raise ConfigError(f"The state must be {wanted}, got {list(x.shape)}.")
        return topology

    def _start(self, t: Time, x: Tensor, topology: Topology) -> Carry:
        if self.integrator is None:
            return ()
        return self.integrator.start(self.dynamics, t, x, topology)

    def rollout(
        self,
        x0: Tensor,
        steps: int,
        topology: Topology | None = None,
        *,
        t0: Time = 0.0,
        inputs: Tensor | None = None,
        every: int = 1,
        bound: float = math.inf,
        gradient: str = "full",
    ) -> Trajectory:
        """Roll the state out; a rollout that blows up is a value with a status, not an exception.

        Args:
            x0: ``[rows, dim]``, in the dtype of the simulator.
            steps: Number of steps.
            topology: What stays still; vector systems where it is None.
            t0: Time of ``x0``, a float or ``[rows, 1]``.
            inputs: ``[steps, rows, u]``; ``inputs[k]`` acts during step k.
            every: Keep every so many steps (and the start).
            bound: Without gradients, stop once a component is larger than this. Looked at every
                256 steps.
            gradient: "full" keeps every step for backpropagation. "reversible" rebuilds them by
                running a reversible integrator backwards: memory for the kept states only, so
                keep few (``every``). It measures how well they were rebuilt, and warns
                (`RebuildWarning`) above a relative error of 1e-3. First derivatives only.

        Returns:
            ``steps // every + 1`` states. Without gradients a rollout that stopped early keeps the
            part before it only; ``status``, ``finite_steps`` and ``first_bad_row`` say so.

        Raises:
            ConfigError: The state does not fit the dynamics, or the integrator cannot take inputs
                or be run backwards.
        """
        if steps < 0 or every < 1:
            raise ConfigError(f"A rollout has steps >= 0 and every >= 1, got {steps} and {every}.")
        topology = self._topology(x0, topology)
        self._inputs(inputs, steps, topology)
        refuse(self.integrator, gradient, inputs)
        # what is run backwards begins at a state that is kept
        last = steps - steps % every if gradient == "reversible" else steps

        def unroll(x: Tensor) -> tuple[Tensor, Carry]:
            legs = even(t0, self.dt, last, every, inputs)
            return self._unroll(x, legs, topology, t0, inputs, bound)

        kept = steps // every + 1
        if gradient == "reversible":
            course = Course(
                self.dynamics, self.integrator, self.dt, t0, every, topology, kept, unroll
            )
            x = states_of(course, x0)
        else:
            x, _ = unroll(x0)
        return rolled(x, sampled(t0, self.dt * every, kept, topology), topology, bound)

    def through(
        self,
        x0: Tensor,
        times: Tensor,
        topology: Topology | None = None,
        *,
        inputs: Tensor | None = None,
    ) -> Trajectory:
        """The states at given times, evenly spaced or not.

        Each gap is cut into equal steps no longer than ``dt``, as many for all systems as the
        longest gap needs; an adaptive scheme chooses its own. A map that takes no step but its own
        takes whole numbers of them.

        Args:
            x0: ``[rows, dim]``, in the dtype of the simulator.
            times: ``[n]``, or ``[n, systems]``, increasing; the first is the time of ``x0``. No
                gradient flows to them.
            topology: What stays still; vector systems where it is None.
            inputs: ``[n − 1, rows, u]``; ``inputs[k]`` acts from ``times[k]`` to ``times[k + 1]``.

        Returns:
            n states, or those before it blew up, as `rollout` has it.

        Raises:
            ConfigError: The times do not increase, the state does not fit, or a map cannot take
                such steps.
        """
        topology = self._topology(x0, topology)
        grid = Grid(times, topology)
        self._inputs(inputs, len(grid.times) - 1, topology)
        if self.integrator is None and not getattr(self.dynamics, "any_step", False):
            counts = grid.whole(self.dt, type(self.dynamics).__name__)
        elif self.integrator is not None and self.integrator.adaptive:
            counts = [1] * (len(grid.times) - 1)
        else:
            counts = grid.steps(self.dt)
        legs = grid.legs(counts, self.dt, x0, inputs)
        x, _ = self._unroll(x0, legs, topology, grid.first(x0), inputs, math.inf)
        return rolled(x, grid.times.to(x.device), topology, math.inf)

    def _inputs(self, inputs: Tensor | None, steps: int, topology: Topology) -> None:
        """Refuse inputs that do not fit."""
        if inputs is None:
            return
        if inputs.ndim != 3 or inputs.shape[:2] != (steps, topology.rows):
            raise ConfigError(
                f"inputs must be [{steps}, {topology.rows}, u], got {list(inputs.shape)}."
            )
        if self.integrator is not None and self.integrator.extended:
            raise ConfigError(
                f"{type(self.integrator).__name__} carries a second copy of the state, and inputs "
                "start it anew at every step. Use ImplicitMidpoint or RK4 with inputs."
            )

    def _unroll(
        self,
        x: Tensor,
        legs: Iterable[Leg],
        topology: Topology,
        t0: Time,
        inputs: Tensor | None,
        bound: float,
    ) -> tuple[Tensor, Carry]:
        """The states asked for and the last carry.

        Without gradients it stops soon after the state left the bound.
        """
        states, carry = [x], self._start(t0, x, topology) if inputs is None else ()
        field, scheme = self.dynamics, self.integrator  # a module looks up slowly
        for k, (t, dt, keep, acting) in enumerate(legs):
            if acting is not None:
                topology = topology.replace(inputs=acting)
                carry = self._start(t, x, topology)
            if scheme is None:
                x = field(t, x, dt, topology)
            else:
                x, carry = scheme.step(field, t, x, dt, topology, carry)
            if keep:
                states.append(x)
            if k % LOOK_EVERY == 0 and not x.requires_grad and not bool(inside(x.flatten(), bound)):
                states.append(x)
                break
        return torch.stack(states), carry
