"""The rows of a text table, and where the first cell is that cannot be read."""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import numpy as np

from simlearn.component import DataError
from simlearn.data.importing.columns import Columns

if TYPE_CHECKING:
    import pandas as pd

    from simlearn.data.importing.texts import Format

MISSING: tuple[str, ...] = (
    "",
    "NA",
    "N/A",
    "n/a",
    "#N/A",
    "<NA>",
    "NaN",
    "nan",
    "NAN",
    "-nan",
    "-NaN",
)
MISSING += ("NULL", "null", "None", "none")
INFINITE = r"[+-]?inf(inity)?"


def rows_of(
    path: Path, written: Format, names: Sequence[str], skip: int, columns: Columns, rows: int
) -> Iterator[tuple[pd.DataFrame, int]]:
    """The columns in use, in frames of so many rows, with the number of the first line of each.

    Args:
        path: The file.
        written: How it is written, with nothing left to be found out.
        names: Names of all columns.
        skip: Lines up to the first row.
        columns: The column map.
        rows: Rows of a frame.

    Raises:
        DataError: A cell is no number, a line has too many cells, or a byte is no text.
    """
    import pandas as pd

    ids = {n for n in (columns.node, columns.system) if n is not None}
    used = [name for name in names if name in set(columns.used())]
    types = {name: "str" if name in ids else "float64" for name in used}
    options = _options(written, names, ids, rows)
    try:
        with _opened(path, written, skip) as text:
            first = skip + 1
            overlong = partial(_overlong, path, written, names, skip)
            for frame in _frames(text, {**options, "dtype": types}, overlong):
                for name in ids:
                    frame[name] = frame[name].str.strip()
                yield frame[used], first
                first += len(frame)
    except UnicodeDecodeError as error:
        raise DataError(undecodable(path, str(written.encoding))) from error
    except pd.errors.ParserError as error:
        _overlong(path, written, names, skip)
        told = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise DataError(f"{path} cannot be read: {told}.") from error
    except ValueError as error:
        _bad_cell(path, written, options, [n for n in used if n not in ids], skip, error)


def _options(written: Format, names: Sequence[str], ids: set[str], rows: int) -> dict[str, Any]:
    import pandas as pd

    options: dict[str, Any] = {
        "names": list(names),
        "header": None,
        "sep": written.delimiter,
        "decimal": written.decimal,
        "skip_blank_lines": False,
        "skipinitialspace": True,
        "chunksize": rows,
        "index_col": False,
        "low_memory": False,
        "keep_default_na": False,
        # a node may be called NA; only an empty cell is no name
        "na_values": {name: [""] if name in ids else list(MISSING) for name in names},
    }
    if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1):
        options["float_precision"] = "round_trip"  # later versions always read to the last bit
    return options


def _opened(path: Path, written: Format, skip: int) -> TextIO:
    """The text after so many lines, its line ends as they are."""
    text = path.open(encoding=written.encoding, newline="")
    for _ in range(skip):
        text.readline()
    return text


def _frames(
    text: TextIO, options: dict[str, Any], left_over: Callable[[], None] | None = None
) -> Iterator[pd.DataFrame]:
    """Frames; ``left_over`` is called when first a row has more cells than columns."""
    import pandas as pd

    try:
        reader = pd.read_csv(text, **options)
    except pd.errors.EmptyDataError:
        return
    while True:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            try:
                frame = next(reader)
            except StopIteration:
                return
        if left_over is not None and any(w.category is pd.errors.ParserWarning for w in told):
            left_over()
            left_over = None
        yield frame


def undecodable(path: Path, encoding: str) -> str:
    """Which byte of which line is no text of this encoding."""
    decoder = codecs.getincrementaldecoder(encoding)()
    line, value = 1, ""
    with path.open("rb") as handle:
        while not value and (piece := handle.read(1 << 20)):
            try:
                line += decoder.decode(piece).count("\n")
            except UnicodeDecodeError as error:
                line += error.object[: error.start].decode(encoding, "ignore").count("\n")
                value = f"{error.object[error.start]:#04x}"
    what = f", line {line}: the byte {value} is" if value else " breaks off and is"
    return (
        f"{path}{what} no {encoding} text. Give its encoding, for example --encoding latin-1 or "
        "--encoding utf-16."
    )


def _overlong(path: Path, written: Format, names: Sequence[str], skip: int) -> None:
    """Refuse the first line with more cells than columns; empty ones at its end do not count.

    Raises:
        DataError: There is one.
    """
    mark = str(written.delimiter)
    with _opened(path, written, skip) as text, contextlib.suppress(csv.Error):
        lines: Iterator[list[str]] = (
            csv.reader(text, delimiter=mark) if len(mark) == 1 else (line.split() for line in text)
        )
        for number, cells in enumerate(lines, skip + 1):
            if any(cell.strip() for cell in cells[len(names) :]):
                raise DataError(
                    f"{path}, line {number} has {len(cells)} cells; the columns are {len(names)}: "
                    f"{', '.join(names)}.{_comma(cells, written)}"
                )


def _comma(cells: Sequence[str], written: Format) -> str:
    whole = all(re.fullmatch(r"\s*-?\d+\s*", cell) for cell in cells)
    if whole and written.delimiter == ",":
        return " Is the decimal mark a comma, like the delimiter? Such a file cannot be told apart."
    return ""


def _bad_cell(
    path: Path,
    written: Format,
    options: dict[str, Any],
    numbers: Sequence[str],
    skip: int,
    error: Exception,
) -> NoReturn:
    """Find the first cell that is no number, by reading everything as text."""
    mark = re.escape(written.decimal)
    number = rf"\s*[+-]?(\d+({mark}\d*)?|{mark}\d+)([eE][+-]?\d+)?\s*"
    whole = re.compile(rf"{number}|\s*{INFINITE}\s*", re.IGNORECASE)
    first = skip + 1
    with _opened(path, written, skip) as text:
        for frame in _frames(text, {**options, "dtype": "str"}):
            found: list[tuple[int, str]] = []
            for name in numbers:
                good = frame[name].isna() | frame[name].str.fullmatch(whole).fillna(True)
                bad = np.flatnonzero(~good.to_numpy(bool))
                found += [(int(k), name) for k in bad[:1]]
            if found:
                k, name = min(found, key=lambda pair: pair[0])
                cell = str(frame[name].iloc[k])
                place = f"{path}, line {first + k}, column {name}"
                raise DataError(f"{place}: {cell!r} is no number.{_hint(cell)}") from error
            first += len(frame)
    raise DataError(f"{path} cannot be read: {error}.") from error


def _hint(cell: str) -> str:
    if re.match(r"\d+[-/.]\d+[-/.]\d+", cell):
        return " Dates are not read: give times as numbers, such as seconds since the start."
    if cell.startswith("#"):
        return " Comments stand before the header only."
    if re.fullmatch(r"[\d.+-]+(,[\d.+-]+)", cell):
        return " Is the decimal mark a comma? --decimal ,"
    if any(mark in cell for mark in ",;|\t "):
        return " Do the rows have another delimiter than the header?"
    return ""
