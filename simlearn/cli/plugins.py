"""``simlearn plugins``: from metadata alone, unless asked to load."""

from __future__ import annotations

import argparse
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simlearn.catalog import Catalog, Plugin
    from simlearn.cli import Options


def run(command: str, argv: list[str], options: Options) -> int:
    """List plugins, or show one plugin or component."""
    parser = argparse.ArgumentParser(
        prog="simlearn plugins",
        description="List the installed plugins. Without --load and NAME nothing is imported.",
    )
    parser.add_argument(
        "name",
        nargs="?",
        help="a plugin, DISTRIBUTION:PLUGIN or component: show its documentation and arguments",
    )
    parser.add_argument(
        "--load", action="store_true", help="import each plugin and list its components by kind"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable")
    given = parser.parse_args(argv)
    if given.name is None and not given.load:
        rows = _metadata(options.block)
        print(json.dumps(rows, indent=2) if given.json else _table(rows))
        return 0
    from simlearn import catalog

    known = catalog.load(options.block, options.strict)
    if given.name is not None:
        told, text = _shown(given.name, known, options.debug)
    else:
        told = [_loaded(plugin, known) for plugin in known.plugins]
        text = "\n".join(_summary(row) for row in told)
    print(json.dumps(told, indent=2) if given.json else text)
    return 0


def _metadata(block: list[str]) -> list[dict[str, Any]]:
    points = sorted(metadata.entry_points(group="simlearn"), key=lambda p: p.name)
    rows = []
    for point in points:
        distribution = point.dist.name if point.dist else "?"
        rows.append(
            {
                "name": point.name,
                "distribution": distribution,
                "version": point.dist.version if point.dist else "?",
                "module": point.value,
                "blocked": not {point.name, f"{distribution}:{point.name}"}.isdisjoint(block),
            }
        )
    return rows


def _table(rows: list[dict[str, Any]]) -> str:
    head = ["name", "distribution", "version", "module", "blocked"]
    cells = [
        head,
        *(
            [str(row[h]) if h != "blocked" else ("yes" if row[h] else "") for h in head]
            for row in rows
        ),
    ]
    widths = [max(len(line[k]) for line in cells) for k in range(len(head))]
    lines = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells
    ]
    return "\n".join(
        [*lines, "", "--load imports them and lists their components; NAME shows one."]
    )


def _loaded(plugin: Plugin, known: Catalog) -> dict[str, Any]:
    """What a plugin offers, by kind, and after it what stands as an argument of that."""
    from simlearn.catalog import base_of, kind_of

    kinds: dict[str, list[str]] = {}
    parts = [cls for cls in known.parts() if known.owner(cls) is plugin]
    for cls in [*plugin.components, *parts]:
        kinds.setdefault((kind_of(cls) or base_of(cls)).__name__, []).append(cls.__name__)
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "status": plugin.status,
        "reason": plugin.reason,
        "components": kinds,
    }


def _summary(row: dict[str, Any]) -> str:
    why = f": {row['reason']}" if row["reason"] else ""
    lines = [f"{row['name']}  ({row['distribution']} {row['version']})  {row['status']}{why}"]
    lines += [f"  {kind:<17} {', '.join(names)}" for kind, names in row["components"].items()]
    return "\n".join(lines)


def _shown(name: str, known: Catalog, debug: bool) -> tuple[Any, str]:
    """One plugin with all its components, or one component: as JSON types and as text.

    Raises:
        ConfigError: Nothing is called so.
        PluginError: The plugin did not load.
    """
    from simlearn.cli.pages import page, plain_text
    from simlearn.component import ConfigError, PluginError

    for plugin in known.plugins:
        if name in plugin.names:
            if plugin.status == "failed":
                trace = "\n" + plugin.trace.rstrip() if debug else ""
                raise PluginError(f"plugin {plugin.label} did not load: {plugin.reason}{trace}")
            parts = [cls for cls in known.parts() if known.owner(cls) is plugin]
            pages = [page(cls, plugin) for cls in [*plugin.components, *parts]]
            row = {**_loaded(plugin, known), "doc": _doc_of(plugin.module), "pages": pages}
            told = [_summary(row), row["doc"], *map(plain_text, pages)]
            return row, "\n\n".join(text for text in told if text)
    try:
        cls = known.find(name)
    except ConfigError as error:
        from difflib import get_close_matches

        near = get_close_matches(name, [plugin.name for plugin in known.plugins], 1)
        hint = f" There is a plugin {near[0]}." if near else ""
        raise ConfigError(f"{error}{hint}") from error
    found = page(cls, known.owner(cls))
    return found, plain_text(found)


def _doc_of(module: str) -> str:
    import inspect
    import sys

    return inspect.getdoc(sys.modules.get(module.partition(":")[0])) or ""
