"""Save and load a trained simulator: its description, its weights, where it comes from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as unpack
from safetensors.torch import save as pack

from simlearn import catalog
from simlearn.component import ArchiveError, ConfigError, EnvironmentFault, build
from simlearn.data.schema import Migration, migrations
from simlearn.data.sound import told
from simlearn.dynamics.linear import Estimate
from simlearn.simulator import Simulator
from simlearn.training import durable

SCHEMA = 1
MIGRATIONS: dict[int, Migration] = {}  # of a description, from a schema to the next one
UNFIT = (
    *(ConfigError, SafetensorError, RuntimeError, LookupError, TypeError, ValueError),
    *(AttributeError, ArithmeticError),
)
DESCRIPTION, WEIGHTS = "simulator.json", "weights.safetensors"


def save(simulator: Simulator, path: Path | str) -> Path:
    """Write ``simulator.json`` and ``weights.safetensors`` into a new folder; whole or not at all.

    Raises:
        ArchiveError: The folder exists already.
        EnvironmentFault: It cannot be written.
    """
    path = Path(path)
    if path.exists():
        raise ArchiveError(f"{path} exists already. Save under another name, or remove it first.")
    weights = pack(
        {name: value.contiguous().cpu() for name, value in simulator.state_dict().items()}
    )
    body = {
        "schema": SCHEMA,
        "written_by": f"simlearn {version('simlearn')}",
        "simulator": simulator.describe(),
        "provenance": simulator.provenance,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    body["sha256"] = _digest(body)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        durable.put(partial / WEIGHTS, weights)
        durable.put(partial / DESCRIPTION, f"{json.dumps(body, indent=2)}\n".encode())
        partial.replace(path)
        durable.flush_folder(path.parent)
    except OSError as error:
        raise EnvironmentFault(f"Cannot write the archive {path}: {error}.") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def load(path: Path | str, plugins: catalog.Catalog | None = None) -> Simulator:
    """Load a simulator from an archive or from the run that wrote one.

    Only components of simlearn and of the loaded plugins are built; an archive cannot import code.

    Args:
        path: An archive folder, or a run folder with ``simulator/`` in it.
        plugins: The catalog to resolve names in; the installed plugins by default.

    Raises:
        ArchiveError: Nothing is there, a digest does not fit, the schema is newer, or a component
            is not installed.
    """
    folder = _folder(Path(path))
    try:
        body = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        weights = (folder / WEIGHTS).read_bytes()
    except (OSError, ValueError, RecursionError) as error:
        raise ArchiveError(f"The archive {folder} cannot be read: {error}.") from error
    todo = _migrations(folder, body)
    _verify(folder, body, weights)
    known = plugins or catalog.load()
    try:
        for migration in todo:
            migration(body)
        simulator = _rebuilt(body["simulator"], known.find)
        state = unpack(weights)
        real = {value.dtype for value in state.values() if value.is_floating_point()}
        if len(real) == 1:
            simulator.to(real.pop())
        simulator.load_state_dict(state)
        simulator.provenance = _known(body["provenance"])
    except UNFIT as error:
        raise ArchiveError(
            f"The archive {folder} does not fit what is installed: {error}"
        ) from error
    return simulator.eval().requires_grad_(False)


def _folder(path: Path) -> Path:
    for folder in (path, path / "simulator"):
        if (folder / DESCRIPTION).is_file():
            return folder
    raise ArchiveError(
        f"There is no simulator at {path}: neither {DESCRIPTION} nor simulator/{DESCRIPTION} is "
        "there. "
        "Name a run folder (runs/...) or an archive folder."
    )


def _digest(body: Mapping[str, Any]) -> str:
    kept = {key: value for key, value in body.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def _migrations(folder: Path, body: Any) -> list[Migration]:
    """What brings the description to the schema of today."""
    if not isinstance(body, dict) or "schema" not in body:
        raise ArchiveError(f"{folder / DESCRIPTION} is no description of a simulator.")
    what, wrote = f"The archive {folder}", body.get("written_by")
    return migrations(body["schema"], SCHEMA, MIGRATIONS, what, wrote, ArchiveError)


def _verify(folder: Path, body: Mapping[str, Any], weights: bytes) -> None:
    for name, found, wanted in (
        (WEIGHTS, hashlib.sha256(weights).hexdigest(), body.get("weights_sha256")),
        (DESCRIPTION, _digest(body), body.get("sha256")),
    ):
        if found != wanted:
            raise ArchiveError(
                f"{folder / name} was changed after it was saved: its SHA-256 is {found[:12]}..., "
                "the archive "
                f"says {str(wanted)[:12]}.... Use an intact copy, or train again."
            )


def _known(provenance: Any) -> dict[str, Any]:
    """Where it comes from, in the kinds that are read of it.

    Raises:
        ValueError: A part is of another kind.
    """
    if not isinstance(provenance, dict):
        raise ValueError("its provenance is no mapping")
    told(provenance.get("data", {}))
    for name in ("training", "estimates", "ladder"):
        if not isinstance(provenance.get(name, {}), dict):
            raise ValueError(f"{name} of its provenance is no mapping")
    return provenance


def _rebuilt(description: Mapping[str, Any], resolve: Callable[[str], type[Any]]) -> Simulator:
    with torch.random.fork_rng(devices=[]):
        integrator = description["integrator"]
        return Simulator(
            build(description["dynamics"], resolve),
            None if integrator is None else build(integrator, resolve),
            description["dt"],
        )


def estimates(simulator: Simulator) -> dict[str, Estimate]:
    """The fitted quantities with standard errors that the archive kept.

    Raises:
        ArchiveError: They are no estimates.
    """
    kept = simulator.provenance.get("estimates", {})
    try:
        found = {name: Estimate(**values) for name, values in kept.items()}
        for one in found.values():
            float(one.value), float(one.error), one.unit.strip()
    except (TypeError, ValueError, AttributeError) as error:
        raise ArchiveError(f"The archive keeps estimates that are none: {error}.") from error
    return found
