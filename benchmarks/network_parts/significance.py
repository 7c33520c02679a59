"""Size and power of the test of states, and how well REL flags graphs, over many ensembles.

An ensemble is 20 nets trained by `Bootstrap` on 1000 states of an Erdős-Rényi graph of 100 nodes,
each with its own graph, states and weights. Size: states of the training distribution. Power:
states stretched to U[0, 1.1], U[0, 1.15], U[0, 1.25] and U[0, 1.5]. REL: the error of the mean of
the members on a graph, over its median on fresh graphs of the training family, against REL > 2;
graphs and seeds are none of those on which the threshold 2 was chosen. Process CPU time, one
thread, float32.
"""

import statistics
import sys
import time

import torch
from scipy import stats

from simlearn import Topology
from simlearn.analysis.significance import Box, relative_spread, significance
from simlearn.dynamics import GraphCoupled
from simlearn_networks import (
    BarabasiAlbert,
    ErdosRenyi,
    Grid8,
    MassAction,
    NewmanWattsStrogatz,
    RandomGeometric,
    RandomPartition,
)

from .ensembles import (
    TRAINING,
    Ricker,
    Summed,
    draw,
    error,
    factorised,
    graph,
    learn,
    ring,
    star,
    targets,
)

LEVEL, STRETCH = 0.05, (1.1, 1.15, 1.25, 1.5)
SHIFTED = ("training", "ER p=.6", "BA n=1000")
WAYS = ("p", "p_mean", "p_top")
REJECT, BAD, GOOD = 2.0, 3.0, 1.4  # REL, and error over normal


def states(count, rows, seed, stretch=1.0):
    """Random states, ``[count, rows, 1]``."""
    rng = torch.Generator().manual_seed(seed)
    return stretch * torch.stack([draw(rows, rng) for _ in range(count)])


def judge(field, law, name, topology, draws, seed):
    """Shares of states rejected at .05 on one graph, by the size of the states."""
    small = topology.rows <= 200
    count, null = (draws, 999) if small else (draws // 2, 399)
    stretches = (1.0, *(STRETCH if name in SHIFTED else ()))
    shown = [count, *[count // 2] * (len(stretches) - 1)]
    x = torch.cat(
        [
            states(n, topology.rows, 7_000_000 + 100 * seed + k, by)
            for k, (n, by) in enumerate(zip(shown, stretches, strict=True))
        ]
    )
    found = significance(
        lambda y, t: field.members(0.0, y, t),
        topology,
        x,
        draw,
        reference=200 if small else 100,
        null=null,
        seed=seed,
        level=LEVEL,
    )
    rows, begin = [], 0
    for n, by in zip(shown, stretches, strict=True):
        part = slice(begin, begin + n)
        begin += n
        row = {way: float((getattr(found, way)[part] <= LEVEL).double().mean()) for way in WAYS}
        row["node"] = float((found.node_p[part] <= LEVEL).double().mean())
        row["any node after FDR"] = float(found.rejected_nodes[part].any(1).double().mean())
        off = error(field, law, topology, 123 + seed, 10, by)
        rows.append({"graph": name, "stretch": by, "states": n, "null": null, "error": off, **row})
    return rows


def band(share, count):
    """Whether a size is in the 99 % binomial band around .05; the finite null is left out of it."""
    law = stats.binom(count, LEVEL)
    return bool(law.ppf(0.005) <= round(share * count) <= law.ppf(0.995))


def sizes_and_powers(seeds, draws, only=None):
    """Rows of every ensemble and graph, CPU-seconds of training, errors on the training graph."""
    rows, seconds, errors = [], [], []
    for seed in seeds:
        law = MassAction().truth()
        field, training, spent = factorised(seed)
        seconds.append(spent)
        for name, topology in targets(training, seed).items():
            if only and name not in only:
                continue
            for row in judge(field, law, name, topology, draws, seed):
                row |= {"ensemble": seed}
                if row["stretch"] == 1.0:
                    row["in band"] = {w: band(row[w], row["states"]) for w in WAYS}
                rows.append(row)
        errors.append(_first(rows, seed)["error"])
        print(_first(rows, seed), f"{spent:.1f} s", file=sys.stderr, flush=True)
    return rows, seconds, errors


def _first(rows, seed):
    return next(r for r in rows if r["ensemble"] == seed and r["graph"] == "training")


def summary(rows):
    """By graph and stretch: mean share rejected over ensembles, and shares in the band."""
    found = {}
    for row in rows:
        found.setdefault((row["graph"], row["stretch"]), []).append(row)
    lines = []
    for (name, stretch), some in found.items():
        one = {"graph": name, "stretch": stretch, "ensembles": len(some)}
        one["error"] = statistics.median(r["error"] for r in some)
        for way in (*WAYS, "node", "any node after FDR"):
            each = [r[way] for r in some]
            one[way] = {"mean": statistics.fmean(each), "min": min(each), "max": max(each)}
            if stretch == 1.0 and way in WAYS:
                one[way]["in band"] = sum(r["in band"][way] for r in some)
        lines.append(one)
    return lines


def cells(seed):
    """Graphs of many kinds, of another seed than any other graph here."""
    k = 40_000 + 100 * seed
    return {
        "ER p=.1": graph(TRAINING, k),
        "ER p=.05": graph(ErdosRenyi(100, 0.05), k + 1),
        "ER p=.15": graph(ErdosRenyi(200, 0.15), k + 2),
        "ER p=.3": graph(ErdosRenyi(150, 0.3), k + 3),
        "ER p=.8": graph(ErdosRenyi(80, 0.8), k + 4),
        "ER n=1000, same degree": graph(ErdosRenyi(1000, 0.01), k + 5),
        "BA n=300 m=3": graph(BarabasiAlbert(300, 3), k + 6),
        "BA n=2000 m=5": graph(BarabasiAlbert(2000, 5), k + 7),
        "small world k=10": graph(NewmanWattsStrogatz(200, 8, 0.2), k + 8),
        "geometric": graph(RandomGeometric(200, 0.13), k + 9),
        "partition": graph(RandomPartition([60, 50, 40], 0.25, 0.01), k + 10),
        "grid": graph(Grid8(14), k + 11),
        "star n=60": star(60),
        "ring n=150": ring(150),
        "complete n=60": Topology.complete(60),
    }


def watch(label, member, law, seed):
    """REL and the ratio of errors of one ensemble on every graph."""
    field, training, _ = learn(member, law, seed)
    family = [graph(TRAINING, 50_000 + 1000 * seed + k) for k in range(99)]
    usual = statistics.median(error(field, law, one, 7 + k) for k, one in enumerate(family[:15]))
    rng = torch.Generator().manual_seed(seed)
    box = Box.of(field.seen, ((draw(100, rng), training) for _ in range(1000)))

    def members(y, t):
        return field.members(0.0, y, t)

    rows = []
    for name, topology in cells(seed).items():
        found = relative_spread(members, topology, family, draw, seed)
        rows.append(
            {
                "net": label,
                "seed": seed,
                "graph": name,
                "rel": found.rel,
                "p": found.p,
                "exit": box.exit(draw(topology.rows, rng), topology),
                "error over normal": error(field, law, topology, 99) / usual,
            }
        )
    print(
        label,
        seed,
        [(r["graph"], round(r["rel"], 2), round(r["error over normal"], 2)) for r in rows],
        flush=True,
    )
    return rows


def graphs(nets):
    """Cells of (graph, net), and the shares that REL flags."""
    rows = []
    for seed in range(500, 500 + nets):
        mass = MassAction().truth()
        rows += watch("factorised, mass action", GraphCoupled(), mass, seed)
        rows += watch("network of sums, mass action", Summed(), mass, seed)
        rows += watch("network of sums, Ricker", Summed(), Ricker(), seed)
    bad = [r["rel"] > REJECT for r in rows if r["error over normal"] >= BAD]
    good = [r["rel"] > REJECT for r in rows if r["error over normal"] <= GOOD]
    between = [r["rel"] > REJECT for r in rows if GOOD < r["error over normal"] < BAD]
    flagged = {
        "cells": len(rows),
        f"error >= {BAD:g} x": {"cells": len(bad), "flagged": sum(bad)},
        f"error <= {GOOD:g} x": {"cells": len(good), "flagged": sum(good)},
        "between": {"cells": len(between), "flagged": sum(between)},
    }
    return rows, flagged


def main(ensembles=20, draws=500, nets=3, only=None):
    """Everything, as JSON types.

    Args:
        ensembles: Trained and tested for size and power.
        draws: States for each size; half as many for a power, and on a thousand nodes.
        nets: Ensembles of each of three kinds whose REL is measured on 15 graphs.
        only: Graphs of the sizes and powers, `training` among them; all where not given.
    """
    began = time.process_time()
    found = sizes_and_powers(range(ensembles), draws, only), graphs(nets)
    return told(*found, draws) | {"CPU-seconds": time.process_time() - began}


def told(of_states, of_graphs, draws):
    """Summaries, and every row they come from."""
    (rows, seconds, errors), (cells_of, flagged) = of_states, of_graphs
    return {
        "ensembles": len(seconds),
        "draws": draws,
        "level": LEVEL,
        "training CPU-seconds of 20 nets": {"median": statistics.median(seconds), "each": seconds},
        "field error on the training graph": {"median": statistics.median(errors), "each": errors},
        "states": summary(rows),
        "graphs": flagged,
        "cells": cells_of,
        "rows": rows,
    }
