"""A verdict is the same every time, to the last digit."""

import json

import torch

import simlearn
from simlearn import Finding, Metric, Simulator
from simlearn.data import store
from simlearn.integrators import Leapfrog
from simlearn.stability import evidence as room
from simlearn_mechanics import MassSpringLaw


def seconds_apart(text):
    """The report without the one field that may differ."""
    told = json.loads(text)
    for one in told["checks"]:
        del one["seconds"]
    return json.dumps(told, sort_keys=True)


def test_two_processes_say_the_same_to_the_last_digit(gated, shell, write_gate):
    """Whatever the hash seed and the number of threads the machine offers."""
    write_gate(
        "full: [BOUNDED, ENERGY, FORECAST, UnlearnableDirections, SPECTRUM]",
        "training_data: test.h5\nreferences: {old: stiffer}\n",
    )
    reports = []
    for k, threads in enumerate(("1", "2")):
        words = ["check", "-c", "own.gate.yaml", "--out", f"r{k}"]
        done = shell(*words, OMP_NUM_THREADS=threads, PYTHONHASHSEED=str(k))
        assert done.returncode in (0, 1), done.stderr
        reports.append((gated / f"r{k}/report.json").read_text())
    first, second = map(seconds_apart, reports)
    assert first == second
    assert len(json.loads(first)["checks"]) == 5
    assert '"seconds"' in reports[0]


def test_rollouts_in_other_processes_give_the_same_numbers(gated, monkeypatch):
    monkeypatch.setattr(room, "WORTH_A_PROCESS", 0)
    held = store.read("test.h5").trajectories
    beside = {"old": Simulator(MassSpringLaw(1.01), Leapfrog(), 0.1)}
    found = []
    for processes in (1, 2):
        given = room.Evidence(held, references=beside, processes=processes)
        found.append(given.rollouts(Simulator(MassSpringLaw(), Leapfrog(), 0.1), 500))
    for name in ("", "old"):
        one, other = (roll[name].x for roll in found)
        assert one.numpy().tobytes() == other.numpy().tobytes()


def test_judging_leaves_the_threads_of_the_caller_alone(gated):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        given = room.Evidence(store.read("test.h5").trajectories)
        one = Simulator(MassSpringLaw(), Leapfrog(), 0.1)
        given.rollouts(one, 50)
        assert torch.get_num_threads() == 2
        seen = []
        asks = type("Asks", (simlearn.Check,), {"run": lambda self, *_: _seen(seen)})
        simlearn.check(one, given, [asks()])
        assert (seen, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(before)


def _seen(seen):
    seen.append(torch.get_num_threads())
    return Finding.of([Metric("threads", 1.0)], "")
