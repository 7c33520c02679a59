"""Remedies that need no training: the same weights, used in another way."""

from __future__ import annotations

import copy

from simlearn.component import describe
from simlearn.integrators.base import Integrator
from simlearn.remedies.subject import Subject, Untried
from simlearn.simulator import Simulator
from simlearn.stability.failure import Remedy
from simlearn.training.stabilizer import Stabilizer

FINER = 2  # times as many steps


def at_once(remedy: Remedy, subject: Subject) -> tuple[str, Simulator]:
    """What the remedy changes, in words, and the same weights with it.

    Raises:
        ConfigError: It does not suit the simulator.
        Untried: It acts on a training only.
    """
    make = {"stabilizer": _wrapped, "integrator": _scheme, "dt": _finer}.get(remedy.action)
    if make is None:
        raise Untried("it acts on a training only")
    change, made = make(remedy.component, subject)
    made.provenance = {**subject.simulator.provenance, **made.provenance}
    return change, made.eval().requires_grad_(False)


def _wrapped(name: str, subject: Subject) -> tuple[str, Simulator]:
    """With dynamics that a stabilizer puts around the present ones, as a projection does."""
    stabilizer = subject.find(name, Stabilizer)()
    if type(stabilizer).wrap is Stabilizer.wrap or name in subject.stabilizers():
        raise Untried("it acts on a training only")
    made = copy.deepcopy(subject.simulator)
    number = next((p.dtype for p in made.parameters()), None)
    stabilizer.observe(made, subject.training())
    wrapped = stabilizer.wrap(made.dynamics)
    if wrapped is made.dynamics:  # constraints that sit on its layers, or nothing to be done
        raise Untried("it acts on a training only")
    made.take(wrapped)
    used = subject.simulator.provenance.get("stabilizers", [])
    told = {**describe(stabilizer), "bias": stabilizer.bias}
    made.provenance = {"stabilizers": [*used, told]}
    return f"add {name}", made if number is None else made.to(number)


def _scheme(name: str, subject: Subject) -> tuple[str, Simulator]:
    """With another integrator."""
    old = subject.simulator
    made = Simulator(copy.deepcopy(old.dynamics), subject.find(name, Integrator)(), old.dt)
    return f"integrator: {name}", made


def _finer(name: str, subject: Subject) -> tuple[str, Simulator]:
    """With a smaller step."""
    old = subject.simulator
    if old.integrator is None and not getattr(old.dynamics, "any_step", False):
        raise Untried("a map has the step that it was trained with")
    return f"dt: {old.dt / FINER:g}", copy.deepcopy(old).with_step(old.dt / FINER)
