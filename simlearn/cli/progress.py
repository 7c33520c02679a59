"""One line on a terminal that says how far long work is; silence elsewhere."""

from __future__ import annotations

import sys
import time

PATIENCE = 1.0  # seconds of work before anything is said
WIDTH = 24


class Bar:
    """Hears (what, done, of how many) and draws a bar, ten times a second at most."""

    def __init__(self) -> None:
        self.what, self.began, self.said = "", time.monotonic(), 0.0
        self.drawn = False

    def __call__(self, what: str, done: int, total: int) -> None:
        """Say it, if it is time."""
        if not sys.stderr.isatty():
            return
        now = time.monotonic()
        if what != self.what:
            self.what, self.began = what, now
        if now - self.began < PATIENCE or (now - self.said < 0.1 and done < total):
            return
        self.said, self.drawn = now, True
        full = WIDTH * done // max(1, total)
        left = (now - self.began) / max(1, done) * (total - done)
        bar = "#" * full + "." * (WIDTH - full)
        sys.stderr.write(f"\r\x1b[K[{bar}] {done}/{total} {what}, about {left:.0f} s left")
        sys.stderr.flush()

    def done(self) -> None:
        """Clear the line."""
        if self.drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self.drawn = False
