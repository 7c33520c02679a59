"""What was asked of each cell, and the rows that say whether it holds."""

import statistics
from collections import defaultdict

from . import cells
from .ndcn import ITERATIONS
from .protocol import FIRST, NOISE, NOISY_CELLS, OURS, RIVAL, SEEDS

LOST = 1e9  # what a run counts that diverged
INTERP, SECONDS = 3.0, 60.0
HEAT, HEAT_ELSEWHERE, GENE, MUTUALISTIC = (0.01, None), (0.05, None), (0.2, 0.5), (0.5, 1.8)
NOISY = {"heat grid": 0.3, "gene grid": 0.5}
FASTER, LOWER = 3.0, 20.0  # of the whole ladder against NDCN: CPU time, and error
AT_ONCE = 50.0  # of the first rung against NDCN: CPU time to NDCN's own error


def extrap_limits(dynamics, graph):
    """Of the median and of the worst seed, %."""
    if dynamics == "heat":
        return HEAT if graph in ("grid", "SW") else HEAT_ELSEWHERE
    return GENE if dynamics == "gene" else MUTUALISTIC


class Found:
    """Records of the log by cell and method.

    Args:
        records: Of runs.
        noise: Of the runs wanted.
        clean_start: Of the runs wanted.
        seeds: Runs of later seeds are left out.
        iterations: Of NDCN; times to its final error are judged for its published number only.
    """

    def __init__(self, records, noise=0.0, clean_start=True, seeds=SEEDS, iterations=0):
        self.by, self.whole = defaultdict(dict), iterations == ITERATIONS
        for one in records:
            run = one.get("run")
            if run is None or (run["noise"], run["clean_start"]) != (noise, clean_start):
                continue
            if run["seed"] < seeds and run["iterations"] in (0, iterations):
                cell = f"{run['dynamics']} {run['graph']}"
                self.by[cell, run["method"]][run["seed"]] = one
        for cell in {name for name, _ in self.by}:
            self._same(cell)

    def _same(self, cell):
        """Both sides had the same arrays."""
        ours, theirs = (self.by.get((cell, method), {}) for method in (OURS, RIVAL))
        for seed in ours.keys() & theirs.keys():
            if ours[seed]["arrays"] != theirs[seed]["arrays"]:
                raise ValueError(
                    f"{cell}, seed {seed}: the log holds runs on different arrays. Delete its "
                    "lines of one method and run again."
                )

    def values(self, cell, method, name, seeds=None):
        """Numbers in the order of the seeds; LOST where a run diverged."""
        runs = self.by.get((cell, method), {})
        kept = sorted(runs if seeds is None else runs.keys() & seeds)
        return [LOST if runs[k][name] is None else runs[k][name] for k in kept]

    def shared(self, cell):
        """Seeds that both methods ran."""
        ours, theirs = (self.by.get((cell, method), {}) for method in (OURS, RIVAL))
        return ours.keys() & theirs.keys()

    def lost(self, cell, method):
        """Seeds that diverged."""
        runs = self.by.get((cell, method), {})
        return sorted(k for k, one in runs.items() if not one["finite"])

    def ratio(self, cell, name):
        """Median of NDCN over median of ours, on the same arrays; none where one is missing."""
        seeds = self.shared(cell)
        if not seeds:
            return []
        pair = [statistics.median(self.values(cell, m, name, seeds)) for m in (RIVAL, OURS)]
        return [pair[0] / max(pair[1], 1e-300)]


def clean_rows(task, found, wanted):
    """A row for each limit of each cell without noise."""
    for dynamics, graph in wanted:
        cell = f"{dynamics} {graph}"
        median, worst = extrap_limits(dynamics, graph)
        values = found.values(cell, OURS, "extrap")
        task.row(f"{cell}: extrap", values, median=median, worst=worst, unit=" %")
        task.row(f"{cell}: interp", found.values(cell, OURS, "interp"), median=INTERP, unit=" %")
        spent = found.values(cell, OURS, "cpu_seconds")
        task.row(f"{cell}: CPU of a fit", spent, worst=SECONDS, unit=" s")
        for name in ("extrap", "interp"):
            what = f"{cell}: {name}, NDCN / ours on the same arrays"
            task.row(what, found.ratio(cell, name), median=1.0, least=True, unit=" ×")
        if dynamics != "mutualistic":
            _whole_ladder(task, found, cell)
            _first_rung(task, found, cell)
    _counted(task, found, wanted)


def _whole_ladder(task, found, cell):
    """CPU seconds to NDCN's error: asked where ours is far below it."""
    theirs = found.by.get((cell, RIVAL), {})
    seconds = [
        rival_seconds(one, theirs[seed]) / max(one["cpu_seconds"], 1e-9)
        for seed, one in sorted(found.by.get((cell, OURS), {}).items())
        if "rival_ms" in one and seed in theirs
    ]
    lower = min([*found.ratio(cell, "extrap"), *found.ratio(cell, "interp")], default=None)
    limit = FASTER if found.whole and lower is not None and lower >= LOWER else None
    note = "" if lower is None else f"at {lower:.3g} times less error"
    what = f"{cell}: CPU, NDCN / whole ladder"
    task.row(what, seconds, median=limit, least=True, unit=" ×", note=note)


def _first_rung(task, found, cell):
    """CPU seconds to NDCN's final error by the weak form alone, where it gets there."""
    theirs, ours = found.by.get((cell, RIVAL), {}), found.by.get((cell, FIRST), {})
    seeds = sorted(seed for seed in theirs.keys() & ours.keys() if "rival_ms" in ours[seed])
    ratios = []
    for seed in seeds:
        rival = theirs[seed]
        enough = (one for one in ours[seed]["sizes"] if _no_worse(one, rival))
        size = next(enough, None)
        if size is not None:
            ratios.append(rival_seconds(ours[seed], rival) / max(size["cpu_seconds"], 1e-9))
    # the size is the first no worse than NDCN on the hidden stamps: a time to that error, no choice
    note = f"suffices in {len(ratios)} of {len(seeds)} seeds" if seeds else ""
    what = f"{cell}: CPU to NDCN's final error, NDCN / first rung"
    limit = AT_ONCE if found.whole and ratios else None
    task.row(what, ratios, median=limit, least=True, unit=" ×", note=note)


def rival_seconds(ours, theirs):
    """What NDCN's training would have taken in the process of a run of ours."""
    return theirs["run"]["iterations"] * ours["rival_ms"] / 1e3


def _no_worse(one, rival):
    limits = {name: LOST if rival[name] is None else rival[name] for name in ("interp", "extrap")}
    return one["finite"] and all(one[name] <= limit for name, limit in limits.items())


def _counted(task, found, wanted):
    """How many comparisons with NDCN are no worse, and which seeds diverged."""
    ratios = [
        found.ratio(f"{dynamics} {graph}", name)
        for dynamics, graph in wanted
        for name in ("interp", "extrap")
    ]
    told = [one[0] for one in ratios if one]
    good = sum(value >= 1 for value in told)
    task.notes.append(f"No worse than NDCN on the same arrays: {good} of {len(told)}.")
    task.notes.append(f"Seeds that diverged (counted as 1e9): {lost_in_words(found, wanted)}.")


def lost_in_words(found, wanted):
    """Which seeds of which cell and method diverged."""
    told = []
    for dynamics, graph in wanted:
        for method in (OURS, RIVAL):
            seeds = found.lost(f"{dynamics} {graph}", method)
            if seeds:
                told.append(f"{method} on {dynamics} {graph}: {', '.join(map(str, seeds))}")
    return "; ".join(told) or "none"


def noisy_rows(task, records, wanted, seeds, iterations):
    """Rows with noise, the first state known or not."""
    for clean in (True, False):
        found = Found(records, NOISE, clean, seeds, iterations)
        start = "clean start" if clean else "noisy start"
        for dynamics, graph in wanted:
            cell = f"{dynamics} {graph}"
            limit = NOISY.get(cell) if clean else None
            theirs = {n: found.values(cell, RIVAL, n) for n in ("extrap", "interp")}
            note = {
                n: f"NDCN {statistics.median(v):.3g} % (median of {len(v)})" if v else ""
                for n, v in theirs.items()
            }
            for name, asked in (("extrap", limit), ("interp", None)):
                values = found.values(cell, OURS, name)
                what = f"{cell}, {start}: {name}"
                task.row(what, values, median=asked, unit=" %", note=note[name])
            spent = found.values(cell, OURS, "cpu_seconds")
            task.row(f"{cell}, {start}: CPU of a fit", spent, worst=None, unit=" s")
        told = lost_in_words(found, wanted)
        task.notes.append(f"Seeds that diverged, {start} (counted as 1e9): {told}.")


EVERY = [(dynamics, graph) for dynamics in cells.DYNAMICS for graph in cells.GRAPHS]
HEAD = (
    "| cell | extrap, median / max | asked | NDCN | NDCN / ours | interp, median / max | NDCN | "
    "NDCN / ours | CPU-s, median / max | NDCN | seeds |"
)


def wide(found, wanted, number, verdict):
    """The cells as one table of Markdown, a verdict beside each limit."""
    lines = [HEAD, "|" + " --- |" * HEAD.count(" |")]
    for dynamics, graph in wanted:
        cell, limits = f"{dynamics} {graph}", extrap_limits(dynamics, graph)
        parts = [cell, *_error(found, cell, "extrap", limits, number, verdict)]
        parts.insert(2, " / ".join(f"≤ {limit:g}" for limit in limits if limit is not None))
        parts += _error(found, cell, "interp", (INTERP, None), number, verdict)
        spent = found.values(cell, OURS, "cpu_seconds")
        theirs = found.values(cell, RIVAL, "cpu_seconds")
        parts += [_pair(spent, (None, SECONDS), number, verdict), _median(theirs, number)]
        parts.append(f"{len(spent)}, {len(theirs)}")
        lines.append("| " + " | ".join(parts) + " |")
    return lines


def _error(found, cell, name, limits, number, verdict):
    """Ours, NDCN's, and the ratio on the same arrays."""
    ratio = found.ratio(cell, name)
    return [
        _pair(found.values(cell, OURS, name), limits, number, verdict),
        _median(found.values(cell, RIVAL, name), number),
        f"{number(ratio[0])} × {verdict(ratio[0] >= 1)}" if ratio else "–",
    ]


def _pair(values, limits, number, verdict):
    if not values:
        return "–"
    found = (statistics.median(values), max(values))
    pairs = zip(found, limits, strict=True)
    met = all(value <= limit for value, limit in pairs if limit is not None)
    return f"{number(found[0])} / {number(found[1])} {verdict(met)}"


def _median(values, number):
    return number(statistics.median(values)) if values else "–"


__all__ = ["EVERY", "NOISY_CELLS", "Found", "clean_rows", "noisy_rows", "wide"]
