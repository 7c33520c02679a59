"""Files of other schemas: those of earlier ones are brought up to date, those of later refused."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

Migration = Callable[[Any], None]  # changes what was read of one schema into the next one, in place


def migrations(
    schema: object,
    current: int,
    table: Mapping[int, Migration],
    what: str,
    wrote: object,
    refusal: type[Exception],
) -> list[Migration]:
    """What brings a file of a schema to the current one, in this order.

    Args:
        schema: What the file says.
        current: The one that is read.
        table: Schema to what makes the next one of it.
        what: What a message calls the file.
        wrote: What the file says of its writer.
        refusal: What is raised.

    Raises:
        Exception: ``refusal``: nothing leads there; the version that wrote it is named.
    """
    if isinstance(schema, numbers.Integral) and not isinstance(schema, bool):
        todo = range(int(schema), current)
        if schema <= current and all(step in table for step in todo):
            return [table[step] for step in todo]
    own = f"simlearn {version('simlearn')}"
    known = isinstance(wrote, str) and wrote.startswith("simlearn ") and wrote != own
    writer = wrote if known else "another simlearn"
    raise refusal(
        f"{what} has schema {schema} and was written by {writer}; this {own} reads schema "
        f"{current}. Read it with {writer}, or make it anew."
    )
