"""Learn simulators of physical and networked systems, and prove that they stay stable."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simlearn.archive import load as load
    from simlearn.archive import save as save
    from simlearn.component import Component as Component
    from simlearn.component import ConfigError as ConfigError
    from simlearn.component import DataError as DataError
    from simlearn.component import EnvironmentFault as EnvironmentFault
    from simlearn.component import SimlearnError as SimlearnError
    from simlearn.component import optional as optional
    from simlearn.data.generate import DatasetGenerator as DatasetGenerator
    from simlearn.data.generate import Invariant as Invariant
    from simlearn.data.generate import System as System
    from simlearn.data.generate import sample_times as sample_times
    from simlearn.data.importing import Columns as Columns
    from simlearn.data.importing import import_data as import_data
    from simlearn.data.store import Dataset as Dataset
    from simlearn.data.store import read as read
    from simlearn.data.store import write as write
    from simlearn.dynamics.base import Dynamics as Dynamics
    from simlearn.dynamics.base import HamiltonianField as HamiltonianField
    from simlearn.dynamics.base import Map as Map
    from simlearn.dynamics.base import SplitField as SplitField
    from simlearn.dynamics.base import VectorField as VectorField
    from simlearn.dynamics.ensemble import Ensemble as Ensemble
    from simlearn.dynamics.linear import Estimate as Estimate
    from simlearn.forecasting import Forecast as Forecast
    from simlearn.forecasting import forecast as forecast
    from simlearn.forecasting import transfer as transfer
    from simlearn.hooks import hookimpl as hookimpl
    from simlearn.integrators.base import Integrator as Integrator
    from simlearn.remedies import remedy as remedy
    from simlearn.simulator import Simulator as Simulator
    from simlearn.stability.check import Check as Check
    from simlearn.stability.evidence import Evidence as Evidence
    from simlearn.stability.evidence import energy_of as energy_of
    from simlearn.stability.evidence import inputs_for as inputs_for
    from simlearn.stability.failure import Place as Place
    from simlearn.stability.failure import Remedy as Remedy
    from simlearn.stability.finding import Curve as Curve
    from simlearn.stability.finding import Film as Film
    from simlearn.stability.finding import Finding as Finding
    from simlearn.stability.finding import Line as Line
    from simlearn.stability.finding import Metric as Metric
    from simlearn.stability.finding import Track as Track
    from simlearn.stability.gate import check as check
    from simlearn.stability.report import Report as Report
    from simlearn.state import Graph as Graph
    from simlearn.state import Topology as Topology
    from simlearn.state import Trajectory as Trajectory
    from simlearn.training.fit import fit as fit
    from simlearn.training.ladder import Ladder as Ladder
    from simlearn.training.ladder import ladder as ladder
    from simlearn.training.network import NetworkLadder as NetworkLadder
    from simlearn.training.network import network_ladder as network_ladder
    from simlearn.training.objective import Objective as Objective
    from simlearn.training.stabilizer import Stabilizer as Stabilizer
    from simlearn.training.start import ClosedForm as ClosedForm
    from simlearn.training.start import Start as Start

# Where each public name lives. Imported on first use: `import simlearn` pulls in neither torch nor
# lightning.
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
    "data.importing": ("Columns", "import_data"),
    "data.store": ("Dataset", "read", "write"),
    "dynamics.base": ("Dynamics", "HamiltonianField", "Map", "SplitField", "VectorField"),
    "dynamics.ensemble": ("Ensemble",),
    "dynamics.linear": ("Estimate",),
    "forecasting": ("Forecast", "forecast", "transfer"),
    "hooks": ("hookimpl",),
    "integrators.base": ("Integrator",),
    "remedies": ("remedy",),
    "simulator": ("Simulator",),
    "stability.check": ("Check",),
    "stability.evidence": ("Evidence", "energy_of", "inputs_for"),
    "stability.failure": ("Place", "Remedy"),
    "stability.finding": ("Curve", "Film", "Finding", "Line", "Metric", "Track"),
    "stability.gate": ("check",),
    "stability.report": ("Report",),
    "state": ("Graph", "Topology", "Trajectory"),
    "training.fit": ("fit",),
    "training.objective": ("Objective",),
    "training.stabilizer": ("Stabilizer",),
    "training.ladder": ("Ladder", "ladder"),
    "training.network": ("NetworkLadder", "network_ladder"),
    "training.start": ("ClosedForm", "Start"),
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
