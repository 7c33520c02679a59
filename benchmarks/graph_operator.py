"""Sums over neighbours, forward and backward, against four other ways of forming them.

python benchmarks/graph_operator.py [--quick] [--rounds N]
One thread, float32, process CPU time, 16 columns. Graphs: Erdős-Rényi of mean degree 10, and the
grid with 8 neighbours in the order of its rows. Edges have no weights, so that ways that go edge by
edge have nothing to multiply. All ways give the same sums and the same gradient,
which is shown first; then they take turns, and ratios are medians over the rounds. What is kept
from call to call (the sorted graph and its transpose) is made before, and its time is told apart.
The memory of ways that gather ``[edges, 16]`` is estimated first; what does not fit is left out.
The file is long for it holds five ways, two graphs and their tables.
Writes benchmarks/results/graph_operator.{json,md}. --quick leaves out a million nodes.
"""

import argparse
import json
import math
import os
import pathlib
import statistics
import time

import torch
from torch_geometric import __version__ as pyg
from torch_geometric.nn import MessagePassing

from simlearn import Topology
from simlearn.state import Graph
from simlearn.training.fit import versions

RESULTS = pathlib.Path(__file__).parent / "results"
COLUMNS, DEGREE, SEED = 16, 10, 0
SIZES, QUICK = (10_000, 100_000, 1_000_000), (10_000, 100_000)
WAYS = ("ours", "PyG", "COO", "autograd's CSR", "index_add")
GATHERS = ("PyG", "index_add")
KINDS = ("Erdős-Rényi", "grid-8")


def erdos_renyi(nodes):
    """Both directions of nodes · DEGREE / 2 pairs, drawn with replacement."""
    rng = torch.Generator().manual_seed(SEED)
    pairs = torch.randint(nodes, (2, nodes * DEGREE // 2), generator=rng)
    return Graph(torch.cat([pairs, pairs.flip(0)], dim=1), nodes)


def grid(nodes):
    """A square of about so many nodes, row by row, each joined to the eight around it."""
    side = math.isqrt(nodes)
    here = torch.arange(side * side).reshape(side, side)
    found = []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        left, width = max(0, -right), side - abs(right)
        one = here[: side - down, left : left + width]
        other = here[down:, left + right : left + right + width]
        found.append(torch.stack([one.flatten(), other.flatten()]))
    pairs = torch.cat(found, dim=1)
    return Graph(torch.cat([pairs, pairs.flip(0)], dim=1), side * side)


class Passing(MessagePassing):
    """The factorised message of PyG: what a neighbour sends, nothing more on the edge."""

    def __init__(self):
        super().__init__(aggr="add")

    def forward(self, h, edge_index):
        """Σⱼ Aᵢⱼ hⱼ."""
        return self.propagate(edge_index, h=h)

    def message(self, h_j):
        """Of one edge."""
        return h_j


def ways_of(graph, left_out):
    """Each way as a function of h, and the seconds our operator took to make."""
    (source, target), rows = graph.edge_index, graph.rows
    ones = torch.ones(len(source))
    began = time.process_time()
    adjacency = Topology(graph).adjacency()
    for transposed in (False, True):
        adjacency.matrix(torch.float32, transposed)
    made = time.process_time() - began
    csr = graph.by_target.matrix(ones)
    coo = torch.sparse_coo_tensor(
        torch.stack([target, source]), ones, (rows, rows), check_invariants=False
    ).coalesce()
    passing, zeros = Passing(), torch.zeros(rows, COLUMNS)
    ways = {
        "ours": lambda h: adjacency @ h,
        "PyG": lambda h: passing(h, graph.edge_index),
        "COO": lambda h: torch.sparse.mm(coo, h),
        "autograd's CSR": lambda h: csr @ h,
        "index_add": lambda h: zeros.index_add(0, target, h.index_select(0, source)),
    }
    return {name: way for name, way in ways.items() if name not in left_out}, made


def same(ways, h, push):
    """All ways give the sums and the gradient of ours, relative to their size."""
    wanted = None
    for name, way in ways.items():
        leaf = h.clone().requires_grad_()
        answer = way(leaf)
        found = (answer.detach(), torch.autograd.grad(answer, leaf, push)[0])
        wanted = wanted or found
        for one, other in zip(found, wanted, strict=True):
            off = float((one - other).abs().max() / other.abs().max())
            assert off < 1e-6, f"{name} is off by {off:.1e}"


def timed(way, h, push, calls):
    """CPU seconds a call, forward without gradients and forward with backward."""
    with torch.no_grad():
        began = time.process_time()
        for _ in range(calls):
            way(h)
        forward = (time.process_time() - began) / calls
    leaf = h.clone().requires_grad_()
    began = time.process_time()
    for _ in range(calls):
        torch.autograd.grad(way(leaf), leaf, push)
    return forward, (time.process_time() - began) / calls


def memory():
    """Bytes that are free now; infinite where the system does not say."""
    told = pathlib.Path("/proc/meminfo")
    lines = told.read_text().splitlines() if told.exists() else []
    free = (1024 * int(one.split()[1]) for one in lines if "MemAvailable" in one)
    return next(free, math.inf)


def case(kind, nodes, rounds):
    """Medians of one graph: milliseconds of each way, ratios to ours over the rounds."""
    graph = erdos_renyi(nodes) if kind == KINDS[0] else grid(nodes)
    edges = graph.edge_index.shape[1]
    left_out = () if 3 * 4 * edges * COLUMNS < memory() else GATHERS  # messages and gradients
    ways, made = ways_of(graph, left_out)
    rng = torch.Generator().manual_seed(SEED)
    h, push = torch.randn(2, graph.rows, COLUMNS, generator=rng)
    same(ways, h, push)
    calls = max(1, round(1e6 / edges))
    spent = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            one = timed(way, h, push, calls)
            if number:
                spent[name].append(one)
    found = {"graph": kind, "nodes": graph.rows, "edges": edges, "made s": made, "ways": {}}
    found["left out"] = list(left_out)
    for name, pairs in spent.items():
        told = found["ways"][name] = {}
        for k, part in enumerate(("forward", "both")):
            told[f"{part} ms"] = 1e3 * statistics.median(pair[k] for pair in pairs)
            both = zip(pairs, spent["ours"], strict=True)
            told[f"{part} ratio"] = statistics.median(one[k] / own[k] for one, own in both)
    return found


def exponents(cases):
    """The power p in time ~ edges^p, from the smallest to the largest graph of a kind."""
    found = {}
    for kind in KINDS:
        own = [one for one in cases if one["graph"] == kind]
        first, last = own[0], own[-1]
        for part in ("forward", "both"):
            times = [one["ways"]["ours"][f"{part} ms"] for one in (first, last)]
            grown = math.log(times[1] / times[0]) / math.log(last["edges"] / first["edges"])
            found[f"{kind}, {part}"] = grown
    return found


def limits(cases, grown):
    """(what was asked, limit, measured, met); None where it was not measured."""
    at = {(one["graph"], one["nodes"]): one["ways"] for one in cases}
    ratio = at[KINDS[0], 100_000].get("PyG", {}).get("both ratio")
    large = at.get((KINDS[0], 1_000_000))
    seconds = None if large is None else large["ours"]["both ms"] / 1e3
    rows = [
        ("forward + backward against PyG, 1e5 nodes, 1e6 edges", "≥ 3", ratio),
        ("CPU seconds forward + backward, 1e6 nodes, 1e7 edges", "≤ 1.3", seconds),
    ]
    rows += [
        (f"exponent in edges, 1e5 to 1e7, {name}", "≤ 1.3", None if large is None else p)
        for name, p in grown.items()
        if "both" in name
    ]
    met = {"≥": lambda a, b: a >= b, "≤": lambda a, b: a <= b}
    return [
        (asked, limit, value, None if value is None else met[limit[0]](value, float(limit[2:])))
        for asked, limit, value in rows
    ]


def tables(cases, grown):
    """Markdown: limits beside what was measured, then every time."""
    lines = ["| asked | limit | measured | |", "| --- | --- | --- | --- |"]
    for asked, limit, value, met in limits(cases, grown):
        told = "not measured" if value is None else f"{value:.3g}"
        verdict = {None: "", True: "met", False: "missed"}[met]
        lines.append(f"| {asked} | {limit} | {told} | {verdict} |")
    told = "; ".join(f"{name} {p:.2f}" for name, p in grown.items())
    lines += ["", f"Exponents of ours in edges, smallest to largest graph here: {told}."]
    lines += ["", "CPU milliseconds a call, forward / forward and backward; (ratio to ours).", ""]
    lines += [
        "| graph | nodes | edges | " + " | ".join(WAYS) + " | made once, s |",
        "|" + " --- |" * (len(WAYS) + 4),
    ]
    for one in cases:
        cells = []
        for name in WAYS:
            row = one["ways"].get(name)
            if row is None:
                cells.append("does not fit")
                continue
            times = [f"{row[f'{part} ms']:.3g}" for part in ("forward", "both")]
            ratios = [f"{row[f'{part} ratio']:.1f}" for part in ("forward", "both")]
            cells.append(f"{' / '.join(times)} ({' / '.join(ratios)})")
        head = f"| {one['graph']} | {one['nodes']} | {one['edges']} | "
        lines.append(head + " | ".join(cells) + f" | {one['made s']:.2g} |")
    return "\n".join(lines)


def main():
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="up to 1e5 nodes")
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    sizes = QUICK if asked.quick else SIZES
    cases = [case(kind, nodes, asked.rounds) for kind in KINDS for nodes in sizes]
    grown = exponents(cases)
    told = tables(cases, grown)
    print(told)
    RESULTS.mkdir(exist_ok=True)
    used = {**versions(), "torch_geometric": pyg}
    load = os.getloadavg()[0]  # near the number of threads, or others took their share
    kept = {
        "load": load,
        "cases": cases,
        "exponents": grown,
        "rounds": asked.rounds,
        "quick": asked.quick,
    }
    text = json.dumps({**kept, "versions": used}, indent=2, ensure_ascii=False) + "\n"
    (RESULTS / "graph_operator.json").write_text(text)
    command = "python benchmarks/graph_operator.py" + (" --quick" if asked.quick else "")
    how = (
        f"`{command}`, one thread, float32, CPU time, {COLUMNS} columns, medians of {asked.rounds} "
        f"paired rounds, load average {load:.1f} on {os.cpu_count()} cores."
    )
    page = f"<!-- --8<-- [start:operator] -->\n{told}\n<!-- --8<-- [end:operator] -->"
    with_what = ", ".join(f"{name} {version}" for name, version in used.items())
    (RESULTS / "graph_operator.md").write_text(
        f"# Sums over neighbours\n\n{how}\n\n{page}\n\n{with_what}\n"
    )


if __name__ == "__main__":
    main()
