"""What the first trajectories of an import settle for all that come after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from simlearn.component import DataError
from simlearn.data.importing import units
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.guessing import SEVERAL
from simlearn.data.importing.tables import Table

TIME = ""  # the time of one file may be called t, that of another time


@dataclass
class Settled:
    """Which row a named node has, and which parameters belong to nodes.

    Trajectories of one batch must agree on both, in whatever order their rows stand in the files.

    Attributes:
        ranks: Named nodes in the order in which they came.
        own: Parameters that differ from node to node.
        shared: Parameters that were the same for all nodes of a system so far.
        where: The first file.
        first: Its completed column map.
        units: Its units by column.
    """

    ranks: dict[str, int] = field(default_factory=dict)
    own: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    where: str = ""
    first: Columns | None = None
    units: dict[str, str] = field(default_factory=dict)

    def columns_of(self, asked: Columns, available: Sequence[str], where: str) -> Columns:
        """The completed column map of a file; a later file takes that of the first one.

        Raises:
            ConfigError: What was asked for is not there.
            DataError: A later file has other columns than the first one.
        """
        own = asked.against(available, where)
        if not self.where:
            self.first, self.where = own, where
            return own
        for part in ("components", "derivative", "inputs", "parameters"):
            mine, before = getattr(own, part), getattr(self.first, part)
            if set(mine) != set(before):
                called = "state" if part == "components" else part
                raise DataError(
                    f"{where} has the {called} {', '.join(mine) or '(none)'}, the files before it "
                    f"{', '.join(before) or '(none)'} ({self.where}). Name the columns that all "
                    f"files have with --state, --velocity, --derivative, --inputs, or import the "
                    "files one by one."
                )
        names = {part: getattr(self.first, part) for part in SEVERAL}
        return replace(own, **names)

    def units_of(self, columns: Columns, where: str) -> None:
        """Refuse a file whose units are others than those of the first one.

        Raises:
            DataError: They are.
        """
        names = [name for part in SEVERAL for name in getattr(columns, part)]
        found = {name: columns.units.get(name, "") for name in names}
        found[TIME] = columns.units.get(columns.time or "", "")
        if not self.units:
            self.units = found
        for name, unit in found.items():
            before = self.units.get(name, "")
            if not units.same(unit, before):
                column = columns.time if name == TIME else name
                raise DataError(
                    f"{where}: column {column!r} is in {unit or '(no unit)'}, in {self.where} it "
                    f"is in {before or '(no unit)'}. Convert one of them; if only the header is "
                    f"wrong, say --units {column}={unit or before}."
                )

    def nodes_of(self, table: Table, node: str | None) -> tuple[list[str], np.ndarray]:
        """Labels of the nodes, numbers in their order and names as they came, and each row's node.

        Raises:
            DataError: A node is missing.
        """
        if node is None:
            return [], np.zeros(len(table.frame), np.int64)
        codes, found = table.frame[node].factorize()
        missing = np.flatnonzero(codes < 0)
        if len(missing):
            raise DataError(f"{table.place(int(missing[0]), node)}: the node is missing.")
        labels = [_label(str(name)) for name in found]
        if all(_whole(label) for label in labels):
            rank = [int(label) for label in labels]
        else:
            rank = [self.ranks.setdefault(label, len(self.ranks)) for label in labels]
        order = np.argsort(rank, kind="stable")
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return [labels[k] for k in order], back[codes]

    def parameters_of(self, table: Table, columns: Columns) -> None:
        """Note which parameters differ between the nodes of a system.

        Raises:
            DataError: One does that did not in the trajectories before.
        """
        if columns.node is None:
            return
        frame = table.frame
        for name in columns.parameters:
            values = frame[name].dropna()
            key = (
                np.zeros(len(values))
                if columns.system is None
                else frame[columns.system][values.index]
            )
            first = values.groupby(key).transform("first")
            other = np.flatnonzero((values != first).to_numpy(bool))
            if len(other) and name in self.shared:
                place = table.place(int(values.index[other[0]]), name)
                raise DataError(
                    f"{place}: the parameter {name} differs from node to node, but not in the "
                    "trajectories before. Put a trajectory (or file) in which it differs first."
                )
            (self.own if len(other) else self.shared).add(name)
        self.shared -= self.own

    def split(
        self, values: np.ndarray, columns: Columns
    ) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Constants of the nodes ``[rows, a]`` as those of the system and those of its nodes."""
        own = np.array([name in self.own for name in columns.parameters], bool)
        return (
            None if own.all() else values[0][~own],
            values[:, own] if own.any() else None,
        )


def _label(text: str) -> str:
    return text[:-2] if text.endswith(".0") and _whole(text[:-2]) else text


def _whole(label: str) -> bool:
    return label.isascii() and label.removeprefix("-").isdigit()
