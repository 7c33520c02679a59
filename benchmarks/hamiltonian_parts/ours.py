"""The closed-form ladder of the framework, timed."""

import json
import time

import simlearn
from simlearn.component import NumericalError

MISSING = "simlearn.ladder is not in this version: nothing of ours was measured"
LOST = float("inf")


class Absent(Exception):
    """A part of the framework that a row needs is not there."""


def learn(task, trajectories, **arguments):
    """Train by the ladder, everything automatic; the simulator and the CPU seconds.

    A ladder that finds no energy gives None: its rows then hold infinity, which no limit allows.

    Raises:
        Absent: The framework has no ladder.
    """
    ladder = getattr(simlearn, "ladder", None)
    if ladder is None:
        raise Absent(MISSING)
    began = time.process_time()
    try:
        simulator = ladder(trajectories, **arguments)
    except NumericalError as refusal:
        task.say("the ladder found nothing:", refusal)
        task.notes.append(f"The ladder found nothing: {refusal}")
        simulator = None
    return simulator, time.process_time() - began


def choice(simulator):
    """What the ladder chose, in one line."""
    if simulator is None:
        return "nothing"
    record = simulator.provenance.get("ladder", {})
    found = record.get("choice", "unknown")
    return found if isinstance(found, str) else json.dumps(found)


def keep(lists, values):
    """Append each value to the list of its name."""
    for name, value in values.items():
        lists[name].append(value)
