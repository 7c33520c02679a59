"""Whose code it was: an exception that comes out of a plugin is told as that plugin's."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

from simlearn.hooks import origin

PARSERS = ("argparse", "jsonargparse")


def blamed(error: BaseException, allowed: Sequence[str] = ()) -> str:
    """Plugin, distribution, version and function that raised; empty where it was no stranger's.

    The innermost frame of ours or of a stranger decides: what a library raises is who called it.

    Args:
        error: What was raised.
        allowed: Packages that --allow-import named.
    """
    strangers = {name.split(".")[0] for name in allowed}
    for module, function in reversed(_frames(error)):
        if module.split(".")[0] == "simlearn":
            return ""
        where = origin(module)
        if where.startswith("plugin ") or module.split(".")[0] in strangers:
            return "" if "(simlearn " in where else f"{where}: {module}.{function}"
    return ""


def said_by_a_parser(error: SystemExit) -> bool:
    """Whether a parser of ours ended the command: it has said what was asked, or what is wrong.

    Whoever else ends the process, such as a component, leaves the work undone.
    """
    rooms = [module.split(".")[0] for module, _ in _frames(error)]
    callers = [room for room in rooms if room not in PARSERS]
    return bool(rooms) and rooms[-1] in PARSERS and callers[-1] in ("simlearn", "lightning")


def _frames(error: BaseException) -> list[tuple[str, str]]:
    """Module and function of each frame that the error came through, outermost first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [(str(f.f_globals.get("__name__", "")), f.f_code.co_qualname) for f in frames]
