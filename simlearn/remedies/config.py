"""The config of a run as plain data: read, changed, written."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from simlearn.component import ConfigError
from simlearn.stability.yamlfile import load_yaml
from simlearn.training.saved import bound

Config = dict[str, Any]
FILE = "config.yaml"
WIDTH = 96  # of a comment
OF_A_RESUME = ("ckpt_path", "weights_only")


def run_of(path: Path) -> Path:
    """The run folder of a path that names a run, a link to it, or its archive; it has a name."""
    if path.is_symlink() or path.name in ("", ".."):
        full = path.resolve()
        beside = path.parent / full.name
        # a link to a run beside it is read as that run
        path = beside if path.is_symlink() and beside.resolve() == full else full
    return path.parent if path.name == "simulator" and (path.parent / FILE).is_file() else path


def config_of(run: Path) -> Config | None:
    """The config that trained a run, less what belongs to its folder; None for a bare archive."""
    path = run / FILE
    return tidied(load_yaml(path)) if path.is_file() else None


def tidied(config: Mapping[str, Any]) -> Config:
    """A copy in which nothing leads back to the folder of a run.

    Raises:
        ConfigError: It is no config of a training.
    """
    found = copy.deepcopy(dict(config))
    if not isinstance(found.get("model"), dict) or not isinstance(found.get("data"), dict):
        raise ConfigError(
            "A fit config has `model:` and `data:`, and this one has "
            f"{', '.join(map(str, found)) or 'nothing'}. Give the config that trained the "
            "simulator: runs/NAME/config.yaml."
        )
    given = found.get("trainer") or {}
    left = bound(given)
    trainer = {k: v for k, v in given.items() if v is not None and k not in left}
    kept = {k: v for k, v in found.items() if k not in (*OF_A_RESUME, "trainer")}
    return {**kept, "trainer": trainer}


def part(given: Any) -> str:
    """The class path of a part of a config; empty where it names none."""
    if isinstance(given, str):
        return given
    return str(given.get("class_path", "")) if isinstance(given, Mapping) else ""


def name_of(given: Any) -> str:
    """The class name of a part of a config."""
    return part(given).rpartition(".")[2]


def arguments_of(given: Any) -> Config:
    """The arguments of a part of a config."""
    return dict(given.get("init_args") or {}) if isinstance(given, Mapping) else {}


def spec(path: str, arguments: Mapping[str, Any] | None = None) -> Config:
    """A part of a config."""
    return {"class_path": path, **({"init_args": dict(arguments)} if arguments else {})}


def written(config: Mapping[str, Any], comment: str) -> str:
    """The config as YAML, the comment above it."""
    lines = [part for line in comment.splitlines() for part in wrap(line, WIDTH)]
    head = "".join(f"# {line}\n" for line in lines)
    return head + yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
