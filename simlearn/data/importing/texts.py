"""Text tables: delimiter, encoding and header."""

from __future__ import annotations

import codecs
import csv
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from simlearn.component import ConfigError, DataError
from simlearn.data.importing.cells import rows_of, undecodable
from simlearn.data.importing.columns import Columns
from simlearn.data.importing.tables import Source, named

if TYPE_CHECKING:
    import pandas as pd


BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
HEAD_BYTES = 1 << 20
BLANKS = r"\s+"
DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}


@dataclass(frozen=True)
class Format:
    """How a csv file is written; what is None is found out.

    Args:
        delimiter: Between two cells.
        decimal: The decimal mark.
        encoding: Of the text.
        names: Names of the columns of a file without a header.

    Raises:
        ConfigError: A mark is no single character, both are the same, or there is no such encoding.
    """

    delimiter: str | None = None
    decimal: str = "."
    encoding: str | None = None
    names: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.delimiter is not None and len(self.delimiter) != 1 and self.delimiter != BLANKS:
            raise ConfigError(
                f"The delimiter is one character, tab or space; got {self.delimiter!r}."
            )
        if len(self.decimal) != 1 or self.decimal == self.delimiter:
            raise ConfigError(
                f"The decimal mark is one character other than the delimiter; got {self.decimal!r}."
            )
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError as error:
            raise ConfigError(f"There is no encoding {self.encoding!r}.") from error


def open_csv(path: Path, written: Format) -> Source:
    """Look at the header of a csv file.

    Raises:
        ConfigError: The delimiter that was given is not that of the header.
        DataError: It is empty, has no header that can be read, or two columns of one name.
    """
    try:
        return _opened(path, written)
    except csv.Error as error:
        raise DataError(f"{path}: its header cannot be read: {error}.") from error


def _opened(path: Path, written: Format) -> Source:
    encoding = _encoding(path, written)
    lines = re.split(r"\r\n|\r|\n", _head(path, encoding))
    first = next(
        (k for k, line in enumerate(lines) if line.strip() and not line.startswith("#")), len(lines)
    )
    if first == len(lines):
        raise DataError(f"{path} is empty: it has no header and no row.")
    line, where = lines[first], f"{path}, line {first + 1}"
    mark = written.delimiter or _delimiter(line, written.decimal)
    written = replace(written, encoding=encoding, delimiter=mark)
    cells = _cells(line, mark)
    comment = _commented(lines[:first], cells, written)
    names, found = _header(comment or cells, where, written)
    if len(names) == 1:
        _alone(line, where, mark)
    skip = first + (0 if written.names or comment else 1)
    rest = lines[skip : skip + 200]
    row = sum(map(len, rest)) / max(1, len(rest)) + 1
    wide = 2 if encoding.startswith("utf-16") else 1
    count = path.stat().st_size / wide / max(1.0, row)

    def read(columns: Columns, rows: int) -> Iterator[tuple[pd.DataFrame, int]]:
        yield from rows_of(path, written, names, skip, columns, rows)

    raw = names if written.names else comment or cells
    return Source(path, names, raw, found, int(8 * count * len(names)), read)


def _commented(before: Sequence[str], row: Sequence[str], written: Format) -> Sequence[str]:
    """The header of a table that has it in the last comment before the numbers, as numpy does."""
    comments = [line for line in before if line.startswith("#")]
    if written.names or not comments or not all(_is_number(cell) for cell in row):
        return ()
    text = comments[-1].lstrip("# ")
    for mark in (str(written.delimiter), _delimiter(text, written.decimal)):
        cells = _cells(text, mark)
        if len(cells) == len(row) > 1 and not any(_is_number(cell) for cell in cells):
            warnings.warn(f"The header is read from a comment: {comments[-1]!r}.", stacklevel=2)
            return cells
    return ()


def _encoding(path: Path, written: Format) -> str:
    with path.open("rb") as handle:
        start = handle.read(4)
    marked = next((name for bom, name in BOMS if start.startswith(bom)), None)
    if marked is None and written.encoding is None and len(start) == 4:
        zeros = {start[1::2]: "utf-16-le", start[::2]: "utf-16-be"}
        marked = zeros.get(b"\0\0")
    return marked or written.encoding or "utf-8"


def _head(path: Path, encoding: str) -> str:
    """The beginning of a text, decoded.

    Raises:
        ConfigError: The encoding is none of a text.
        DataError: It is no text of that encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb") as handle:
        start = handle.read(HEAD_BYTES)
    try:
        text = decoder.decode(start)
    except UnicodeDecodeError as error:
        raise DataError(undecodable(path, encoding)) from error
    except ValueError as error:
        raise ConfigError(f"{encoding!r} is no encoding of a text.") from error
    if not isinstance(text, str):
        raise ConfigError(f"{encoding!r} is no encoding of a text.")
    return text


def _delimiter(header: str, decimal: str) -> str:
    plain = re.sub(r'"[^"]*"', "", header)
    counts = {mark: plain.count(mark) for mark in DELIMITERS if mark != decimal}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] or len(_cells(plain, BLANKS)) < 2 else BLANKS


def _cells(line: str, mark: str) -> list[str]:
    """Cells of a header; in one with blanks between, a unit in brackets belongs to its name."""
    if mark == BLANKS:
        return re.split(r"\s+(?!\[)", line.strip())
    cells = next(csv.reader([line], delimiter=mark, skipinitialspace=True))
    return cells[:-1] if len(cells) > 1 and not cells[-1].strip() else cells


def _alone(line: str, where: str, mark: str) -> None:
    other = next((m for m in DELIMITERS if m in line and m != mark), None)
    if other is not None:
        raise ConfigError(
            f"{where}: with {mark!r} as the delimiter the header is one column {line!r}. Is the "
            f"delimiter a {DELIMITERS[other]}?"
        )


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _header(
    cells: Sequence[str], where: str, written: Format
) -> tuple[Sequence[str], dict[str, str]]:
    """Names and units of the columns, given or read.

    Raises:
        ConfigError: As many names are given as there are no cells.
        DataError: There is no header.
    """
    if written.names:
        if len(written.names) != len(cells):
            raise ConfigError(
                f"{where} has {len(cells)} cells, --names gives {len(written.names)}."
            )
        return named(written.names, "--names")
    if all(_is_number(cell) for cell in cells):
        raise DataError(
            f"{where} holds numbers ({', '.join(cells[:4])}): the header is missing. Add "
            "one, or name the columns with --names t,q,v. A comment right before the numbers is a "
            "header where it has as many cells as they."
        )
    return named(cells, where)
