"""Rollouts without gradients, so many steps in one compiled graph."""

from __future__ import annotations

import hashlib
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
MOST_GRAPHS = 8  # kinds of calls (rows, edges, types) that are worth a compilation each
ATTACHED = ("edge_attr", "node_attr", "system_attr", "inputs")  # arguments of a graph
KNOWN = ("one_row_each", "rows_each")  # of a topology: read from values, but constant ones

Graph = Callable[..., Any]


class CompiledRollout:
    """Rolls a simulator out by graphs of ``chunk`` steps each; no gradients flow through them.

    A graph belongs to the number of rows, the dtype, and the edges and types of the topology;
    another topology of the same content takes the same graph. It is compared with eager mode on the
    first start that stays finite and is not at rest at zero. A compilation takes 10 to 60 s, about
    in proportion to the chunk, so after the eighth kind others are rolled out in eager mode.
    Whatever does not compile, or gives other numbers, is rolled out in eager mode from then on. A
    warning says why. Weights and attributes of the topology are read at every call, so the
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
        self._graphs: dict[Any, Graph] = {}
        self._parts: tuple[Any, ...] = ()
        self._isolated: Topology | None = None

    @torch.no_grad()
    def __call__(self, x0: Tensor, steps: int, topology: Topology | None = None) -> Trajectory:
        """`Simulator.rollout` from time zero, every state kept.

        Raises:
            ConfigError: The state does not fit.
        """
        topology = self.simulator._topology(x0, topology or self._alone(x0))
        run = None if self.broken or steps < self.chunk else self._graph(x0, topology)
        if run is None:
            return self.simulator.rollout(x0, steps, topology)
        x = self._states(run, x0.contiguous(), steps, topology)
        t = sampled(0.0, self.simulator.dt, steps + 1, topology)
        return rolled(x, t, topology, math.inf)

    def _alone(self, x0: Tensor) -> Topology:
        """Vector systems, the same object from call to call."""
        kept = self._isolated
        if kept is None or kept.rows != len(x0) or kept.system.device != x0.device:
            kept = self._isolated = Topology.isolated(len(x0)).to(x0.device)
        return kept

    def _states(self, run: Graph, x: Tensor, steps: int, topology: Topology) -> Tensor:
        """The states ``[steps + 1, rows, dim]``, fewer where it blows up."""
        weights, held, number = self._weights(), _attached(topology), 0
        carry, states = self.simulator._start(0.0, x, topology), [x[None]]
        while number + self.chunk <= steps and bool(inside(x.flatten(), math.inf)):
            block, *carry = run([weights, held, x, self._time(x, number), [*carry]])
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

    def _graph(self, x0: Tensor, topology: Topology) -> Graph | None:
        """The graph for such states; None asks for eager mode."""
        simulator = self.simulator
        parts = (simulator.dynamics, simulator.integrator, simulator.dt)
        if parts != self._parts:
            self._graphs, self._parts = {}, parts  # those there were are of other dynamics
        key = (x0.shape, x0.dtype, x0.device, _content(topology))
        if key in self._graphs:
            return self._graphs[key]
        if len(self._graphs) >= MOST_GRAPHS:
            warnings.warn(
                f"A rollout of {len(x0)} rows is not compiled, for it would be the graph number "
                f"{MOST_GRAPHS + 1}. Such ones are rolled out in eager mode.",
                stacklevel=4,
            )
            return None
        # whatever eager mode raises is no matter of the compiler, and nothing is remembered of it
        wanted = simulator.rollout(x0, self.chunk, topology)
        if wanted.status != "ok" or not bool(wanted.x[1:].any()):
            return None  # nothing to compare with
        try:
            # inductor's graphs take the strides they were made with, without a look
            self._graphs[key] = self._made(x0.contiguous(), topology, wanted.x[1:])
        except Exception as error:  # whatever a compiler raises: eager mode goes on without it
            told = (str(error).strip().splitlines() or [""])[0]
            self.broken = f"{type(error).__name__}: {told}"
            warnings.warn(f"The rollout is not compiled, {self.broken}.", stacklevel=4)
        return self._graphs.get(key)

    def _made(self, x0: Tensor, topology: Topology, wanted: Tensor) -> Graph:
        """Recorded, compiled and compared with eager mode."""
        steps = _Steps(self.simulator, self.chunk, topology)
        # Tao begins with x0 as its copy; recording takes one tensor twice for one argument
        carry = [part.clone() for part in self.simulator._start(0.0, x0, topology)]
        given = [self._weights(), _attached(topology), x0, self._time(x0, 0), carry]
        run = lowered(lambda *all: steps.called(*all), given, self.backend)
        off, size = float((run(given)[0] - wanted).norm()), float(wanted.norm())
        if not off <= LIMITS[x0.dtype] * size:
            raise ConfigError(f"it is off eager mode by {off / size:.1e} of the states")
        return run


def _content(topology: Topology) -> str:
    """A digest of what is constant in a graph, and the kinds of what is not."""
    held = [(name, value.shape, value.dtype) for name, value in _attached(topology).items()]
    told = repr((topology.graph.key, topology.node_names, topology.num_systems, held))
    digest = hashlib.sha256(told.encode())
    for value in (topology.node_type, topology.system):
        digest.update(b"" if value is None else value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _attached(topology: Topology) -> dict[str, Tensor]:
    """What may differ between topologies that share a graph."""
    held = {name: getattr(topology, name) for name in ATTACHED}
    return {n: value.detach().contiguous() for n, value in held.items() if value is not None}


class _Steps(nn.Module):
    """Some steps of a simulator as a function of all weights."""

    def __init__(self, simulator: Simulator, count: int, topology: Topology):
        super().__init__()
        self.simulator, self.count, self.topology = simulator, count, topology
        self.known = {name: getattr(topology, name) for name in KNOWN}
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

    def called(
        self,
        weights: list[Tensor],
        held: dict[str, Tensor],
        x: Tensor,
        t: Tensor,
        carry: list[Tensor],
    ) -> Any:
        """With these weights and attributes of the topology."""
        if held:
            self.topology = self.topology.replace(**held)
            self.topology.__dict__.update(self.known)
        given = dict(zip(self.names, weights, strict=True))
        return torch.func.functional_call(self, given, (x, t, carry))
