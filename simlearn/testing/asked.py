"""Which aspects are asked of which component: the contract as a table."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from simlearn.component import Component
from simlearn.data.generate import DatasetGenerator, System
from simlearn.dynamics.base import Dynamics, HamiltonianField, Map, SplitField
from simlearn.integrators.base import Integrator
from simlearn.stability.check import Check
from simlearn.testing import (
    checks,
    dynamics,
    energies,
    everyone,
    generators,
    integrators,
    starts,
    training,
)
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import Start

Aspect = Callable[[Any], None]
Of = Callable[[type], bool]


def _all(*kinds: type, **claims: bool) -> Of:
    """Classes of one of these kinds whose class attributes have these values."""

    def wanted(cls: type) -> bool:
        return issubclass(cls, kinds) and all(getattr(cls, c) is v for c, v in claims.items())

    return wanted


ASKED: tuple[tuple[str, Of, tuple[Aspect, ...]], ...] = (
    (
        "every component",
        _all(Component),
        (
            everyone.offers_an_example,
            everyone.documents_every_argument,
            everyone.overrides_only_optional_methods,
            everyone.builds_from_its_description,
            everyone.survives_pickle,
            everyone.works_in_a_spawned_process,
        ),
    ),
    (
        "Dynamics",
        _all(Dynamics),
        (
            dynamics.runs_in_both_precisions,
            dynamics.is_deterministic,
            dynamics.leaves_the_global_rng_alone,
            dynamics.batch_equals_its_parts,
            dynamics.nan_stays_in_its_system,
            dynamics.survives_the_archive,
        ),
    ),
    (
        "Dynamics, equivariant",
        _all(Dynamics, equivariant=True),
        (dynamics.permuting_rows_permutes_the_answer,),
    ),
    ("Map, symplectic", _all(Map, symplectic=True), (dynamics.map_is_symplectic,)),
    (
        "HamiltonianField, SplitField",
        _all(HamiltonianField, SplitField),
        (energies.force_is_the_gradient_of_the_energy,),
    ),
    (
        "the same, autonomous",
        lambda cls: _all(HamiltonianField)(cls) or _all(SplitField, autonomous=True)(cls),
        (energies.energy_is_constant_along_the_flow, energies.energy_does_not_drift),
    ),
    (
        "Integrator",
        _all(Integrator),
        (
            integrators.steps_a_field,
            integrators.a_batch_steps_as_its_parts,
            integrators.has_the_order_it_claims,
        ),
    ),
    (
        "Integrator, symplectic",
        _all(Integrator, symplectic=True),
        (integrators.step_is_symplectic,),
    ),
    (
        "Integrator, reversible",
        _all(Integrator, reversible=True),
        (integrators.a_step_back_undoes_a_step,),
    ),
    (
        "DatasetGenerator",
        _all(DatasetGenerator),
        (
            generators.trajectory_depends_on_seed_and_index,
            generators.workers_draw_the_same_bytes,
            generators.tells_its_accuracy,
            generators.drawing_leaves_the_global_rng_alone,
            generators.derivative_is_the_slope_of_the_data,
            generators.names_its_units,
        ),
    ),
    ("System", _all(System), (generators.invariants_are_conserved,)),
    (
        "Objective",
        _all(Objective),
        (training.loss_is_a_scalar_with_a_gradient, training.nan_data_never_look_good),
    ),
    (
        "Start",
        _all(Start),
        (
            starts.solve_leaves_dynamics_that_step,
            starts.solve_is_a_pure_function,
            starts.solving_leaves_the_global_rng_alone,
            starts.restore_gives_what_solve_found,
        ),
    ),
    (
        "Stabilizer",
        _all(Stabilizer),
        (
            training.overrides_something_and_says_its_bias,
            training.wrapped_dynamics_still_run,
            training.perturb_is_a_pure_function,
            training.penalty_is_a_scalar_or_none,
            training.training_hooks_leave_the_global_rng_alone,
        ),
    ),
    (
        "Check",
        _all(Check),
        (
            checks.judges_or_declines,
            checks.leaves_the_simulator_alone,
            checks.is_repeatable,
            checks.names_its_metrics,
            checks.never_passes_a_broken_simulator,
        ),
    ),
)


def asked_of(cls: type[Component]) -> list[Aspect]:
    """What is asked of a component."""
    return [aspect for _, wanted, aspects in ASKED if wanted(cls) for aspect in aspects]


def table() -> list[tuple[str, str, str]]:
    """Name, kind and question of every aspect, in order."""
    return [
        (aspect.__name__, kind, (inspect.getdoc(aspect) or "").partition("\n")[0])
        for kind, _, aspects in ASKED
        for aspect in aspects
    ]
