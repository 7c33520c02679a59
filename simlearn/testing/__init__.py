"""Contract tests that any plugin runs on its own components.

One line in a plugin's test file is enough::

    test_contract = simlearn.testing.contract(simlearn_duffing)
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from simlearn import catalog
from simlearn.component import Component
from simlearn.data.generate import DatasetGenerator
from simlearn.dynamics.base import Dynamics, HamiltonianField, SplitField
from simlearn.integrators.base import Integrator
from simlearn.stability.check import Check
from simlearn.testing import aspects as ask
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer

Aspect = Callable[[Any], None]


def contract(plugin: ModuleType | Any) -> Callable[..., None]:
    """A parametrised pytest test of everything a plugin offers.

    Args:
        plugin: The module (or object) with the `simlearn_components` hook.
    """
    import pytest

    offered = [c for c in plugin.simlearn_components() if catalog.kind_of(c)]
    cases = [
        pytest.param(cls, aspect, id=f"{cls.__name__}-{aspect.__name__}")
        for cls in offered
        for aspect in asked_of(cls)
    ]

    @pytest.mark.parametrize(("cls", "aspect"), cases)
    def test_contract(cls: type[Component], aspect: Aspect) -> None:
        aspect(cls)

    return test_contract


def asked_of(cls: type[Component]) -> list[Aspect]:
    """What is asked of a component of its kind."""
    asked: list[Aspect] = [
        ask.documents_every_argument,
        ask.builds_from_its_description,
        ask.survives_pickle,
    ]
    if issubclass(cls, Dynamics):
        asked += [
            ask.runs_in_both_precisions,
            ask.is_deterministic,
            ask.leaves_the_global_rng_alone,
        ]
        asked += [ask.batch_equals_its_parts]
        if cls.equivariant:
            asked.append(ask.permuting_rows_permutes_the_answer)
        if issubclass(cls, HamiltonianField | SplitField):
            asked.append(ask.force_is_the_gradient_of_the_energy)
    if issubclass(cls, Integrator):
        asked.append(ask.steps_a_field)
    if issubclass(cls, DatasetGenerator):
        asked += [ask.trajectory_depends_on_seed_and_index, ask.drawing_leaves_the_global_rng_alone]
    if issubclass(cls, Stabilizer):
        asked.append(ask.overrides_something_and_says_its_bias)
    if issubclass(cls, Objective):
        asked.append(ask.says_how_long_a_window_is)
    if issubclass(cls, Check):
        asked.append(ask.judges_or_declines)
    return asked
