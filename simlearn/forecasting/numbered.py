"""Long edge lists of whole numbers, read as arrays; memory is estimated before."""

from __future__ import annotations

import re
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from simlearn.component import DataError
from simlearn.data.importing import memory
from simlearn.data.importing.graphs import cells_of, is_header

HEAD = 1000  # lines in which the first edge stands
NUMBERED = 25  # bytes of memory for a byte of a list of numbers, at the worst moment
NAMED = 75  # the same where nodes have names
LARGEST = 2**31  # number of a node whose pairs are still told apart by one int64
LINE = re.compile(r"\s*-?\d+\s*[,;\t ]\s*-?\d+\s*([,;\t ].*)?")


def refuse_large(path: Path) -> None:
    """Refuse a file whose graph would not fit into memory, before it is read.

    Raises:
        DataError: There is no such file.
        EnvironmentFault: It would not fit; the estimate is told.
    """
    if not path.is_file():
        raise DataError(
            f"There is no graph {path}. Name an edge list, or a .graphml or .json file."
        )
    size, limit = (
        path.stat().st_size * (NAMED if _first(path) is None else NUMBERED),
        memory.budget(),
    )
    if size > limit:
        memory.refuse(path, size, limit, "the graph")


def numbered(path: Path, directed: bool) -> tuple[Tensor, Tensor | None] | None:
    """Both directions of every edge ``[2, E]`` and weights ``[E, a]`` of a list of whole numbers.

    None where it holds anything else, or an edge twice: the patient reader then says where.
    """
    import pandas as pd

    head = _first(path)
    if head is None:
        return None
    skip, mark, width = head
    kinds = dict.fromkeys(range(width), "float64") | {0: "int64", 1: "int64"}
    options = {"sep": mark, "header": None, "skiprows": skip, "comment": "#", "dtype": kinds}
    try:
        frame = pd.read_csv(path, encoding="utf-8-sig", **options)
    except (ValueError, OverflowError):  # a parser's error is a ValueError, too
        return None
    if frame.shape[1] != width:
        return None
    values = torch.from_numpy(frame.to_numpy("float64")[:, 2:].copy()) if width > 2 else None
    ends = torch.from_numpy(frame[[0, 1]].to_numpy("int64").T.copy())
    if values is not None and not bool(values.isfinite().all()):
        return None
    low, high = ends if directed else ends.sort(dim=0).values
    if ends.numel() and not 0 <= int(ends.min()) <= int(ends.max()) < LARGEST:
        return None
    if len((low * (int(ends.max()) + 1) + high).unique()) < ends.shape[1]:
        return None
    if directed:
        return ends, values
    back = ends[0] != ends[1]
    both = torch.cat([ends, ends.flip(0)[:, back]], dim=1)
    return both, None if values is None else torch.cat([values, values[back]])


def _first(path: Path) -> tuple[int, str, int] | None:
    """Lines before the first edge, the mark between its cells and their number.

    None where it is none of two whole numbers.
    """
    if path.suffix.lower() in (".graphml", ".json"):
        return None
    try:
        with path.open(encoding="utf-8-sig") as text:
            lines = list(islice(text, HEAD))
    except UnicodeDecodeError:
        return None
    seen = False  # a header is one line
    for k, line in enumerate(lines):
        if not line.strip() or line.lstrip()[0] in "#%":
            continue
        if LINE.fullmatch(line.rstrip("\n")):
            between = next((m for m in ",;\t" if m in line), None)
            return k, between or r"\s+", len(line.split(between))
        mark = next((m for m in ",;\t" if m in line), None)
        if seen or not is_header(cells_of(line, mark)):
            break
        seen = True
    return None
