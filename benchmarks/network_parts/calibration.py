"""The limits of the significance test beside what `significance` measures."""

from hamiltonian_parts.rows import Task

from . import significance as measure

NEAR, LEVEL = 0.01, measure.LEVEL
POWER = {1.1: 0.85, 1.15: 0.99, 1.25: 0.99, 1.5: 0.99}  # stretch of the states: least power
FLAGGED, SPARED = 95.0, 5.0  # % of the graphs
# ensembles, states, ensembles of each kind for REL, graphs where not all
FULL, QUICK = (20, 500, 3), (1, 100, 0, ("training", "BA n=1000", "star"))
WORDS = {"p": "combined", "p_mean": "mean z", "p_top": "top 10 % of z"}


def significance(settings):
    """Sizes, powers and flags, with their limits; everything that was measured goes along."""
    task = Task("significance")
    found = measure.main(*(QUICK if settings.quick else FULL))
    for one in found["states"]:
        (_sizes if one["stretch"] == 1.0 else _powers)(task, one)
    _flags(task, found["graphs"])
    seconds = found["training CPU-seconds of 20 nets"]
    task.row("CPU of 20 nets in one training", seconds["each"], unit=" s")
    task.notes.append(
        f"{found['ensembles']} ensembles of 20 nets, {found['draws']} states each for a size, half "
        "as many for a power and on a thousand nodes. Size: share of states of the training "
        f"distribution rejected at {LEVEL:g}, mean over ensembles; in the band: ensembles within "
        "the 99 % band of a test whose finite null is drawn once."
    )
    kept = {name: found[name] for name in ("states", "graphs", "cells")}
    return {"rows": task.rows, "notes": task.notes, "found": kept}


def _sizes(task, one):
    """Mean over ensembles near the level, and how many are in the band."""
    for way, words in WORDS.items():
        share, count = one[way], one["ensembles"]
        note = f"{share['mean']:.3f} on average, {share['min']:.3f} to {share['max']:.3f}"
        what = f"size on {one['graph']}, {words}: off {LEVEL:g}"
        # one ensemble alone moves by more than the mean of twenty may
        limit = NEAR if count > 1 else None
        task.row(what, [abs(share["mean"] - LEVEL)], median=limit, note=note)
        inside = 100 * share["in band"] / count
        task.row(f"size on {one['graph']}, {words}: in the band", [inside], unit=" %")


def _powers(task, one):
    """Of the combined test; the others are told."""
    note = ", ".join(f"{words} {one[way]['mean']:.3f}" for way, words in WORDS.items())
    what = f"power on {one['graph']}, states × {one['stretch']:g}, field error {one['error']:.1%}"
    limit = POWER[one["stretch"]] if one["ensembles"] > 1 else None  # as for sizes
    task.row(what, [one["p"]["mean"]], median=limit, least=True, note=note)


def _flags(task, told):
    """REL on graphs that do harm and on those that do not."""
    for name, limit, least in (("error >= 3 x", FLAGGED, True), ("error <= 1.4 x", SPARED, False)):
        group = told[name]
        share = [100 * group["flagged"] / group["cells"]] if group["cells"] else []
        note = f"{group['flagged']} of {group['cells']}"
        what = f"REL > {measure.REJECT:g} on graphs with {name} the normal one"
        task.row(what, share, median=limit, least=least, unit=" %", note=note)
