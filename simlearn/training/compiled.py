"""Training steps in one compiled graph, taken only where they give the numbers of eager mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from simlearn.simulator.lowering import lowered
from simlearn.state import Trajectory
from simlearn.training import traced
from simlearn.training.adam import AdamState, functional, whole_step
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.traced import Untraceable

if TYPE_CHECKING:
    from simlearn.training.module import SimulatorModule

# relative difference from eager mode that rounding may explain; an update is a small difference of
# two weights and may differ ten times as much
LIMITS = {torch.float32: 1e-4, torch.float64: 1e-9}
MOST_GRAPHS = 4  # kinds of windows (sizes, horizons) that are worth a compilation each
LONGEST = 65  # states of a window: a compilation takes time in proportion
MOST_MISSES = 20  # steps that went another way than the graph, until it is given up


@dataclass
class _Graph:
    """One compiled step and what it was made for; ``topology`` keeps the ids in the key alive."""

    run: Callable[..., Any]
    read: Tensor
    topology: Any


class Compiled:
    """Takes training steps in one graph each: loss, gradients and the update of Adam or AdamW.

    With another optimizer, or with clipped gradients, the graph ends at the gradients and torch
    updates. Whatever does not compile, or does not give the numbers of eager mode on its first
    window, is trained in eager mode, with a warning that says why.

    A compilation takes 10 to 60 s, and about in proportion to the steps of a rollout, each of which
    is written out: windows of more than 65 states stay eager. Each kind of window (a size of a
    batch, a horizon, a graph) is another compilation; after the fourth, training goes on in eager
    mode.

    Args:
        backend: Of `torch.compile`; None runs the recorded graph as it is, which is no faster.
    """

    def __init__(self, backend: str | Callable[..., Any] | None = "inductor"):
        self.backend, self.broken, self.misses = backend, "", 0
        self.graphs: dict[Any, _Graph] = {}
        self._state: AdamState | None = None

    def whole(self, module: SimulatorModule, optimizer: Optimizer) -> bool:
        """Whether the graph also updates the weights."""
        return functional(optimizer) and module.clip is None

    def step(
        self,
        module: SimulatorModule,
        window: Trajectory,
        optimizer: Optimizer,
        loss: Callable[[Trajectory], Tensor],
    ) -> Tensor | None:
        """The loss of a window, its step taken or its gradients set; None asks for eager mode.

        After a whole step (`whole`) no weight has a gradient, and ``optimizer.step`` does nothing.

        Args:
            module: What is trained.
            window: As perturbed by the stabilizers.
            optimizer: Torch's, whose state the graph updates in place.
            loss: Objective and penalties of a window.
        """
        if self.broken:
            return None
        whole = self.whole(module, optimizer)
        try:
            _refuse(module, window)
            state = self._state_of(optimizer, whole)
            key = (_key(module, window), whole, self._learning(optimizer))
            if key not in self.graphs:
                self.graphs[key] = self._made(module, window, loss, state)
            graph = self.graphs[key]
            with torch.no_grad():
                value, *slopes, seen = graph.run((*state.given(), traced.tensors_of(window)))
        except Exception as error:  # whatever a compiler raises: training goes on without it
            self._give_up(error)
            return None
        if len(seen) and not torch.equal(seen, graph.read):
            self.misses += 1
            if self.misses > MOST_MISSES:
                self._give_up("it decides by values, and they differ from step to step")
            return None
        if whole:
            state.taken()
        for weight, slope in zip_longest(state.weights, slopes):
            weight.grad = slope  # None after a whole step
        told: Tensor = value
        return told

    def _state_of(self, optimizer: Optimizer, whole: bool) -> AdamState:
        """The tensors of the optimizer, looked up once."""
        if self._state is None or self._state.optimizer is not optimizer:
            self._state = AdamState(optimizer, whole)
        return self._state

    def _learning(self, optimizer: Optimizer) -> tuple[Any, ...]:
        """Settings of the optimizer that are constants of the graph."""
        names = ("betas", "eps", "weight_decay")
        return tuple(group.get(name) for group in optimizer.param_groups for name in names)

    def _give_up(self, why: Exception | str) -> None:
        told = str(why).strip().splitlines() or [type(why).__name__]
        self.broken = (
            told[0] if isinstance(why, str | Untraceable) else (f"{type(why).__name__}: {told[0]}")
        )
        self.graphs.clear()
        warnings.warn(
            f"The training step is not compiled, {self.broken}. Training goes on in eager mode.",
            stacklevel=2,
        )

    def _made(
        self,
        module: SimulatorModule,
        window: Trajectory,
        loss: Callable[[Trajectory], Tensor],
        state: AdamState,
    ) -> _Graph:
        """Record, compile and compare with eager mode."""
        if len(self.graphs) >= MOST_GRAPHS:
            raise Untraceable(f"for it would be the graph number {MOST_GRAPHS + 1}")
        parts: dict[str, nn.Module] = {"simulator": module.simulator}
        if isinstance(module.objective, nn.Module):
            parts["objective"] = module.objective
        holder = traced.Loss(parts, loss)
        tensors = traced.tensors_of(window)
        eager = traced.gradients(holder, holder.names(state.weights), window.topology)
        wanted, slopes = eager([w.detach() for w in state.weights], tensors)
        before = [b._version for b in holder.buffers()]
        graph = traced.record(eager, [w.detach().clone() for w in state.weights], tensors)
        if before != [b._version for b in holder.buffers()]:
            raise Untraceable("for a buffer of the dynamics changes in each step")
        read = graph([w.detach() for w in state.weights], tensors)[2]
        step = whole_step(graph, read, state.optimizer) if state.whole else _half(graph)
        run = lowered(step, (*state.cloned().given(), tensors), self.backend)
        trial = state.cloned()
        with torch.no_grad():
            value, *found, _ = run((*trial.given(), tensors))
        _check(value[None], wanted[None], "loss")
        if state.whole:
            _check_update(state, trial, slopes)
        else:
            _check(_flat(found), _flat(slopes), "gradient")
        return _Graph(run, read, window.topology)


def _half(graph: Callable[..., Any]) -> Callable[..., Any]:
    def step(weights: list[Tensor], tensors: dict[str, Tensor]) -> Any:
        value, slopes, seen = graph(weights, tensors)
        return [value, *slopes, seen]

    return step


def _refuse(module: SimulatorModule, window: Trajectory) -> None:
    if module.trainer.world_size > 1:
        raise Untraceable("for several processes train together")
    if window.steps > LONGEST:
        raise Untraceable(f"for {window.steps} states in a window are more than {LONGEST}")
    if window.x.requires_grad:
        raise Untraceable("for a stabilizer hands on gradients through the window it perturbs")


def _key(module: SimulatorModule, window: Trajectory) -> tuple[Any, ...]:
    """What a graph was recorded for: shapes, the graph of the data, plain settings."""
    still = window.topology
    owners: list[Any] = [module.objective]
    owners += [s for s in module.stabilizers if type(s).penalty is not Stabilizer.penalty]
    plain = [
        (name, value)
        for owner in owners
        for name, value in vars(owner).items()
        if value is None or isinstance(value, bool | int | float | str)
    ]
    shapes = [(n, v.shape, v.dtype) for n, v in traced.tensors_of(window).items()]
    ids = (id(still.graph), id(still.node_type), id(still.system), still.num_systems)
    return (*ids, *shapes, *plain)


def _flat(values: Sequence[Tensor]) -> Tensor:
    return torch.cat([value.detach().flatten() for value in values])


def _check(found: Tensor, wanted: Tensor, name: str, looser: float = 1.0) -> None:
    """Refuse numbers that differ by more than rounding.

    Raises:
        Untraceable: It says by how much.
    """
    limit = looser * LIMITS[wanted.dtype]
    off = float((found - wanted).norm())
    size = float(wanted.norm())
    if not off <= limit * size:
        raise Untraceable(
            f"for its {name} differs from that of eager mode by {off / max(size, 1e-300):.1e} of "
            f"its size (limit {limit:g})"
        )


def _check_update(state: AdamState, trial: AdamState, slopes: Sequence[Tensor]) -> None:
    """Moments and weights after one step, against torch's own optimizer."""
    wanted = state.cloned()
    for weight, slope in zip(wanted.weights, slopes, strict=True):
        weight.grad = slope
    wanted.optimizer.step()
    for name in ("exp_avg", "exp_avg_sq"):
        _check(_flat(trial.moments(name)), _flat(wanted.moments(name)), f"moment {name}")
    before, moment = _flat(state.weights), _flat(wanted.moments("exp_avg"))
    # Adam divides by the size of a gradient: where that is rounding, so is the sign of the update
    clear = moment.abs() > 1e-4 * moment.square().mean().sqrt()
    ours, theirs = (((_flat(one.weights) - before) * clear) for one in (trial, wanted))
    _check(ours, theirs, "update", looser=10.0)
