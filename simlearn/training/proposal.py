"""A config for data that come without one: field, integrator and training, with the reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from simlearn.analysis.subspace import subspace
from simlearn.component import DataError
from simlearn.data.screen import pieces
from simlearn.data.store import Dataset
from simlearn.state import Trajectory
from simlearn.training.facts import Facts, noise
from simlearn.training.friction import conserved

LARGE = 100_000  # samples from which on batches pay
WIDEST = 256  # columns of a system that one network sees at once


@dataclass(frozen=True)
class Proposal:
    """What simlearn would do with a dataset.

    Attributes:
        config: A fit config.
        gate: A gate that the result is held against.
        reasons: Why, one sentence each.
    """

    config: dict[str, Any]
    gate: dict[str, Any]
    reasons: tuple[str, ...]


def propose(dataset: Dataset) -> Proposal:
    """Field, integrator, training and gate for a dataset, from its columns and its energy.

    Momenta, or velocities of one degree of freedom, whose v²/2 + V(q) is constant along every
    trajectory, make a separable energy under leapfrog; named bodies with velocities in which all
    act on all make a pair force; velocities otherwise a field of second order, and a state without
    velocities a field of first order, both under RK4.

    Raises:
        DataError: The dataset holds no trajectory.
    """
    whole = tuple(part for one in dataset for part in pieces(one))
    dataset = replace(dataset, trajectories=whole)
    facts = Facts.of(dataset)
    reasons: list[str] = []
    if facts.first.topology.node_attr is not None:
        reasons.append(
            "Parameters of the nodes are kept in the file, but no proposed field sees them."
        )
    dynamics, integrator, extra = _dynamics(facts, list(dataset), reasons)
    model: dict[str, Any] = {
        "simulator": {
            "dynamics": dynamics,
            "integrator": integrator,
            "dt": _rounded(facts.dt),
        },
        **extra,
    }
    if "stabilizers" not in model:
        model["stabilizers"] = ["Standardize"]
    model["objective"] = _objective(facts, reasons)
    trainer = _optimizer(facts, model, reasons)
    checks = _empty(model, list(dataset), reasons)
    data = _data(facts, model, reasons)
    config = {"model": model, "data": data, "trainer": trainer}
    gate = _gate(facts, integrator, dataset)
    gate["suites"]["full"] += checks
    return Proposal(config, gate, tuple(reasons))


def _empty(
    model: dict[str, Any], training: Sequence[Trajectory], reasons: list[str]
) -> list[dict[str, Any]]:
    """What is done about directions without data, and the check that asks about them."""
    kind = model["simulator"]["dynamics"]["class_path"]
    if kind not in ("MLPField", "Flattened"):
        return []
    try:
        found = subspace(training, kind == "Flattened")
    except DataError:
        return []
    empty, n = found.normal.shape[1], len(found.kinds)
    if not empty:
        return []
    model["stabilizers"] = [*model["stabilizers"], "SubspaceProjection"]
    reasons.append(
        f"{empty} of {n} directions carry no energy (a column that is constant, or a combination "
        "of others): the dynamics are kept on the rest, and the gate asks what they do off it."
    )
    return [_spec("UnlearnableDirections")]


def _data(facts: Facts, model: dict[str, Any], reasons: list[str]) -> dict[str, Any]:
    """Batches and what is held out, with the patience that looks at it."""
    data: dict[str, Any] = {"batch_size": 256} if facts.census.samples >= LARGE else {}
    if facts.census.count >= 5:
        data["held_out"] = 0.1
        if facts.regular:
            model["patience"] = 10
            reasons.append(
                "A tenth is held out: it stops when rollouts of it get no better for 10 epochs."
            )
    return data


def _rounded(value: float) -> float:
    return float(f"{value:.10g}")


def _dynamics(
    facts: Facts, trajectories: Sequence[Trajectory], reasons: list[str]
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    one, sees = facts.first, {"inputs": facts.inputs, "attributes": facts.attributes}
    told = {name: count for name, count in sees.items() if count}
    for name, count in told.items():
        reasons.append(f"It sees {count} {'control inputs' if name == 'inputs' else 'parameters'}.")
    if one.topology.rows > 1:
        return _of_many(facts, trajectories, told, reasons)
    energetic = facts.second == "momentum" or (facts.second == "velocity" and one.dim == 2)
    if energetic and not told:
        kept, why = conserved(trajectories)
        reasons.append(why)
        if kept:
            reasons.append("So a separable energy T + V, integrated by leapfrog, which keeps it.")
            return _spec("SeparableEnergy", dim=one.dim), "Leapfrog", {}
    if facts.second == "velocity":
        reasons.append("Velocities are there, so only accelerations are learned: dq/dt = v.")
        return _spec("MLPField", dim=one.dim, second_order=True, **told), "RK4", {}
    reasons.append("A general field dx/dt = f(x), integrated by RK4: it promises no energy.")
    return _spec("MLPField", dim=one.dim, **told), "RK4", {}


def _of_many(
    facts: Facts, trajectories: Sequence[Trajectory], told: dict[str, int], reasons: list[str]
) -> tuple[dict[str, Any], str, dict[str, Any]]:
    one = facts.first
    rows, edges = one.topology.rows, one.topology.graph.edge_index.shape[1]
    if (
        one.topology.node_names
        and facts.second == "velocity"
        and edges == rows * (rows - 1)
        and not told
    ):
        near, far = _distances(trajectories)
        reasons.append(
            f"{rows} named bodies with velocities in which all act on all: one weight for each "
            "and one force between all pairs, in closed form, then through leapfrog rollouts."
        )
        spec = _spec(
            "PairForce",
            names=list(one.topology.node_names),
            terms=16,
            r_min=_rounded(0.8 * near),
            r_max=_rounded(1.2 * far),
        )
        return spec, "Leapfrog", {"start": "ClosedForm", "stabilizers": []}
    same = len(facts.census.rows) == 1
    if same and rows * one.dim <= WIDEST:
        reasons.append(
            f"{rows} rows of {one.dim} columns: one network sees all of them at once, and RK4 "
            "steps it. It knows no graph, so it serves systems of this size only."
        )
        wide = dict(told) | ({"inputs": rows * told["inputs"]} if "inputs" in told else {})
        inner = _spec("MLPField", dim=rows * one.dim, **wide)
        return _spec("Flattened", field=inner, rows=rows), "RK4", {}
    reasons.append("Systems of several sizes: one network for every row, blind to its neighbours.")
    second = {"second_order": True} if facts.second == "velocity" else {}
    return _spec("MLPField", dim=one.dim, **second, **told), "RK4", {}


def _spec(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": name, "init_args": arguments}


def _distances(trajectories: Sequence[Trajectory]) -> tuple[float, float]:
    """Smallest and largest distance between two rows of a system."""
    low, high = torch.inf, 0.0
    for one in trajectories:
        q = one.x[:: max(1, one.steps // 200), :, : one.dim // 2]
        first, second = torch.triu_indices(q.shape[1], q.shape[1], 1)
        apart = (q[:, first] - q[:, second]).norm(dim=-1)
        low, high = min(low, float(apart.min())), max(high, float(apart.max()))
    return low, high


def _objective(facts: Facts, reasons: list[str]) -> dict[str, Any]:
    if not facts.regular or facts.typical < 4:
        how = "recorded slopes" if facts.first.derivative is not None else "central differences"
        reasons.append(f"The times are irregular, so it is fitted to {how}.")
        return _spec("DerivativeMatching")
    horizon = max(1, min(20, facts.typical - 1))
    reasons.append(f"Trained through rollouts of {horizon} steps of {facts.dt:g}.")
    return _spec("MultiStep", horizon=horizon)


def _optimizer(facts: Facts, model: dict[str, Any], reasons: list[str]) -> dict[str, Any]:
    if facts.census.samples < LARGE:
        model["optimizer"] = {
            "class_path": "torch.optim.LBFGS",
            "init_args": {
                "lr": 1.0,
                "max_iter": 10,
                "history_size": 20,
                "tolerance_grad": 1e-12,
                "tolerance_change": 1e-15,
                "line_search_fn": "strong_wolfe",
            },
        }
        reasons.append("Few enough data for L-BFGS on all of them at once.")
        return {"max_epochs": 40}
    model["optimizer"] = {"class_path": "torch.optim.Adam", "init_args": {"lr": 2e-3}}
    reasons.append("Many data, so Adam on batches.")
    return {"max_epochs": 30}


def _short(value: float) -> float:
    return float(f"{value:.2g}")


def _gate(facts: Facts, integrator: str, dataset: Dataset) -> dict[str, Any]:
    """Bounded, forecast error, and energy where the scheme keeps it.

    A forecast may be off by a tenth of the spread, and by four times the noise of the data: it
    starts from a noisy sample and is held against one.
    """
    one = facts.first
    half = max(1, one.dim // 2) if facts.second else one.dim
    spread = torch.cat([d.x[..., :half].reshape(-1, half) for d in dataset]).std(0).norm()
    # held-out trajectories may be shorter than these; of a single one they are its end
    share = 0.15 if facts.census.count == 1 else 0.9 if len(set(facts.census.lengths)) == 1 else 0.5
    span = min(float(d.t[-1].max() - d.t[0].min()) for d in dataset)
    horizon = max(1, min(200, int(share * span / facts.dt)))
    long = horizon if facts.inputs else 10 * horizon
    limit = _short(0.1 * float(spread) + 4 * noise(facts, dataset, half))
    checks = [
        _spec("Bounded", horizon=long, factor=2.0, starts=4),
    ]
    if facts.regular:  # else rollout and data have no times in common
        checks.append(_spec("ForecastError", horizon=horizon, limit=limit, starts=4))
    if integrator == "Leapfrog":
        checks.append(_spec("EnergyDrift", horizon=max(1000, long)))
    return {"schema": 1, "suites": {"full": checks}}
