"""Whose code it was: an exception that comes out of a plugin is told as that plugin's."""

from __future__ import annotations

import traceback

from simlearn.hooks import origin


def blamed(error: BaseException) -> str:
    """Plugin, distribution, version and function that raised; empty where it was no stranger's.

    The innermost frame of ours or of a plugin decides: what a library raises is who called it.
    """
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        module = str(frame.f_globals.get("__name__", ""))
        if module.split(".")[0] == "simlearn":
            return ""
        where = origin(module)
        if where.startswith("plugin "):
            return "" if "(simlearn " in where else f"{where}: {module}.{frame.f_code.co_qualname}"
    return ""
