"""Parquet files as tables, and numbers of tables whose columns have types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from simlearn.component import DataError, EnvironmentFault
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.tables import Source, named

if TYPE_CHECKING:
    import pandas as pd


def open_parquet(path: Path) -> Source:
    """Look at the schema of a Parquet file.

    Raises:
        EnvironmentFault: pyarrow is not installed.
        DataError: It is no Parquet file, or a column holds no numbers.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise EnvironmentFault(
            "Reading Parquet needs pyarrow: pip install simlearn[parquet]"
        ) from error
    try:
        file = parquet.ParquetFile(path)
        raw = [n for n in file.schema_arrow.names if not n.startswith("__index_level_")]
    except (pyarrow.ArrowException, OSError, UnicodeError) as error:
        raise DataError(f"{path} is no Parquet file that can be read: {error}.") from error
    names, found = named(raw, str(path))

    def read(columns: Columns, rows: int) -> Iterator[tuple[pd.DataFrame, int]]:
        wanted = set(columns.used())
        used = [k for k, name in enumerate(names) if name in wanted]
        first = 0
        try:
            for batch in file.iter_batches(rows, columns=[raw[k] for k in used]):
                frame = batch.to_pandas(ignore_metadata=True)[[raw[k] for k in used]]
                frame.columns = [names[k] for k in used]
                yield numbers(frame, columns, path, first), first
                first += len(frame)
        except (pyarrow.ArrowException, OSError, UnicodeError) as error:
            raise DataError(f"{path} is damaged and cannot be read: {error}.") from error

    return Source(path, names, raw, found, 8 * file.metadata.num_rows * len(names), read, "row")


def numbers(frame: pd.DataFrame, columns: Columns, path: Path, first: int) -> pd.DataFrame:
    """Ids as text, everything else as float64.

    Raises:
        DataError: A cell is no number.
    """
    import pandas as pd

    for name in frame.columns:
        column = frame[name]
        if name in (columns.node, columns.system):
            missing = column.isna()
            frame[name] = column.astype("str").mask(missing)
            continue
        try:
            if column.dtype.kind in "mM":
                raise TypeError("a date")
            frame[name] = column.astype("float64")
        except (TypeError, ValueError) as error:
            good = pd.to_numeric(column, errors="coerce").notna() | column.isna()
            bad = np.flatnonzero(~good.to_numpy(bool)) if column.dtype.kind not in "mM" else [0]
            k = int(bad[0]) if len(bad) else 0
            raise DataError(
                f"{path}, row {first + k}, column {name}: {column.iloc[k]!s} is no number."
            ) from error
    return frame
