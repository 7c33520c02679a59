"""simlearn: learn simulators of physical and networked systems from data, and prove that they stay stable."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simlearn.archive import load, save
    from simlearn.catalog import load as catalog
    from simlearn.component import Component, ConfigError, DataError, SimlearnError
    from simlearn.data.generate import DatasetGenerator, Invariant, System, sample_times
    from simlearn.data.store import read, write
    from simlearn.dynamics.base import Dynamics, HamiltonianField, Map, SplitField, VectorField
    from simlearn.dynamics.linear import Estimate
    from simlearn.hooks import hookimpl
    from simlearn.integrators.base import Integrator
    from simlearn.simulator import Simulator
    from simlearn.stability.check import Check, Curve, Evidence, Finding, Line, Metric, energy_of
    from simlearn.stability.gate import check
    from simlearn.stability.report import Report
    from simlearn.state import Graph, Topology, Trajectory
    from simlearn.training.fit import fit
    from simlearn.training.objective import Objective
    from simlearn.training.stabilizer import Stabilizer
    from simlearn.training.start import ClosedForm

# Where each public name lives. Imported on first use: `import simlearn` pulls in neither torch nor lightning.
_HOMES = {
    "archive": ("load", "save"),
    "component": (
        "Component",
        "ConfigError",
        "DataError",
        "SimlearnError",
        "EnvironmentFault",
        "optional",
    ),
    "data.generate": ("DatasetGenerator", "Invariant", "System", "sample_times"),
    "data.store": ("read", "write"),
    "dynamics.base": ("Dynamics", "HamiltonianField", "Map", "SplitField", "VectorField"),
    "dynamics.linear": ("Estimate",),
    "hooks": ("hookimpl",),
    "integrators.base": ("Integrator",),
    "simulator": ("Simulator",),
    "stability.check": ("Check", "Curve", "Evidence", "Finding", "Line", "Metric", "energy_of"),
    "stability.gate": ("check",),
    "stability.report": ("Report",),
    "state": ("Graph", "Topology", "Trajectory"),
    "training.fit": ("fit",),
    "training.objective": ("Objective",),
    "training.stabilizer": ("Stabilizer",),
    "training.start": ("ClosedForm",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted([*_HOME_OF, "components"])


def components() -> list[type[Any]]:
    """All component classes of simlearn and the installed plugins, by name."""
    found: list[type[Any]] = list(import_module("simlearn.catalog").load().components())
    return found


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'simlearn' has no attribute {name!r}")
    value = getattr(import_module(f"simlearn.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
