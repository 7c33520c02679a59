"""A simulator: dynamics, an integrator and a step, and the one rollout that everything uses."""

from __future__ import annotations

import math
from typing import Any, final

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError, describe
from simlearn.dynamics.base import Dynamics, Map, Time, VectorField
from simlearn.integrators.base import Carry, Integrator
from simlearn.state import Status, Topology, Trajectory

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
        _fit_together(dynamics, integrator, dt)
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
        _fit_together(dynamics, self.integrator, self.dt)
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
        """The state one step later: ``[rows, dim]`` to ``[rows, dim]``."""
        topology = self._topology(x, topology)
        if self.integrator is None:
            return self.dynamics(t, x, self.dt, topology)
        carry = self._start(t, x, topology)
        return self.integrator.step(self.dynamics, t, x, self.dt, topology, carry)[0]

    def _topology(self, x: Tensor, topology: Topology | None) -> Topology:
        if topology is None:
            topology = Topology.isolated(x.shape[0]).to(x.device)
        dim = self.dynamics.dim
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

        Returns:
            ``steps // every + 1`` states. Without gradients a rollout that stopped early keeps the
            part before it only; ``status`` and ``finite_steps`` say so.

        Raises:
            ConfigError: The state does not fit the dynamics, or the integrator cannot take inputs.
        """
        if steps < 0 or every < 1:
            raise ConfigError(f"A rollout has steps >= 0 and every >= 1, got {steps} and {every}.")
        topology = self._topology(x0, topology)
        if inputs is not None and (inputs.ndim != 3 or inputs.shape[:2] != (steps, topology.rows)):
            raise ConfigError(
                f"inputs must be [{steps}, {topology.rows}, u], got {list(inputs.shape)}."
            )
        x = torch.stack(self._unroll(x0, steps, topology, t0, inputs, every, bound))
        return self._rolled(x, steps // every + 1, topology, t0, every, bound)

    def _rolled(
        self, x: Tensor, wanted: int, topology: Topology, t0: Time, every: int, bound: float
    ) -> Trajectory:
        """The states with their times, and how the rollout ended."""
        with torch.no_grad():
            good = _leading(_inside(x.flatten(1), bound))
        status: Status = "ok" if good == wanted else "left_bound"
        if good < len(x) and not bool(x[good].isfinite().all()):
            status = "diverged"
        if not x.requires_grad:
            x = x[: max(1, good)]
        t = self.dt * every * torch.arange(len(x), dtype=torch.float64, device=x.device)
        if isinstance(t0, Tensor):
            first = t.new_zeros(topology.num_systems)
            t = t[:, None] + first.index_put((topology.system,), t0[:, 0].to(t))
        else:
            t = t + t0
        return Trajectory(t, x, topology, status=status, finite_steps=good)

    def _unroll(
        self,
        x: Tensor,
        steps: int,
        topology: Topology,
        t0: Time,
        inputs: Tensor | None,
        every: int,
        bound: float,
    ) -> list[Tensor]:
        """The states asked for; without gradients it stops soon after the state left the bound."""
        states, carry = [x], self._start(t0, x, topology) if inputs is None else ()
        field, scheme, dt = self.dynamics, self.integrator, self.dt  # a module looks up slowly
        for k in range(steps):
            t = t0 + k * dt
            if inputs is not None:
                topology = topology.replace(inputs=inputs[k])
                carry = self._start(t, x, topology)
            if scheme is None:
                x = field(t, x, dt, topology)
            else:
                x, carry = scheme.step(field, t, x, dt, topology, carry)
            if (k + 1) % every == 0:
                states.append(x)
            if (
                k % LOOK_EVERY == 0
                and not x.requires_grad
                and not bool(_inside(x.flatten(), bound))
            ):
                states.append(x)
                break
        return states


def _inside(x: Tensor, bound: float) -> Tensor:
    """Whether every component of a state ``[..., components]`` is finite and inside the bound."""
    # one pass: the largest norm hands NaN on, and no comparison with NaN is true
    largest = torch.linalg.vector_norm(x, torch.inf, dim=-1)
    return (largest <= bound) & (largest < torch.inf)


def _leading(flags: Tensor) -> int:
    """How many leading entries are True."""
    return len(flags) if bool(flags.all()) else int(flags.int().argmin())


def _fit_together(dynamics: Dynamics, integrator: Integrator | None, dt: float) -> None:
    if not math.isfinite(dt) or dt <= 0:
        raise ConfigError(f"The step dt must be positive and finite, got {dt}.")
    kind = type(dynamics).__name__
    if isinstance(dynamics, Map):
        if integrator is not None:
            raise ConfigError(
                f"{kind} is a map and steps by itself, but was given {type(integrator).__name__}. "
                "Leave the integrator out."
            )
        return
    if not isinstance(dynamics, VectorField):
        raise ConfigError(f"A simulator needs a VectorField or a Map, got {kind}.")
    if integrator is None:
        raise ConfigError(f"{kind} is a vector field and needs an integrator, for example RK4.")
    if not isinstance(dynamics, integrator.needs):
        raise ConfigError(
            f"{type(integrator).__name__} needs a {integrator.needs.__name__}, got {kind}. "
            "Use ImplicitMidpoint or RK4, or split the energy into kinetic and potential "
            "(SeparableEnergy)."
        )
