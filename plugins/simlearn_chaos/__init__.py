"""Generators of chaotic and nonlinear dynamics, with known Lyapunov exponents."""

from __future__ import annotations

import simlearn


@simlearn.hookimpl
def simlearn_components() -> list[type]:
    """The systems and their laws."""
    return []
