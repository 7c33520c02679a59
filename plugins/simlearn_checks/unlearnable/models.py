"""The simulator's relatives and its training."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from simlearn import ConfigError, Evidence, Simulator, Trajectory
from simlearn.analysis.energy import unit_of

DRAWN = 16  # models with fresh weights
PROBED = 16  # states at which the tangent kernel is looked at


def drawn(simulator: Simulator, seed: int) -> list[Simulator]:
    """The same simulator with fresh weights, several times; none where they cannot be drawn.

    Scales that were measured in the data stay.
    """
    simulator = _before_stabilizers(simulator)
    modules = [m for m in simulator.modules() if callable(getattr(m, "reset_parameters", None))]
    owned = sum(p.numel() for m in modules for p in m.parameters(recurse=False))
    if not modules or owned != sum(p.numel() for p in simulator.parameters()):
        return []
    found = []
    for number in range(DRAWN):
        other = copy.deepcopy(simulator)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + number)
            for module in other.modules():
                reset = getattr(module, "reset_parameters", None)
                if callable(reset):
                    reset()
        found.append(other.requires_grad_(False))
    return found


def _before_stabilizers(simulator: Simulator) -> Simulator:
    """With the dynamics that a stabilizer put into others: what it made is no symmetry."""
    inside = getattr(simulator.dynamics, "inside", None)
    if inside is None:
        return simulator
    return Simulator(inside, simulator.integrator, simulator.dt)


def training_time(simulator: Simulator, training: Sequence[Trajectory]) -> float | None:
    """T, so that gradient descent leaves exp(−λ T) of a first error; None where T decides nothing.

    T = 2/m · gain · Σ η / (1 − β) from the archive's sum of learning rates and momentum, m outputs.
    The gain is what the tangent kernel of the step gives beyond the product of the states,
    mean_c |∂F_c/∂θ|² / size_c² / mean |z|²: 1 for a linear layer on scaled states, dt² for a
    residual map, and whatever width and scales make of a network. ``size`` are the units of the
    objective's residuals. Adam and its like move every weight by about the same step, whatever the
    energy of its input.
    """
    kept = simulator.provenance.get("optimizer", {})
    rates = float(kept.get("sum_of_learning_rates", 0.0) or 0.0)
    if kept.get("class") != "SGD" or rates <= 0 or not list(simulator.parameters()):
        return None
    one = training[0]
    seen = one.slice(0, one.steps - 1, max(1, (one.steps - 1) // PROBED))
    sizes = _sizes(simulator, training)
    copied = copy.deepcopy(simulator).requires_grad_(True)
    weights = [weight for weight in copied.parameters() if weight.is_floating_point()]
    rng = torch.Generator().manual_seed(0)
    total = 0.0
    for k in range(seen.steps):
        acting = seen.topology
        if seen.inputs is not None:
            acting = acting.replace(inputs=seen.inputs[k])
        moved = copied.step(seen.x[k], acting) / sizes
        signs = torch.randint(2, moved.shape, generator=rng).to(moved) * 2 - 1
        slopes = torch.autograd.grad((moved * signs).sum(), weights, allow_unused=True)
        total += sum(float(g.square().sum()) for g in slopes if g is not None)
    outputs = seen.x[0].numel()
    z = seen.x / unit_of(torch.cat([o.x.reshape(-1, o.dim) for o in training]).double())
    gain = total / seen.steps / outputs / float(z.square().sum((1, 2)).mean())
    momentum = float(kept.get("momentum", 0.0) or 0.0)
    time = 2 / outputs * gain * rates / (1 - momentum)
    return time if time > 0 and math.isfinite(time) else None


def _sizes(simulator: Simulator, training: Sequence[Trajectory]) -> Tensor:
    """Units of the residuals of the objective, in units of the state, ``[dim]``."""
    told = simulator.provenance.get("objective", {}) or {}
    one = torch.ones(training[0].dim, dtype=torch.float64)
    if told.get("init_args", {}).get("scale", "none") == "none":
        return one
    kind = str(told.get("class_path", "")).rpartition(".")[2]
    values = [o.x if kind == "MultiStep" else o.x.diff(dim=0) for o in training]
    size = torch.cat([v.reshape(-1, v.shape[-1]) for v in values]).square().mean(0).sqrt()
    return torch.where(size > 0, size, one)


def optimizer_of(simulator: Simulator) -> str:
    """Class of the optimizer that trained it, "" where nobody wrote it down."""
    return str(simulator.provenance.get("optimizer", {}).get("class", ""))


def starts_of(evidence: Evidence, count: int) -> list[Trajectory]:
    """Held-out trajectories of one system on the training's graph; else training ones."""
    graph = evidence.training[0].topology.graph
    kept = evidence.held_out or evidence.training
    same = [
        one
        for one in kept
        if one.topology.num_systems == 1
        and one.topology.rows == (evidence.training[0].topology.rows_each or 0)
        and (one.topology.rows == 1 or torch.equal(one.topology.graph.edge_index, graph.edge_index))
    ]
    return same[:count]


def refuse_strangers(simulator: Simulator, siblings: Sequence[Simulator]) -> None:
    """Siblings are models of one description with other weights.

    Raises:
        ConfigError: One is another model, or the very same.
    """
    for number, one in enumerate(siblings, 1):
        if one.describe() != simulator.describe():
            raise ConfigError(
                f"Sibling {number} is another model ({one.name}) than the one judged "
                f"({simulator.name}). Give models of the same config: simlearn fit --seeds R."
            )
        mine, theirs = simulator.state_dict(), one.state_dict()
        if mine and all(torch.equal(value, theirs[name]) for name, value in mine.items()):
            raise ConfigError(
                f"Sibling {number} has the weights of the simulator that is judged. Give models "
                "of other seeds: simlearn fit --seeds R."
            )
