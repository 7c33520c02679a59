"""What a baseline keeps of a report, what became worse since, and the difference of two."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import stdev

from simlearn.simulator import Simulator
from simlearn.stability.baseline import Facts, Record, refuse_other, short
from simlearn.stability.finding import Metric
from simlearn.stability.gatefile import Tolerance
from simlearn.stability.report import Item, Regression, Report, plain
from simlearn.stability.tables import number

ROUNDING, FLOOR = 1e-6, 1e-9  # relative and absolute, of limits that are worked out


def worse(
    kept: Record, item: Item, tolerance: Tolerance, path: Path | str = "the baseline"
) -> list[Regression]:
    """The metrics of one check that became worse than the tolerance allows.

    A metric is held against ``max(absolute, relative |baseline|, spread · s, noise · sqrt(n² +
    n'²))``, with the standard deviation s over seeds and the noise n of the baseline and n' of now.
    Only those with a limit are compared, and only one that is worse than before is a regression;
    one that is not measured any more is.

    Raises:
        ConfigError: A limit, sense or unit is another than that of the baseline, or it lacks a
            metric that is judged now; ``path`` is named.
    """
    now = {name: metric for name, metric in _numbered(item)}
    _refuse_others(kept["metrics"], now, item.name, path)
    found = []
    for name, was in kept["metrics"].items():
        base, sense = float(was["value"]), was["sense"]
        if was["limit"] is None or not math.isfinite(base):
            continue
        value = now[name].value if name in now else math.nan
        noise = math.hypot(float(was["noise"]), now[name].noise if name in now else 0.0)
        allowed = max(
            tolerance.absolute,
            tolerance.relative * abs(base),
            tolerance.spread * float(was["spread"]),
            tolerance.noise * noise if math.isfinite(noise) else 0.0,
        )
        by = value - base if sense == "max" else base - value
        if not by <= allowed:  # so that NaN is worse
            told = (item.name, item.arguments, name, value, base, allowed, sense, was["unit"])
            found.append(Regression(*told, item.severity))
    return found


def _refuse_others(
    was: Mapping[str, Record], now: Mapping[str, Metric], check: str, path: Path | str
) -> None:
    """Refuse to compare metrics that are judged in another way than when they were written."""
    for name in was.keys() & now.keys():
        kept, metric = was[name], now[name]
        where = f"{check}, {name}"
        refuse_other(path, f"{where}: sense", kept["sense"], metric.sense)
        refuse_other(path, f"{where}: unit", kept["unit"], metric.unit)
        if not _alike(kept["limit"], metric):
            refuse_other(path, f"{where}: limit", kept["limit"], plain(metric.limit))
    gained = [name for name, one in now.items() if one.limit is not None and name not in was]
    if gained and not any(one["limit"] is not None for k, one in was.items() if k not in now):
        refuse_other(path, f"{check}, {gained[0]}", None, "measured")


def _alike(limit: object, metric: Metric) -> bool:
    """Whether a limit is the same, but for rounding where a check works it out from numbers."""
    if limit is None or metric.limit is None:
        return limit is metric.limit
    rounding = ROUNDING * abs(metric.value) if math.isfinite(metric.value) else 0.0
    before = float(str(limit))
    return math.isclose(before, metric.limit, rel_tol=ROUNDING, abs_tol=rounding + FLOOR)


def recorded(
    report: Report, facts: Facts, simulator: Simulator, siblings: Sequence[Report] = ()
) -> Record:
    """What a baseline keeps of a report.

    Args:
        report: Of the simulator.
        facts: What its numbers depend on.
        simulator: Where it comes from is kept for information.
        siblings: Reports of the same model from other seeds, by the same checks. The spread of a
            metric is the standard deviation over all that pass it.
    """
    training = simulator.provenance.get("training", {})
    return {
        **vars(facts),
        "about": {
            "simlearn": version("simlearn"),
            "simulator": report.simulator,
            "training_data": training.get("sha256") if isinstance(training, Mapping) else None,
            "siblings": len(siblings),
        },
        "checks": [
            {
                "check": item.name,
                "severity": item.severity,
                "arguments": plain(dict(item.arguments)),
                "metrics": dict(_kept(item, [one.items[k] for one in siblings])),
            }
            for k, item in enumerate(report.items)
        ],
    }


def _kept(item: Item, relatives: Sequence[Item]) -> Iterator[tuple[str, Record]]:
    others = [dict(_numbered(one)) for one in relatives]
    for name, metric in _numbered(item):
        beside = [one[name] for one in others if name in one]
        values = [one.value for one in (metric, *beside) if one.passed]
        yield (
            name,
            {
                "value": plain(metric.value),
                "noise": plain(metric.noise),
                "spread": stdev(values) if len(values) > 1 else 0.0,
                "sense": metric.sense,
                "limit": plain(metric.limit),
                "unit": metric.unit,
            },
        )


def _numbered(item: Item) -> Iterator[tuple[str, Metric]]:
    """Metrics by name; a second one of the same name is numbered."""
    met: dict[str, int] = defaultdict(int)
    for metric in item.finding.metrics:
        met[metric.name] += 1
        again = met[metric.name]
        yield (metric.name if again == 1 else f"{metric.name} ({again})"), metric


def changes(was: Record | None, now: Record) -> list[str]:
    """The difference of two records of a suite, a line each: what was -> what is."""
    was = was or {"checks": []}
    lines = [
        f"{name}: {short(was[name])} -> {short(now[name])}"
        for name in Facts.__dataclass_fields__
        if name in was and was[name] != now[name]
    ]
    before, after, same = _by_name(was), _by_name(now), 0
    for name, check in after.items():
        old = before.pop(name, {"arguments": check["arguments"], "metrics": {}})
        for key in sorted({**old["arguments"], **check["arguments"]}):
            one, other = old["arguments"].get(key), check["arguments"].get(key)
            if one != other:
                lines.append(f"{name}.{key}: {short(one)} -> {short(other)}")
        for metric, told in check["metrics"].items():
            line = _change(old["metrics"].pop(metric, None), told)
            same += not line
            lines += [f"{name}, {metric}: {line}"] if line else []
        lines += [f"{name}, {metric}: no longer measured" for metric in old["metrics"]]
    lines += [f"{name}: no longer judged" for name in before]
    return [*lines, f"{same} metrics unchanged"] if same else lines


def _by_name(record: Record) -> dict[str, Record]:
    """Checks by name, the second of a name numbered; their metrics may be taken out."""
    found: dict[str, Record] = {}
    met: dict[str, int] = defaultdict(int)
    for check in record["checks"]:
        name = check["check"]
        met[name] += 1
        key = name if met[name] == 1 else f"{name} ({met[name]})"
        found[key] = {**check, "metrics": dict(check["metrics"])}
    return found


def _change(was: Record | None, now: Record) -> str:
    told = f"{number(float(now['value']))} {now['unit']}".rstrip()
    if now["spread"]:
        told += f" (seeds ± {now['spread']:.2g})"
    if was is None:
        return f"new, {told}"
    before, value = float(was["value"]), float(now["value"])
    if before == value and was["spread"] == now["spread"]:
        return ""
    share = f" ({(value - before) / abs(before):+.2%})" if before and before != value else ""
    return f"{number(before)} -> {told}{share}"
