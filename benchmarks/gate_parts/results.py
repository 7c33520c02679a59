"""What `benchmarks/gate.py` counts."""

from .scores import (
    Judges,
    Rate,
    as_shipped,
    decided,
    doomed,
    forecast_error,
    foretold,
    loss,
    member_of,
    ranking,
    rates,
    split,
)
from .verdicts import HORIZON

ASKED = {"caught": 0.95, "failed": 0.05}
FEWEST = 75  # doomed, and sound, that are held out
OTHERS = (4.0, 7.0, 10.0, 15.0, 22.0, 30.0)  # limits that somebody might prefer


def results(records, drawn):
    """Everything that is counted, as JSON; of a panel of so many members."""
    calibration, held_out = (decided(part) for part in split(records, drawn=drawn))
    judges = Judges.of(calibration)
    rows = {}
    for name, fails, score in judges.rows():
        counted = {key: rate.json() for key, rate in rates(held_out, fails).items()}
        rows[name] = {**counted, "ranking": ranking(held_out, score)}
    gate = rates(held_out, as_shipped)
    return {
        "drawn": drawn,
        "done": len(records),
        "digest": records[0]["digest"],
        "seed": records[0]["member"]["panel"],
        "limits": {
            "Escape": judges.escape,
            "validation loss": judges.loss,
            "forecast error": judges.forecast,
        },
        "calibration": tally(calibration),
        "held out": tally(held_out),
        "rows": rows,
        "holds": {
            "caught": gate["caught"].share >= ASKED["caught"],
            "failed": gate["failed"].share <= ASKED["failed"],
            "members": min(tally(held_out)["doomed"], tally(held_out)["sound"]) >= FEWEST,
        },
        "when": late(held_out, judges),
        "other limits": [other(held_out, limit) for limit in OTHERS],
        "by system": groups(held_out, "system"),
        "by stabilizer": groups(held_out, "stabilizer"),
        "flagged": sum(one["gate"]["Escape"]["marginal"] for one in held_out),
        "wrong": [told(one) for one in held_out if as_shipped(one) != doomed(one)],
        "not trained": [one for one in records if "untrained" in one],
        "cost": cost(decided(records)),
    }


def other(records, limit):
    """What another limit of Escape would have given: read afterwards, nothing is chosen by it."""
    found = rates(records, lambda one: foretold(one) > limit)
    return {"limit": limit, **{key: rate.json() for key, rate in found.items()}}


def tally(records):
    """How many of each fate."""
    lost = sum(map(doomed, records))
    return {"doomed": lost, "sound": len(records) - lost}


def late(records, judges):
    """Doomed that leave within the gate's horizon, and those that leave later: how many caught."""
    parts = {"within the gate's horizon": [], "later": []}
    for one in records:
        if doomed(one):
            first = one["fate"]["first"] <= HORIZON
            parts["within the gate's horizon" if first else "later"].append(one)
    named = judges.rows()
    return {
        when: {n: Rate(sum(map(fails, part)), len(part)).json() for n, fails, _ in named}
        for when, part in parts.items()
    }


def groups(records, field):
    """Caught and failed by some property of the members."""
    found = {}
    for name in sorted({getattr(member_of(one), field) for one in records}):
        part = [one for one in records if getattr(member_of(one), field) == name]
        found[name] = {key: rate.json() for key, rate in rates(part, as_shipped).items()}
    return found


def told(record):
    """A member that was judged wrongly."""
    fate = record["fate"]
    return {
        "member": member_of(record).title,
        "doomed": fate["doomed"],
        "lost": fate["lost"],
        "first": fate["first"],
        "largest": fate["largest"],
        "foretold": foretold(record),
        "marginal": record["gate"]["Escape"]["marginal"],
        "loss": loss(record),
        "forecast error": min(forecast_error(record), 1e9),
    }


def cost(records):
    """CPU-seconds a member, medians, and steps of one system."""

    def middle(values):
        ordered = sorted(values)
        return ordered[len(ordered) // 2]

    return {
        "training": middle(one["fit_seconds"] for one in records),
        "brute force": middle(one["fate"]["seconds"] for one in records if not doomed(one)),
        **{
            name: middle(one["gate"][name]["seconds"] for one in records)
            for name in records[0]["gate"]
        },
        "total": sum(
            one["fit_seconds"]
            + one["fate"]["seconds"]
            + sum(check["seconds"] for check in one["gate"].values())
            for one in records
        ),
    }
