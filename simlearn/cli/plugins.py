"""``simlearn plugins``: from metadata alone, unless asked to load."""

from __future__ import annotations

import argparse
import json
from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simlearn.catalog import Catalog
    from simlearn.cli import Options


def run(command: str, argv: list[str], options: Options) -> int:
    """List plugins, or show one plugin or component."""
    parser = argparse.ArgumentParser(
        prog="simlearn plugins",
        description="List the installed plugins. Without --load and NAME nothing is imported.",
    )
    parser.add_argument(
        "name", nargs="?", help="a plugin or a component: show its documentation and arguments"
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
        _show(given.name, known, given.json)
    else:
        rows = [_loaded(plugin) for plugin in known.plugins]
        print(json.dumps(rows, indent=2) if given.json else _components(rows))
    return 0


def _metadata(block: list[str]) -> list[dict[str, Any]]:
    points = sorted(metadata.entry_points(group="simlearn"), key=lambda p: p.name)
    return [
        {
            "name": point.name,
            "distribution": point.dist.name if point.dist else "?",
            "version": point.dist.version if point.dist else "?",
            "module": point.value,
            "blocked": point.name in block,
        }
        for point in points
    ]


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


def _loaded(plugin: Any) -> dict[str, Any]:
    from simlearn.catalog import kind_of

    kinds: dict[str, list[str]] = {}
    for cls in plugin.components:
        kind = kind_of(cls)
        assert kind is not None
        kinds.setdefault(kind.__name__, []).append(cls.__name__)
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "module": plugin.module,
        "status": plugin.status,
        "reason": plugin.reason,
        "components": kinds,
    }


def _components(rows: list[dict[str, Any]]) -> str:
    lines = []
    for row in rows:
        why = f": {row['reason']}" if row["reason"] else ""
        lines.append(
            f"{row['name']}  ({row['distribution']} {row['version']})  {row['status']}{why}"
        )
        lines += [f"  {kind:<17} {', '.join(names)}" for kind, names in row["components"].items()]
    return "\n".join(lines)


def _show(name: str, known: Catalog, as_json: bool) -> None:
    plugin = next((p for p in known.plugins if p.name == name), None)
    classes = plugin.components if plugin else [known.find(name)]
    if plugin and plugin.status != "ok":
        print(f"{plugin.label}: {plugin.status} {plugin.reason}")
    pages = [_page(cls) for cls in classes]
    if as_json:
        print(json.dumps(pages, indent=2))
        return
    for page in pages:
        print(f"{page['class_path']}  [{page['kind']}]\n")
        print(page["doc"] + "\n")
        for argument in page["arguments"]:
            default = "" if argument["required"] else f" = {argument['default']}"
            print(f"  {argument['name']}: {argument['type']}{default}")
        print()


def _page(cls: type) -> dict[str, Any]:
    import inspect

    from simlearn.catalog import kind_of
    from simlearn.component import arguments, class_path

    kind = kind_of(cls)
    return {
        "class_path": class_path(cls),
        "kind": kind.__name__ if kind else "argument",
        "doc": inspect.getdoc(cls) or "",
        "arguments": [
            {
                "name": name,
                "type": getattr(p.annotation, "__name__", str(p.annotation)).replace("typing.", ""),
                "required": p.default is p.empty,
                "default": None if p.default is p.empty else repr(p.default),
            }
            for name, p in arguments(cls).items()
        ],
    }
