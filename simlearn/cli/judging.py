"""From a gate file to what judges and what is judged: for ``simlearn check`` and for pytest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from simlearn.archive import estimates, load
from simlearn.catalog import Catalog
from simlearn.cli.parsing import parser
from simlearn.cli.training_data import training_data
from simlearn.component import ConfigError, PluginError, build
from simlearn.data.generate import System
from simlearn.data.store import Dataset, read
from simlearn.simulator import Simulator
from simlearn.stability.check import Check
from simlearn.stability.evidence import Evidence
from simlearn.stability.gate import Case
from simlearn.stability.gatefile import Entry, GateFile, read_gate_file


def case_of(entry: Entry, path: Path, known: Catalog) -> Case:
    """The check that an entry of a gate file names, built.

    Raises:
        ConfigError: There is no such check, or it takes no such argument; file and line are named.
    """
    reader = parser("check", "", known, [path])
    reader.add_argument("--check", type=Check, required=True)
    spec = {"class_path": entry.class_path, "init_args": entry.init_args}
    built = reader.instantiate_classes(reader.parse_object({"check": spec}))
    return Case(built.check, entry.severity, entry.optional)


def read_gate(path: Path, suite: str | None, known: Catalog) -> tuple[str, list[Case]]:
    """The checks of a suite, built.

    Raises:
        ConfigError: The file is no gate, has no such suite, or names an unknown check or argument.
    """
    name, entries = read_gate_file(path).suite(suite)
    return name, [case_of(entry, path, known) for entry in entries]


def overridden(gate: GateFile, **given: Any) -> GateFile:
    """The gate file with what is given instead of what it says; None and empty say nothing."""
    return replace(gate, **{k: v for k, v in given.items() if v not in (None, (), {})})


def open_pair(gate: GateFile, known: Catalog) -> tuple[Simulator, Dataset]:
    """The simulator and the held-out data.

    Raises:
        ConfigError: The gate names none.
        DataError: The data cannot be read.
        ArchiveError: The simulator cannot be loaded.
    """
    if gate.simulator is None:
        raise ConfigError(
            f"What is to be judged? Name SIMULATOR (a run or an archive), or write `simulator: "
            f"PATH` into {gate.path}."
        )
    if gate.data is None:
        raise ConfigError(
            f"What is it to be held against? Give --data FILE.h5, or write `data: FILE.h5` into "
            f"{gate.path}."
        )
    return load(gate.simulator, known), read(gate.data)


def evidence_of(
    gate: GateFile,
    simulator: Simulator,
    held_out: Dataset,
    cases: Sequence[Case],
    known: Catalog,
    tell: Callable[[str], None],
) -> Evidence:
    """What the simulator is held against.

    Raises:
        PluginError: The data name the system they were drawn from, and it cannot be built here.
    """
    system = _system(held_out, known)
    return Evidence(
        held_out=held_out.trajectories,
        **relatives_of(gate, simulator, cases, known, tell),
        truth=None if system is None else system.truth().double(),
        invariants={} if system is None else system.invariants(),
        units=held_out.provenance.get("units", {}),
        processes=os.cpu_count() or 1,
    )


def relatives_of(
    gate: GateFile,
    simulator: Simulator,
    cases: Sequence[Case],
    known: Catalog,
    tell: Callable[[str], None],
) -> dict[str, Any]:
    """What a gate file says of the evidence besides the held-out data, by field of Evidence."""
    asked = any(case.check.asks_training for case in cases)
    return {
        "training": training_data(gate.training_data, simulator, known, asked, tell),
        "siblings": tuple(load(path, known) for path in gate.siblings),
        "references": {name: load(path, known) for name, path in gate.references.items()},
        "estimates": estimates(simulator),
        "seed": gate.seed,
    }


def _system(data: Dataset, known: Catalog) -> System | None:
    """The system that the data were drawn from; None where they name none.

    A truth that is named and cannot be had is refused: without it checks lose limits, or do not
    apply, and a gate that became weaker would pass.
    """
    description = data.provenance.get("generator")
    if not isinstance(description, Mapping) or "class_path" not in description:
        return None
    name = str(description["class_path"])
    try:
        generator = build(description, known.find)
    except Exception as error:  # whatever the constructor of a plugin raises
        raise PluginError(
            f"The held-out data were drawn by {name}, which checks hold the simulator against, and "
            f"it cannot be built here{_plugin(name, known)}: {str(error).rstrip('.')}. Bring its "
            "plugin as it was, or take data that name no generator."
        ) from error
    return generator if isinstance(generator, System) else None


def _plugin(name: str, known: Catalog) -> str:
    """What became of the plugin that a component belongs to."""
    for plugin in known.plugins:
        if plugin.module.partition(":")[0].split(".")[0] == name.split(".")[0]:
            why = f": {plugin.reason}" if plugin.reason else ""
            return f" (plugin {plugin.label}, {plugin.status}{why})"
    return ""


def provenance_of(known: Catalog, data: Dataset, allowed: Sequence[str] = ()) -> dict[str, Any]:
    """What a report keeps of its making: versions, the held-out data, the plugins."""
    from importlib.metadata import version

    return {
        "judged_with": {"simlearn": version("simlearn"), "torch": version("torch")},
        "held_out": {"digest": data.digest, **data.provenance},
        "plugins": [
            {
                "name": p.name,
                "distribution": p.distribution,
                "version": p.version,
                "status": p.status,
            }
            for p in known.plugins
        ],
        "allow_import": list(allowed),
    }
