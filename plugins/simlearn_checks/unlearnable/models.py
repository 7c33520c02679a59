"""The simulator's relatives and its training."""

from __future__ import annotations

import copy

import torch

from simlearn import Evidence, Simulator, Trajectory

DRAWN = 16  # models with fresh weights


def drawn(simulator: Simulator, seed: int) -> list[Simulator]:
    """The same simulator with fresh weights, several times; none where they cannot be drawn.

    Scales that were measured in the data stay.
    """
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


def training_time(simulator: Simulator, outputs: int) -> float | None:
    """T = 2/outputs · Σ learning rates, as the archive kept them; None where that decides nothing.

    Adam and its like move every weight by about the same step, whatever the energy of its input.
    """
    kept = simulator.provenance.get("optimizer", {})
    rates = float(kept.get("sum_of_learning_rates", 0.0) or 0.0)
    return 2 / outputs * rates if kept.get("class") == "SGD" and rates > 0 else None


def optimizer_of(simulator: Simulator) -> str:
    """Class of the optimizer that trained it, "" where nobody wrote it down."""
    return str(simulator.provenance.get("optimizer", {}).get("class", ""))


def starts_of(evidence: Evidence, count: int) -> list[Trajectory]:
    """Held-out trajectories of one system; training ones where nothing is held out."""
    kept = evidence.held_out or evidence.training
    return [one for one in kept if one.topology.num_systems == 1][:count]
