"""Where a forecast begins: one state of every node, and what the nodes carry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.data.importing.containers import ready
from simlearn.data.importing.npz import headers, readable
from simlearn.data.importing.sources import TABLES
from simlearn.data.layout import DAMAGE, FORMAT, attribute, refuse_foreign_storage, texts
from simlearn.data.store import read
from simlearn.forecasting.starttables import name_of, table


@dataclass(frozen=True)
class Start:
    """One state of every node.

    Attributes:
        x: ``[rows, dim]``; ``[1, dim]`` where ``uniform``.
        names: Of the rows; empty where they have none.
        parameters: What else stands there of every node, by name ``[rows]`` or ``[rows, k]``.
        t: The time of the state.
        uniform: Whether all nodes begin at one state, however many there are.
        where: The file, for messages.
    """

    x: Tensor
    names: Sequence[str] = ()
    parameters: Mapping[str, Tensor] = field(default_factory=dict)
    t: float = 0.0
    uniform: bool = False
    where: str = "--x0"


def constant(text: str, dim: int) -> Start | None:
    """A start from numbers with commas: one for every column, or one for all; None if it is none.

    Raises:
        DataError: They are of another number.
    """
    try:
        values = [float(cell) for cell in text.split(",")]
    except ValueError:
        return None
    if len(values) not in (1, dim) or not np.isfinite(values).all():
        raise DataError(
            f"The start {text} has {len(values)} numbers; the state of a node has {dim}. Give one "
            "finite number, or one for each column."
        )
    x = torch.tensor(values, dtype=torch.float64).expand(dim)[None]
    return Start(x, uniform=True)


def read_start(path: Path | str, dim: int, columns: Any = None, more: int = 0) -> Start:
    """The start of a csv, npy, npz or HDF5 file.

    A table has one row a node; its columns are called as in the data that were imported, or what is
    left beside node and time is the state. Arrays are ``[rows, dim]`` (``x0`` or ``x``; ``[rows]``
    for one column), with ``nodes`` beside them where nodes have names. Of a dataset it is the last
    state of the first trajectory.

    Args:
        path: The file.
        dim: Columns of the state.
        columns: The column map of the training data, where their provenance has one.
        more: Parameters of a node that the simulator sees.

    Raises:
        DataError: It cannot be read, is of another size, or a number is missing; the place is told.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"There is no start {path}. Give a csv, npz, npy or HDF5 file, a number, or sample."
        )
    kind = path.suffix.lower()
    if kind in TABLES:
        known = columns if isinstance(columns, Mapping) else {}
        return Start(*table(path, dim, known, more), where=str(path))
    if kind not in (".npy", ".npz", ".h5", ".hdf5"):
        raise DataError(f"{path}: a start comes as csv, npz, npy or HDF5, or as a number.")
    if kind in (".h5", ".hdf5") and (found := _dataset(path, dim)) is not None:
        return found
    held = _arrays(path)
    called = held.pop("nodes", np.zeros(0))
    name = next((n for n in ("x0", "x") if n in held), next(iter(held)) if len(held) == 1 else "")
    if not name:
        raise DataError(f"{path} has the arrays {', '.join(held)}; call the start x0.")
    names = [name_of(one) for one in called.reshape(-1).tolist()]
    _once(names, str(path))
    x = _state(held.pop(name), dim, str(path), names)
    others = {n: _numbers(a) for n, a in held.items() if _of_nodes(a, len(x))}
    return Start(x, names, others, where=str(path))


def _once(names: Sequence[str], where: str) -> None:
    """Refuse a name that two rows have.

    Raises:
        DataError: One does.
    """
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"{where}: the node {twice} stands there twice. Remove one row.")


def _dataset(path: Path, dim: int) -> Start | None:
    """The last state of the first trajectory of a dataset; None where it is another HDF5 file."""
    try:
        with h5py.File(path, "r") as file:
            ours = attribute(file, "format") == FORMAT
    except DAMAGE as error:
        raise DataError(f"{path} is no HDF5 file that can be read: {error}.") from error
    if not ours:
        return None
    data = read(path)
    if not len(data):
        raise DataError(f"{path} holds no trajectory to start from.")
    one = data[0].slice(0, data[0].finite_steps)
    if one.mask is not None:
        whole = one.mask.all(1).nonzero()[:, 0]
        if not len(whole):
            raise DataError(f"{path} has no complete sample to start from.")
        one = one.slice(0, int(whole[-1]) + 1)
    topology, names = one.topology, list[str]()
    if topology.node_type is not None and topology.node_names:
        names = [topology.node_names[k] for k in topology.node_type.tolist()]
        if len(set(names)) < len(names):
            names = []  # kinds of nodes, not names
    attr = {} if topology.node_attr is None else {"node_attr": topology.node_attr.double()}
    x = _state(one.x[-1].double().numpy(), dim, str(path), names)
    return Start(x, names, attr, float(one.t[-1].min()), where=str(path))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file by name; one without a name is x0.

    Raises:
        DataError: It cannot be read, or holds none.
    """
    kind = path.suffix.lower()
    try:
        if kind == ".npy":  # a header that claims more than the file holds cannot be mapped
            return {"x0": np.array(np.load(path, mmap_mode="r", allow_pickle=False))}
        if kind == ".npz":
            found = _of_npz(path)
        else:
            with h5py.File(path, "r") as file:
                refuse_foreign_storage(file, path)
                found = {name: _read(file[name]) for name in file}
    except DAMAGE as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if not found:
        raise DataError(f"{path} holds no array.")
    return found


def _of_npz(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz file, once their headers are known to tell the truth."""
    held = headers(path)
    ready(held, list(held), path)
    with readable(path):
        return {name: one.values for name, one in held.items()}


def _read(item: Any) -> np.ndarray:
    text = h5py.check_string_dtype(item.dtype) is not None
    return texts(item) if text and item.ndim else np.asarray(item[()])


def _state(value: np.ndarray, dim: int, where: str, names: Sequence[str]) -> Tensor:
    """``[rows, dim]`` in float64.

    Raises:
        DataError: It has another shape, is no number, or not finite.
    """
    if value.dtype.kind not in "iufb":
        raise DataError(f"{where}: the start holds {value.dtype}, not numbers.")
    if value.ndim == 1 and dim == 1:
        value = value[:, None]
    if value.ndim != 2 or value.shape[1] != dim:
        raise DataError(
            f"{where}: the start must be [nodes, {dim}], as the simulator has {dim} columns; got "
            f"{list(value.shape)}."
        )
    if not len(value):
        raise DataError(f"{where}: the start holds no node. Give every node a row.")
    if names and len(names) != len(value):
        raise DataError(f"{where}: {len(names)} names for {len(value)} nodes.")
    wrong = np.flatnonzero(~np.isfinite(value).all(1))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{where}: the state of node {names[row] if names else row} is {value[row].tolist()}. "
            "Give every node finite numbers."
        )
    return torch.from_numpy(np.array(value, np.float64))


def _of_nodes(value: np.ndarray, rows: int) -> bool:
    """Whether an array holds numbers for every node; texts and whatever else is left aside."""
    return value.ndim > 0 and len(value) == rows and value.dtype.kind in "iufb"


def _numbers(value: np.ndarray) -> Tensor:
    """Parameters of every node, ``[rows]`` or ``[rows, k]``, looked at when they are used."""
    found = torch.from_numpy(np.array(value, np.float64))
    return found.reshape(len(found)) if found.numel() == len(found) else found.flatten(1)
