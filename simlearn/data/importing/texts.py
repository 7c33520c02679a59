"""Text tables: delimiter, encoding, header, and the first cell that is no number."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simlearn.component import DataError
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.tables import Source, named

if TYPE_CHECKING:
    import pandas as pd


BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Format:
    """How a csv file is written; what is None is found out.

    Args:
        delimiter: Between two cells.
        decimal: The decimal mark.
        encoding: Of the text.
        names: Names of the columns of a file without a header.
    """

    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None
    names: Sequence[str] = ()


def open_csv(path: Path, written: Format) -> Source:
    """Look at the header of a csv file.

    Raises:
        DataError: It is empty, has no header, or two columns of one name.
    """
    text = _head(path, written)
    lines = text.splitlines()
    comments = next((k for k, line in enumerate(lines) if not line.startswith("#")), len(lines))
    if comments == len(lines):
        raise DataError(f"{path} is empty: it has no header and no row.")
    written = replace(
        written,
        encoding=_encoding(path, written),
        delimiter=written.delimiter or _delimiter(lines[comments]),
    )
    mark = str(written.delimiter)
    cells = next(csv.reader([lines[comments]], delimiter=mark if len(mark) == 1 else "\0"))
    names, found = _header(cells, path, written)
    skip = comments + (0 if written.names else 1)
    rest = lines[skip : skip + 200]
    row = sum(map(len, rest)) / max(1, len(rest)) + 1
    wide = 2 if written.encoding == "utf-16" else 1
    count = path.stat().st_size / wide / max(1.0, row)

    def read(columns: Columns, rows: int) -> Iterator[tuple[pd.DataFrame, int]]:
        yield from _read_csv(path, written, names, skip, columns, rows)

    return Source(path, names, cells, found, int(8 * count * len(names)), read)


def _encoding(path: Path, written: Format) -> str:
    with path.open("rb") as handle:
        start = handle.read(4)
    marked = next((name for bom, name in BOMS if start.startswith(bom)), None)
    if marked is None and start[1:4:2] == b"\0\0":
        marked = "utf-16-le"
    return written.encoding or marked or "utf-8"


def _head(path: Path, written: Format) -> str:
    encoding = _encoding(path, written)
    try:
        decoder = codecs.getincrementaldecoder(encoding)()
        with path.open("rb") as handle:
            return decoder.decode(handle.read(1 << 16))
    except LookupError as error:
        raise DataError(f"{path}: there is no encoding {encoding!r}.") from error
    except UnicodeDecodeError as error:
        raise _undecodable(path, encoding, error) from error


def _undecodable(path: Path, encoding: str, error: UnicodeDecodeError) -> DataError:
    return DataError(
        f"{path} is no {encoding} text: byte {error.start} is {error.object[error.start]:#04x}. "
        "Give its encoding, for example --encoding latin-1 or --encoding utf-16."
    )


def _delimiter(header: str) -> str:
    counts = {mark: header.count(mark) for mark in DELIMITERS}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] or len(header.split()) < 2 else r"\s+"


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _read_csv(
    path: Path, written: Format, names: Sequence[str], skip: int, columns: Columns, rows: int
) -> Iterator[tuple[pd.DataFrame, int]]:
    import pandas as pd

    ids = {columns.node, columns.system}
    used = [name for name in names if name in set(columns.used())]
    options: dict[str, Any] = {
        "names": list(names),
        "header": None,
        "skiprows": skip,
        "usecols": used,
        "sep": written.delimiter,
        "decimal": written.decimal,
        "encoding": written.encoding,
        "skip_blank_lines": False,
        "chunksize": rows,
        "index_col": False,
        "low_memory": False,
        "keep_default_na": True,
    }
    numbers = dict.fromkeys(used, "float64") | {n: "str" for n in ids if n is not None}
    try:
        with pd.read_csv(path, dtype=numbers, **options) as reader:
            first = skip + 1
            for frame in reader:
                yield frame[used], first
                first += len(frame)
    except UnicodeDecodeError as error:
        raise _undecodable(path, str(written.encoding), error) from error
    except pd.errors.EmptyDataError:
        return
    except pd.errors.ParserError as error:
        told = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise DataError(f"{path}: {told}. Every line needs {len(names)} cells.") from error
    except ValueError as error:
        raise _bad_cell(path, options, numbers, skip, error) from error


def _bad_cell(
    path: Path, options: dict[str, Any], types: dict[str, str], skip: int, error: Exception
) -> DataError:
    """Find the first cell that is no number, by reading everything as text."""
    import pandas as pd

    first = skip + 1
    with pd.read_csv(path, dtype="str", **{**options, "decimal": "."}) as reader:
        for frame in reader:
            for name in (n for n, kind in types.items() if kind == "float64"):
                text = frame[name].str.replace(options["decimal"], ".", regex=False)
                bad = pd.to_numeric(text, errors="coerce").isna() & frame[name].notna()
                if bad.any():
                    k = int(np.flatnonzero(bad.to_numpy())[0])
                    cell = str(frame[name].iloc[k])
                    hint = " Is the decimal mark a comma? --decimal ," if "," in cell else ""
                    return DataError(
                        f"{path}, line {first + k}, column {name}: {cell!r} is no number.{hint}"
                    )
            first += len(frame)
    return DataError(f"{path} cannot be read: {error}.")


def _header(
    cells: Sequence[str], path: Path, written: Format
) -> tuple[Sequence[str], dict[str, str]]:
    """Names and units of the columns, given or read.

    Raises:
        DataError: There is no header, or as many names are given as there are no cells.
    """
    if written.delimiter == r"\s+":
        cells = cells[0].split()
    if written.names:
        if len(written.names) != len(cells):
            raise DataError(
                f"{path}, line 1 has {len(cells)} cells, --names gives {len(written.names)}."
            )
        return written.names, {}
    if all(_is_number(cell) for cell in cells):
        raise DataError(
            f"{path}, line 1 holds numbers ({', '.join(cells[:4])}): the header is missing. Add "
            "one, or name the columns with --names t,q,v."
        )
    return named(cells, path)
