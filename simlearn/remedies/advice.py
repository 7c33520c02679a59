"""Which remedies a report advises, best first, each once."""

from __future__ import annotations

from collections.abc import Collection, Hashable

from simlearn.stability.failure import Remedy
from simlearn.stability.report import Report

Key = Hashable


def key(remedy: Remedy) -> Key:
    """What makes two remedies one: what they do, or what they say where only people can do it."""
    return (remedy.action, remedy.component) if remedy.action else str(remedy)


def advised(report: Report, taken: Collection[Key] = ()) -> list[Remedy]:
    """The remedies of everything that failed.

    Findings of severity error come before warnings. Among these the first advice of every finding
    comes first, then every second one; of two of the same rank, the one that more findings give.

    Args:
        report: A failing one.
        taken: Keys of what is left out, for it was done already.
    """
    found: dict[Key, tuple[tuple[int, int], Remedy]] = {}
    votes: dict[Key, int] = {}
    for item in report.items:
        if item.good:
            continue
        for rank, text in enumerate(item.finding.remedies):
            one = text if isinstance(text, Remedy) else Remedy(text)
            place = (0 if item.severity == "error" else 1, rank)
            votes[key(one)] = votes.get(key(one), 0) + 1
            if key(one) not in found or place < found[key(one)][0]:
                found[key(one)] = (place, one)
    order = sorted(found, key=lambda k: (found[k][0], -votes[k]))
    return [found[k][1] for k in order if k not in taken]
