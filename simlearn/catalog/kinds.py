"""The kinds of component, and what the core itself offers of each."""

from __future__ import annotations

import inspect

from simlearn import dynamics, hooks, integrators
from simlearn.component import Component
from simlearn.data.generate import DatasetGenerator
from simlearn.dynamics.base import Dynamics
from simlearn.integrators.base import Integrator
from simlearn.stability.check import Check
from simlearn.training import ensembles, ladder, network, objectives, start
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import Start

KINDS: tuple[type[Component], ...] = (
    Dynamics,
    Integrator,
    DatasetGenerator,
    Objective,
    Start,
    Stabilizer,
    Check,
)


def kind_of(cls: type) -> type[Component] | None:
    """The kind a class belongs to, None where it is no component."""
    return next((kind for kind in KINDS if issubclass(cls, kind)), None)


class CoreComponents:
    """The components of simlearn itself, offered through the same door as everybody's."""

    @hooks.hookimpl
    def simlearn_components(self) -> list[type]:
        """Final classes of the core rooms."""
        rooms = (dynamics, integrators, objectives, ensembles, start, ladder, network)
        found = [value for room in rooms for value in vars(room).values()]
        kinds = [
            c for c in found if inspect.isclass(c) and kind_of(c) and not inspect.isabstract(c)
        ]
        return sorted(
            {c for c in kinds if c.__module__.startswith("simlearn.")}, key=lambda c: c.__name__
        )
