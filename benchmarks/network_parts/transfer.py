"""What was learned on a small graph, on graphs of 10, 100 and 1000 times its nodes."""

import time

import numpy as np
import torch
from hamiltonian_parts.rows import Task
from scipy.sparse import csr_array

import simlearn
from simlearn import Simulator
from simlearn.integrators import DormandPrince
from simlearn_networks import (
    BarabasiAlbert,
    ErdosRenyi,
    GeneRegulationLaw,
    Grid8,
    MassActionLaw,
)

from . import cells, gnvf
from .limits import LOST

GROWTH, ON_GRID, ON_TREE = 1.1, 0.2, 1.5  # limits: ratio of field errors; rollouts in %
TIMES = (10, 100, 1000)
STATES, EPOCHS, SHORT, SEEDS = 1000, 200, 40, 3
STAMPS, LOOSE = 21, 1e-6
BIG_DRAWS, WIDER = 3, 10  # graphs of each size; sides of the large grid over those of the small


def field_error(field, law, topology, x):
    """Mean |f − f*| / mean |f*|, ``[nodes, 1]`` states."""
    with torch.no_grad():
        true = law(0.0, x, topology)
        return float((field(0.0, x, topology) - true).abs().mean() / true.abs().mean())


def growth(task, name, errors):
    """Rows of one field: its error, and its ratio to that at the size of the training."""
    task.row(f"{name}: field error at its own size", [100 * one[1] for one in errors], unit=" %")
    for times in sorted({k for one in errors for k in one} - {1}):
        ratios = [one[times] / max(one[1], 1e-300) for one in errors]
        what = f"{name}: field error at {times} × the nodes / at its own size"
        task.row(what, ratios, median=GROWTH, unit=" ×")
    task.say(name, errors)


def mass_action(times, seed, epochs):
    """`GraphCoupled` on mass action, ER of 100 nodes, states uniform in [0, 1); errors by size."""
    law, rng = MassActionLaw(), torch.Generator().manual_seed(seed)
    topology = ErdosRenyi(100, 0.1).draw(rng)
    x = torch.rand(STATES, 100, 1, generator=rng)
    field = _regressed(law, topology, x, epochs, seed).double()
    degree, found = topology.graph.edge_index.shape[1] / 100, {}
    for k in (1, *times):
        graph = topology if k == 1 else ErdosRenyi(100 * k, degree / (100 * k - 1)).draw(rng)
        copies = graph.repeat(10) if k == 1 else graph
        states = torch.rand(copies.rows, 1, generator=rng, dtype=torch.float64)
        found[k] = field_error(field, law, copies, states)
    return found


def _regressed(law, topology, x, epochs, seed):
    """The published regime: batches of 100 states, Adam at 0.01 that falls to zero."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        field = gnvf.field()
    union, batches = topology.repeat(100), x.reshape(-1, 100, 100, 1)
    with torch.no_grad():
        slopes = [law(0.0, part.reshape(-1, 1), union).reshape(part.shape) for part in batches]
    field.standardize(x, torch.stack(slopes).reshape(x.shape))
    adam = torch.optim.Adam(field.parameters(), lr=gnvf.RATE)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs)
    for _ in range(epochs):
        for part, slope in zip(batches, slopes, strict=True):
            adam.zero_grad()
            found = field(0.0, part.reshape(-1, 1), union).reshape(part.shape)
            gnvf.loss_of(found - slope).backward()
            adam.step()
        falling.step()
    return field


def gene_field(simulator, cell, times, seed):
    """The ladder's field on grids, states drawn from all training states; errors by size."""
    law, rng = GeneRegulationLaw(), np.random.default_rng(seed)
    seen, found = cell.seen[cell.train].ravel(), {}
    for k in (1, *times):
        graph = Grid8(round((400 * k) ** 0.5)).draw(torch.Generator())
        graph = graph.repeat(10) if k == 1 else graph
        x = torch.from_numpy(rng.choice(seen, (graph.rows, 1)))
        found[k] = field_error(simulator.dynamics, law, graph, x)
    return found


def rolled(simulator, topology, start):
    """Truth and rollout to T = 5 at even times, ``[times, nodes]``, and the nodes outside.

    The rollout is None where it overflows.
    """
    t = np.linspace(0, cells.UNTIL, STAMPS)
    target, source = topology.graph.edge_index.flip(0).numpy()
    shape = (topology.rows, topology.rows)
    a = csr_array((np.ones(len(source)), (target, source)), shape=shape)
    true = cells.solved(cells.law("gene", a), start, t)
    solver = Simulator(simulator.dynamics, DormandPrince(LOOSE, LOOSE), cells.UNTIL)
    with torch.no_grad():
        found = solver.through(torch.from_numpy(start)[:, None], torch.from_numpy(t), topology)
        out = [simulator.dynamics.outside(x, topology) for x in found.x]
    whole = found.finite_steps == STAMPS
    return true, found.x[..., 0].numpy() if whole else None, torch.stack(out).numpy()


def grids(task, learn):
    """Gene regulation from the grid of 400 nodes to larger ones."""
    simulator, cell = learn("grid")
    growth(task, "gene, ladder, grid", [gene_field(simulator, cell, TIMES, 0)])
    start, large = cells.blocks().reshape(cells.SIDE, cells.SIDE), Grid8(cells.SIDE * WIDER)
    large = large.draw(torch.Generator())
    kinds = {
        "blocks enlarged": np.kron(start, np.ones((WIDER, WIDER))),
        "blocks repeated": np.tile(start, (WIDER, WIDER)),
    }
    for name, x in kinds.items():
        true, found, _ = rolled(simulator, large, x.ravel())
        error = LOST if found is None else cells.percent(found[1:], true[1:])
        what = f"gene rollout, grid 400 to {large.rows} nodes, {name}"
        task.row(what, [error], median=ON_GRID, unit=" %")
        task.say(what, error)


def attached(task, learn):
    """Gene regulation from 400 nodes of Barabási and Albert to larger graphs with larger hubs."""
    simulator, cell = learn("BA")
    errors, far, alarms, flagged, whole = [], [], [], [], []
    for draw in range(BIG_DRAWS):
        true, found, _ = _on_tree(simulator, 10, draw)
        errors.append(LOST if found is None else cells.percent(found[1:], true[1:]))
        task.say("BA × 10, draw", draw, f"{errors[-1]:.3g} %")
    task.row("gene rollout, BA 400 to 4000 nodes", errors, median=ON_TREE, unit=" %")
    for draw in range(BIG_DRAWS):
        true, found, out = _on_tree(simulator, 100, draw)
        left = true > cell.seen[cell.train].max()
        whole.append(found is not None)
        far.append(LOST if found is None else cells.percent(found[1:], true[1:]))
        alarms.append(bool(out.any()))
        flagged.append(100 * out.any(0)[left.any(0)].mean() if left.any() else 100.0)
        task.say("BA × 100, draw", draw, f"{far[-1]:.3g} %, alarm {alarms[-1]}")
    name = "gene rollout, BA 400 to 40000 nodes"
    task.row(f"{name}: no overflow", whole, worst=1.0, least=True)
    task.row(f"{name}: alarm raised", alarms, worst=1.0, least=True)
    task.row(f"{name}: nodes that truly leave the range and are told", flagged, unit=" %")
    task.row(f"{name}: error", far, unit=" %")


def _on_tree(simulator, times, draw):
    """A larger graph whose nodes start at values of the blocks, drawn anew."""
    large = BarabasiAlbert(400 * times, 5).draw(torch.Generator().manual_seed(draw))
    start = np.random.default_rng(draw).choice(cells.blocks(), large.rows)
    return rolled(simulator, large, start)


def transfer(settings):
    """Fields by regression and by the ladder; rollouts by the ladder."""
    task = Task("transfer")

    def learn(graph):
        cell = cells.drawn("gene", graph, 0)
        began = time.process_time()
        simulator = simlearn.network_ladder(cell.trajectory())
        task.say(f"gene {graph} learned in {time.process_time() - began:.0f} CPU-s")
        return simulator, cell

    times, epochs = (TIMES[:2], SHORT) if settings.quick else (TIMES, EPOCHS)
    found = [mass_action(times, seed, epochs) for seed in range(settings.count(SEEDS))]
    growth(task, "mass action, GraphCoupled, ER", found)
    if settings.quick:
        task.notes.append("A quick run learns nothing by the ladder here.")
    else:
        grids(task, learn)
        attached(task, learn)
    task.notes += [
        "States of a field error are independent at each node, from the distribution of the "
        "training. Graphs have the degree law of the training graph: ER of the same mean degree, "
        "grids row by row. Barabási-Albert graphs keep m and so have larger hubs.",
        f"Rollouts to T = {cells.UNTIL:g} from blocks of 25, 20 and 17, drawn anew for each node "
        f"of a Barabási-Albert graph; error over {STAMPS - 1} even times after the start.",
    ]
    return task
