"""The figure that everything is drawn on."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.figure import Figure

DPI = 190


class Picture(Figure):
    """A figure that shows itself in a notebook and belongs to nobody else.

    It is not pyplot's, so a thousand of them neither warn nor stay in memory, and making one
    selects no backend.
    """

    def __init__(self, width: float = 5.8, height: float = 4.3, dpi: float = DPI):
        super().__init__(figsize=(width, height), dpi=dpi, layout="constrained", facecolor="white")

    def png(self, **options: Any) -> bytes:
        """The figure as PNG."""
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", **options)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png(dpi=100)
