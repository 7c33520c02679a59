"""Stabilizers: what keeps learned dynamics stable, each with the bias it pays for it."""

from __future__ import annotations

import simlearn
from simlearn_stabilizers.noise import NoiseInjection
from simlearn_stabilizers.projection import ProjectedField, ProjectedMap, SubspaceProjection
from simlearn_stabilizers.roughness import Roughness
from simlearn_stabilizers.standardize import Standardize
from simlearn_stabilizers.start import StableInitialization

_OFFERED: list[type] = [
    NoiseInjection,
    ProjectedField,
    ProjectedMap,
    Roughness,
    StableInitialization,
    Standardize,
    SubspaceProjection,
]

__all__ = [
    "NoiseInjection",
    "ProjectedField",
    "ProjectedMap",
    "Roughness",
    "StableInitialization",
    "Standardize",
    "SubspaceProjection",
]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """The stabilizers, and the dynamics they make."""
    return list(_OFFERED)
