"""Time of a training iteration of NDCN's mathematics: its own solvers against the framework's."""

import functools
import importlib
import importlib.util
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

import torch
from hamiltonian_parts.rows import Task

from . import cells, latent, ndcn

BLOCK = 20  # iterations of one way before the next has its turn
SELDOM = 5  # torchdiffeq has one turn in so many, on the weights that own NDCN has then
LAST = 0.2  # part of the iterations at whose ends of turns errors are taken
CASES, SEEDS, SHORT = (("heat", "grid"), ("gene", "grid")), 5, 40
TRIED = 3  # the seeds before this one are those on which the steps were chosen
LIMITS, EQUAL = {"dopri5": 6.0, "Euler": 2.5}, 1.1
STEPS = {"dopri5": 14, "Euler": 24}  # of ours, where NDCN takes that solver
OWN, PEER, OURS = "own NDCN", "torchdiffeq", "ours"


def peer(method):
    """A solver of torchdiffeq, which NDCN's program calls."""
    odeint = importlib.import_module("torchdiffeq").odeint
    return lambda rate, h, t: odeint(
        lambda _, x: rate(x), h, t, rtol=ndcn.RTOL, atol=ndcn.ATOL, method=method
    )


def ways(cell):
    """Makers of the models that are compared."""
    phi = ndcn.laplacian(cell.a)
    topology = latent.phi_of(cell.a)
    found = {
        ("Euler", OWN): lambda: ndcn.NDCN(phi),
        ("dopri5", OWN): lambda: ndcn.NDCN(phi, ndcn.adaptive),
    }
    for solver, steps in STEPS.items():
        found[solver, OURS] = functools.partial(latent.Continuous, topology, steps)
    if importlib.util.find_spec("torchdiffeq"):
        found["Euler", PEER] = lambda: ndcn.NDCN(phi, peer("euler"))
        found["dopri5", PEER] = lambda: ndcn.NDCN(phi, peer("dopri5"))
    return found


def one_seed(dynamics, graph, seed, iterations):
    """Train every way on one cell, in turns.

    Returns:
        Of every way, milliseconds an iteration, and errors in %: those after the last iteration,
        and their mean over the last turns; both absent where the way is only timed.
    """
    cell = cells.drawn(dynamics, graph, seed)
    x, t = (torch.from_numpy(part).float() for part in (cell.start, cell.t))
    wanted = torch.from_numpy(cell.seen[cell.train]).float()
    models = {name: ndcn.seeded(seed, make) for name, make in ways(cell).items()}
    known, decay = t[torch.from_numpy(cell.train)], ndcn.DECAY[dynamics]
    steps = {name: ndcn.trainer(one, x, known, wanted, decay) for name, one in models.items()}
    spent, errors = {name: [] for name in models}, {name: [] for name in models}
    for turn, done in enumerate(range(0, iterations, BLOCK)):
        for name, step in steps.items():
            if name[1] == PEER:
                if turn % SELDOM:
                    continue
                models[name].load_state_dict(models[name[0], OWN].state_dict())
            began = time.process_time()
            for _ in range(BLOCK):
                step()
            spent[name].append((time.process_time() - began) / BLOCK)
            if name[1] != PEER and done + BLOCK > iterations * (1 - LAST):
                with torch.no_grad():
                    found = cell.errors(models[name](x, t).double().numpy())
                errors[name].append(statistics.fmean(found.values()))
    mean = statistics.fmean
    return {
        name: (1e3 * mean(spent[name]), *((told[-1], mean(told)) if told else (None, None)))
        for name, told in errors.items()
    }


def speed(settings):
    """Heat and gene on the grid; on the same arrays, and but for torchdiffeq equally often."""
    task = Task("speed")
    iterations = SHORT if settings.quick else ndcn.ITERATIONS
    seeds = range(TRIED, TRIED + settings.count(SEEDS))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(len(CASES), settings.jobs), mp_context=context) as pool:
        all_found = pool.map(several, CASES, repeat(seeds), repeat(iterations))
        for case, found in zip(CASES, all_found, strict=True):
            for solver in LIMITS:
                for where in (OWN, PEER):
                    _rows(task, " ".join(case), found, (solver, where), not settings.quick)
    task.notes += [
        f"{iterations} iterations each, in turns of {BLOCK}, Adam, float32, CPU time. Ours: the "
        "same parameters and right-hand side, steps of Euler's scheme over the time of the data, "
        "short at first, and a cubic spline through the decoded states; Φ is sparse, in NDCN "
        f"dense as in its program. Most of the gain is fewer steps: {STEPS['dopri5']} beside "
        f"Dormand-Prince at NDCN's tolerances, {STEPS['Euler']} beside its Euler steps from stamp "
        f"to stamp, chosen on seeds 0 to {TRIED - 1} of both; here are seeds "
        f"{', '.join(map(str, seeds))}. NDCN's program calls torchdiffeq; own NDCN takes the same "
        "steps by code with less overhead, so it is the harder rival; torchdiffeq has one turn in "
        f"{SELDOM}, which begins with the weights that own NDCN has then.",
        "Errors: mean over interp and extrap, after the last iteration, and averaged over the ends "
        f"of the turns in the last {LAST:.0%} of the iterations, as those of NDCN move by a third "
        f"from one hundred iterations to the next; equal where the median is at most {EQUAL:g} "
        "times theirs."
        + (" A quick run is far from trained, and not judged." if settings.quick else ""),
    ]
    return task


def several(case, seeds, iterations):
    """All seeds of one cell, in one thread."""
    torch.set_num_threads(1)
    found = []
    for seed in seeds:
        found.append(one_seed(*case, seed, iterations))
        told = {" by ".join(way): pair for way, pair in found[-1].items()}
        print("[speed]", *case, "seed", seed, "ms and %:", told, file=sys.stderr, flush=True)
    return found


def _rows(task, cell, found, way, judged):
    """Ratio of times, and of errors, seed by seed."""
    name = " by ".join(way)
    pairs = [(one[way], one[way[0], OURS]) for one in found if way in one]
    note = "torchdiffeq is not installed" if not pairs else ""
    if pairs:
        theirs, ours = (statistics.median(pair[k][0] for pair in pairs) for k in (0, 1))
        note = f"{theirs:.3g} and {ours:.3g} ms"
    ratios = [theirs[0] / ours[0] for theirs, ours in pairs]
    what = f"{cell}: iteration, {name} / ours"
    limit, equal = (LIMITS[way[0]], EQUAL) if judged else (None, None)
    task.row(what, ratios, median=limit, least=True, unit=" ×", note=note)
    task.say(what, note)
    if pairs and way[1] == OWN:
        for k, when in ((1, "after the last iteration"), (2, f"over the last {LAST:.0%}")):
            apart = [ours[k] / theirs[k] for theirs, ours in pairs]
            note = "; ".join(f"{ours[k]:.3g} and {theirs[k]:.3g} %" for theirs, ours in pairs)
            what = f"{cell}: error {when}, ours / {name}"
            task.row(what, apart, median=equal, unit=" ×", note=note)
