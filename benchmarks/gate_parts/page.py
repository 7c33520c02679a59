"""The results of `benchmarks/gate.py` as a page of Markdown."""

from collections import Counter

from simlearn_checks.escape import Escape
from simlearn_checks.stitched import ASIDE, OUTWARD, SHARE

from .members import HELD_OUT, SAMPLES
from .results import ASKED
from .scores import member_of, split
from .verdicts import BOX, HORIZON, HORIZONS, OFTEN, ROLLOUTS


def markdown(found, records, command):
    """The page."""
    lines = [
        "# The judge judged",
        "",
        f"`{command}`: how often the gate `configs/gate/default.yaml` is right about simulators "
        "whose fate is known by brute force.",
        "",
        *protocol(found, records),
        "<!-- --8<-- [start:gate] -->",
        *table(found),
        "<!-- --8<-- [end:gate] -->",
        "",
        *details(found),
        *members(records),
    ]
    told = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return "\n".join([*lines, f"Versions: {told}.", ""])


def protocol(found, records):
    """What was fixed before the members were trained."""
    kept, held = found["calibration"], found["held out"]
    limits, some = found["limits"], len(split(records, drawn=found["drawn"])[0])
    return [
        "## Protocol, fixed before the run",
        "",
        f"* {reached(found, records)} of panel {found['seed']}. System, sensors, dynamics, size, "
        "data, noise of measurement, objective, updates, learning rate and stabilizer of each are "
        "drawn from (seed of the panel, index); each is trained by `simlearn.fit`. None of them is "
        "left out.",
        f"* Fate: from {ROLLOUTS} fresh starts of the system, drawn from a seed that neither "
        f"training nor gate sees and measured with the noise of its data, {HORIZONS} × {HORIZON} "
        f"steps each, float64. *Doomed*: any of them leaves a box {BOX:g} times as wide as the "
        "held-out data in any column, or stops being finite. *Sound*: none does.",
        "* The gate sees the simulator, its training data and 16 other trajectories of 101 "
        "samples.",
        f"* The {some} members with the smallest SHA-256 of seed and index fix the limits "
        f"({kept['doomed']} doomed, {kept['sound']} sound); the others are held out "
        f"({held['doomed']} doomed, {held['sound']} sound). A limit is the one with the fewest "
        f"mistakes on the {some} (share of doomed that pass plus share of sound that fail; near "
        "the limit, within 0.2 in the logarithm, a mistake counts in part); the same rule for "
        "every score.",
        f"* So the limits are: Escape {limits['Escape']:g}, validation loss "
        f"{limits['validation loss']:g}, forecast error {limits['forecast error']:g}.",
        "* Escape decides the gate. `UnlearnableDirections` only warns in it: it asks whether "
        "errors off the data grow, not whether a rollout leaves.",
        "* What Escape does was chosen on panels of other seeds, and frozen before this one was "
        f"trained: SHA-256 {found['digest'][:16]} of its sources without the limit, kept with "
        "every record.",
        "",
    ]


def reached(found, records):
    """How many members there are, and were to be."""
    if len(records) == found["drawn"]:
        return f"{len(records)} members"
    return f"The first {len(records)} members, in the order of their hashes, of {found['drawn']}"


def percent(rate):
    """A share with its interval."""
    if not rate["total"]:
        return "none"
    low, high = rate["wilson"]
    counted = f"{rate['count']} of {rate['total']}"
    return f"{100 * rate['share']:.1f} % ({counted}; {100 * low:.0f} to {100 * high:.0f})"


def table(found):
    """The held-out members, a row for everybody who judges."""
    lines = [
        "| held-out members | doomed, caught | sound, failed | right | ranking |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in found["rows"].items():
        cells = [percent(row[key]) for key in ("caught", "failed", "right")]
        lines.append(f"| {name} | {' | '.join(cells)} | {row['ranking']:.3f} |")
    asked = f"≥ {100 * ASKED['caught']:.0f} %", f"≤ {100 * ASKED['failed']:.0f} %"
    lines.append(f"| asked of the gate | {asked[0]} | {asked[1]} | | |")
    if found["done"] < found["drawn"]:
        lines += ["", f"So far {found['done']} of {found['drawn']} members are trained and judged."]
    return [
        *lines,
        "",
        "In brackets counts and Wilson's 95 % interval in %. Ranking: the chance that a doomed "
        "member scores above a sound one; 0.5 is a coin.",
        "",
        "; ".join(
            f"{what}: **{'holds' if good else 'missed'}**" for what, good in found["holds"].items()
        )
        + ".",
    ]


def details(found):
    """When, where, who was wrong, and what it costs."""
    lines = ["## Doomed that are caught, by the time at which they leave", ""]
    names = list(found["rows"])
    lines += ["| they leave | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|"]
    for when, part in found["when"].items():
        lines.append(f"| {when} | " + " | ".join(percent(part[name]) for name in names) + " |")
    lines += [
        "",
        "## Other limits of Escape",
        "",
        "Read afterwards; nothing was chosen by it. Whoever minds a sound simulator that fails "
        "more than a doomed one that passes takes a larger one.",
        "",
        "| limit | doomed, caught | sound, failed |",
        "| --- | --- | --- |",
    ]
    for one in found["other limits"]:
        lines.append(f"| {one['limit']:g} | {percent(one['caught'])} | {percent(one['failed'])} |")
    for field in ("by system", "by stabilizer"):
        lines += [
            "",
            f"## The gate {field}",
            "",
            f"| {field[3:]} | doomed, caught | sound, failed |",
        ]
        lines.append("| --- | --- | --- |")
        for name, row in found[field].items():
            cells = [f"{row[key]['count']} of {row[key]['total']}" for key in ("caught", "failed")]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "## Members that the gate judged wrongly", ""]
    lines += [f"* {wrong(one)}" for one in found["wrong"]] or ["None."]
    lines += ["", "## Members without a simulator", ""]
    refused = [f"* {member_of(one).title}: {one['untrained']}" for one in found["not trained"]]
    lines += refused or ["None: every training gave one."]
    spent = found["cost"]
    parts = [f"{name} {spent[name]:.2f}" for name in spent if name != "total"]
    return [
        *lines,
        "",
        f"CPU-seconds a member, medians: {', '.join(parts)} (brute force: of sound ones, which are "
        f"rolled out to the end); {spent['total'] / 60:.0f} CPU-minutes in all, one thread a "
        "process. Brute force rolls out "
        f"{ROLLOUTS} systems over {HORIZONS} horizons, Escape {several()} over one.",
        "",
    ]


def several():
    """How many rollouts Escape makes in this panel."""
    starts = min(Escape().starts, HELD_OUT * SAMPLES)
    return starts + starts // SHARE[0] * len(ASIDE) + starts // SHARE[1] * len(OUTWARD)


def wrong(one):
    """A sentence."""
    size = f"foretold {one['foretold']:.3g}{', flagged' if one['marginal'] else ''}"
    if one["doomed"]:
        lost = f"{one['lost']} of {ROLLOUTS} rollouts leave, the first at step {one['first']}"
        return f"{one['member']}: passed ({size}); {lost}"
    largest = (
        f"the largest of brute force, at every {OFTEN}th step, is {one['largest']:.3g} half ranges"
    )
    return f"{one['member']}: failed ({size}); {largest}"


def members(records):
    """What the panel is made of."""
    lines = ["## The panel", ""]
    for field in ("system", "dynamics", "stabilizer", "noise", "trajectories", "objective"):
        counts = Counter(getattr(member_of(one), field) for one in records)
        told = ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=str))
        lines.append(f"* {field}: {told}")
    return [*lines, ""]
