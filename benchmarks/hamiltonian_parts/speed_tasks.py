"""Time of a training step and of a rollout step: HNN and SRNN style against ours, in pairs."""

import importlib.util
import logging
import statistics
import time
import warnings

import torch

from simlearn import Simulator, Topology
from simlearn.integrators import Leapfrog
from simlearn.simulator.compiled import CompiledRollout

from .baselines import HNN, advance, seeded, time_derivative
from .oscillators import PENDULUM, draw
from .ours import Absent, learn
from .rows import Task

ROUNDS, SYSTEMS, STEPS = 9, 16, 20
# limits of the issue for the cases of benchmarks/steps.py: eager, compiled
LIMITS = {
    "gradient step, 2-D, batch 750": ("HNN", 1.1, 1.5),
    "gradient step, 8-D, batch 200": ("HNN", 1.1, 1.5),
    "multi-step, batch 64, K = 10": ("SRNN", None, 2.0),
    "rollout step, batch 16": ("HNN", 6.0, 6.0),
}


def measured(compile, rounds):
    """`benchmarks/steps.py`: an epoch through the framework and a rival's in turn.

    Returns:
        Its cases, and what is missing: the harness, or the compile path.
    """
    if compile and not _there("simlearn.training.compiled"):
        return {}, "simlearn.training.compiled is not in this version"
    if not _there("steps"):
        return {}, "benchmarks/steps.py is not there"
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        return importlib.import_module("steps").speed(compile, rounds), ""


def _there(name):
    return importlib.util.find_spec(name) is not None


def rivals(task, compile, found, missing):
    """A row for each case; a compiled step that fell back to eager counts as not measured."""
    way = "compiled" if compile else "eager"
    for name, (rival, *limits) in LIMITS.items():
        limit, one = limits[compile], found.get(name, {})
        if compile and limit is None:
            continue
        values, note = [], missing
        if one and compile and not one["compiled"]:
            note = "fell back to eager"
        elif one:
            values = [one[f"ratio to {rival}"]]
            note = f"{one[f'{rival} ms']:.3f} and {one['ours ms']:.3f} ms"
        what = f"{name}: {rival} / ours, {way}"
        task.row(what, values, median=limit, least=True, unit=" ×", note=note)
        task.say(what, note, *values)


def rk4(x):
    """Rollout of HNN by RK4 as its program does it: a graph at every stage."""
    net = seeded(0, lambda: HNN(2)).float()

    def go():
        y = x.float()
        for _ in range(STEPS):
            y = advance(lambda z: time_derivative(net.net, z), y.detach().requires_grad_(), 0.1)

    return go


def series(dynamics, x, compiled=False):
    """Leapfrog on the closed form."""
    simulator, topology = Simulator(dynamics, Leapfrog(), 0.1), Topology.isolated(SYSTEMS)
    roll = CompiledRollout(simulator) if compiled else simulator.rollout

    def go():
        with torch.inference_mode():
            roll(x, STEPS, topology)

    go()
    if compiled and roll.broken:
        raise Absent(roll.broken)
    return go


def turns(first, second, rounds=ROUNDS):
    """Ratio of the CPU seconds of both, round by round, forth and back."""
    ratios = []
    for number in range(rounds + 1):
        spent = {}
        for work in (first, second) if number % 2 else (second, first):
            began = time.process_time()
            for _ in range(5):
                work()
            spent[work] = time.process_time() - began
        ratios.append(spent[first] / spent[second])
    return ratios[1:]


def closed_form_rollout(task, compiled=False):
    """HNN's rollout step against that of the closed form of the pendulum in float64."""
    way = ", compiled" if compiled else ", eager"
    what = f"rollout step, {SYSTEMS} systems: HNN with RK4 / closed form in float64{way}"
    ratios = []
    try:
        simulator, _ = learn(task, draw(PENDULUM, 0).half(True).trajectories(), seed=0)
        if simulator is not None:
            rng = torch.Generator().manual_seed(0)
            x = torch.randn(SYSTEMS, 2, generator=rng, dtype=torch.float64)
            ratios = turns(rk4(x), series(simulator.dynamics, x, compiled))
            task.say(what, statistics.median(ratios))
    except Absent as missing:
        task.say(missing)
    task.row(what, ratios, median=20, least=True, unit=" ×")


def speed(settings):
    """Training steps, eager and compiled, and rollout steps."""
    task = Task("speed")
    rounds = 5 if settings.quick else 15
    rivals(task, False, *measured(False, rounds))
    closed_form_rollout(task)
    found, missing = ({}, "not in a quick run") if settings.quick else measured(True, rounds)
    rivals(task, True, found, missing)
    if not settings.quick:
        closed_form_rollout(task, compiled=True)
    task.notes += [
        "Float32, 2 × 200 tanh on both sides, paired epochs through the framework's training and "
        "the rival's loop, median of the ratios (benchmarks/steps.py). HNN's loop without its "
        "evaluation of the test set at every step. The cold compile is not in these times.",
    ]
    return task
