"""Stabilizers: what keeps learned dynamics stable, each with the bias it pays for it."""

from __future__ import annotations

import simlearn
from simlearn_stabilizers.noise import NoiseInjection
from simlearn_stabilizers.roughness import Roughness
from simlearn_stabilizers.standardize import Standardize

__all__ = ["NoiseInjection", "Roughness", "Standardize"]


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """The stabilizers."""
    return [NoiseInjection, Roughness, Standardize]
