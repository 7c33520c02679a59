"""Rollouts without gradients, so many steps in one compiled graph."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from simlearn.component import ConfigError
from simlearn.simulator.core import Simulator
from simlearn.simulator.lowering import lowered
from simlearn.simulator.outcome import inside, rolled
from simlearn.simulator.plan import sampled
from simlearn.state import Topology, Trajectory

# largest difference from eager mode over one graph, relative to the size of the states
LIMITS = {torch.float32: 1e-4, torch.float64: 1e-9}


class CompiledRollout:
    """Rolls a simulator out by graphs of ``chunk`` steps each; no gradients flow through them.

    The first graph of each number of rows is compared with eager mode. Whatever does not compile,
    or gives other numbers, is rolled out in eager mode, with a warning that says why. A compilation
    takes 10 to 60 s, about in proportion to the chunk. The weights are read at every call, so the
    simulator may be trained in between.

    Args:
        simulator: What is rolled out. Its scheme must take the same operations at every step, as
            implicit and adaptive ones do not.
        chunk: Steps of a graph; what is left over goes step by step.
        backend: Of `torch.compile`; None runs the recorded graph as it is, which is no faster.
    """

    def __init__(
        self,
        simulator: Simulator,
        chunk: int = 10,
        backend: str | Callable[..., Any] | None = "inductor",
    ):
        if chunk < 1:
            raise ConfigError(f"A chunk has at least one step, got {chunk}.")
        self.simulator, self.chunk, self.backend, self.broken = simulator, chunk, backend, ""
        self._graphs: dict[Any, tuple[Callable[..., Any], Topology]] = {}
        self._isolated: dict[Any, Topology] = {}

    @torch.no_grad()
    def __call__(self, x0: Tensor, steps: int, topology: Topology | None = None) -> Trajectory:
        """`Simulator.rollout` from time zero, every state kept."""
        if topology is None:
            key = (len(x0), x0.device)
            topology = self._isolated.setdefault(key, Topology.isolated(len(x0)).to(x0.device))
        if self.broken or steps < self.chunk:
            return self.simulator.rollout(x0, steps, topology)
        try:
            run = self._graph(x0, topology)
        except Exception as error:  # whatever a compiler raises: eager mode goes on without it
            told = (str(error).strip().splitlines() or [""])[0]
            self.broken = f"{type(error).__name__}: {told}"
            warnings.warn(f"The rollout is not compiled, {self.broken}.", stacklevel=3)
            return self.simulator.rollout(x0, steps, topology)
        x = self._states(run, x0, steps, topology)
        t = sampled(0.0, self.simulator.dt, steps + 1, topology)
        return rolled(x, t, topology, math.inf)

    def _states(self, run: Callable[..., Any], x: Tensor, steps: int, topology: Topology) -> Tensor:
        """The states ``[steps + 1, rows, dim]``, fewer where it blows up."""
        weights, number = self._weights(), 0
        carry, states = self.simulator._start(0.0, x, topology), [x[None]]
        while number + self.chunk <= steps and bool(inside(x.flatten(), math.inf)):
            block, *carry = run([weights, x, self._time(x, number), [*carry]])
            states.append(block)
            x, number = block[-1], number + self.chunk
        if steps % self.chunk and bool(inside(x.flatten(), math.inf)):
            t, count = number * self.simulator.dt, steps - number
            rest, _ = _Steps(self.simulator, count, topology).block(x, t, tuple(carry))
            states.append(rest)
        return torch.cat(states)

    def _time(self, x: Tensor, number: int) -> Tensor:
        return x.new_full((len(x), 1), number * self.simulator.dt)

    def _weights(self) -> list[Tensor]:
        both = (*self.simulator.parameters(), *self.simulator.buffers())
        return [value.detach() for value in both]

    def _graph(self, x0: Tensor, topology: Topology) -> Callable[..., Any]:
        """Recorded, compiled and compared with eager mode once for each topology."""
        key = (id(topology), x0.shape, x0.dtype)
        if key not in self._graphs:
            steps = _Steps(self.simulator, self.chunk, topology)
            # Tao begins with x0 as its copy; recording takes one tensor twice for one argument
            carry = [part.clone() for part in self.simulator._start(0.0, x0, topology)]
            given = [self._weights(), x0, self._time(x0, 0), carry]
            run = lowered(lambda *all: steps.called(*all), given, self.backend)
            wanted = self.simulator.rollout(x0, self.chunk, topology).x[1:]
            off = float((run(given)[0] - wanted).norm() / wanted.norm())
            if not off <= LIMITS[x0.dtype]:
                raise ConfigError(f"it is off eager mode by {off:.1e} of the states")
            self._graphs[key] = (run, topology)
        return self._graphs[key][0]


class _Steps(nn.Module):
    """Some steps of a simulator as a function of all weights."""

    def __init__(self, simulator: Simulator, count: int, topology: Topology):
        super().__init__()
        self.simulator, self.count, self.topology = simulator, count, topology
        both = (*self.named_parameters(), *self.named_buffers())
        self.names = [name for name, _ in both]

    def block(self, x: Tensor, t: Any, carry: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
        """The states after each step, and the last carry."""
        scheme, field, dt, states = (
            self.simulator.integrator,
            self.simulator.dynamics,
            self.simulator.dt,
            [],
        )
        for _ in range(self.count):
            if scheme is None:
                x = field(t, x, dt, self.topology)
            else:
                x, carry = scheme.step(field, t, x, dt, self.topology, carry)
            t = t + dt
            states.append(x)
        return torch.stack(states), carry

    def forward(self, x: Tensor, t: Tensor, carry: list[Tensor]) -> list[Tensor]:
        """One list, as a graph gives it."""
        states, last = self.block(x, t, tuple(carry))
        return [states, *last]

    def called(self, weights: list[Tensor], x: Tensor, t: Tensor, carry: list[Tensor]) -> Any:
        """With these weights."""
        given = dict(zip(self.names, weights, strict=True))
        return torch.func.functional_call(self, given, (x, t, carry))
