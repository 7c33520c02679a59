"""What a training was begun with, and what of it has changed when it is resumed."""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from simlearn.component import ArchiveError
from simlearn.training.record import versions

# rooms of simlearn that decide what a training computes
ROOMS = (
    "analysis",
    "data",
    "dynamics",
    "integrators",
    "randomness",
    "simulator",
    "state",
    "training",
)
# what may be asked for anew at every start: how long, where to, how loud
FREE: dict[str, tuple[str, ...]] = {
    "": ("config", "ckpt_path", "weights_only"),
    "data": ("file",),
    "trainer": ("max_", "min_", "log_", "enable_", "logger", "default_root_dir", "profiler"),
}
SCHEMA = 1  # of what a checkpoint keeps
KEPT = "simlearn"  # where a checkpoint keeps what Lightning leaves out
OURS = ("Checkpoints", "Progress")


@dataclass
class Facts:
    """What decides the numbers of a training, in plain JSON types.

    Attributes:
        config: The whole config.
        plugins: Distribution and version by top-level module.
        allow: Whether a training is resumed although something of it has changed.
        tell: Hears what has changed.
        drift: What had changed at earlier resumes, too.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    allow: bool = False
    tell: Callable[[str], None] = lambda line: None
    drift: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self, data: Any) -> dict[str, Any]:
        """All of it, for a checkpoint."""
        packages = sorted({"simlearn", *_packages(self.config)})
        return {
            "config": dict(self.config),
            "versions": _versions(),
            "plugins": {name: self.plugins[name] for name in packages if name in self.plugins},
            "code": {name: _source(name) for name in packages},
            "data": getattr(data, "provenance", {}).get("digest"),
        }

    def compare(self, checkpoint: Mapping[str, Any], data: Any) -> None:
        """Refuse, or tell and record, what differs from what a checkpoint was written with.

        Raises:
            ArchiveError: Something differs, and that is not allowed; or a later simlearn wrote it.
        """
        kept = checkpoint.get(KEPT, {})
        _refuse_later(kept)
        self.drift[:] = kept.get("drift", [])
        before, now = kept.get("facts"), self.to_json(data)
        if not before:
            return
        if not before["config"] or not now["config"]:  # trained from Python
            before, now = {**before, "config": {}}, {**now, "config": {}}
        before, now = _fixed(before), _fixed(now)
        _shared(before, now)
        found = list(_differences(before, now))
        if not found:
            return
        if not self.allow:
            raise ArchiveError(
                "The training was begun otherwise:\n  " + "\n  ".join(found) + "\nGo on as it "
                "began, begin anew under another name, or accept it with --allow-drift."
            )
        for line in found:
            self.tell(f"drift: {line}")
        place = {"epoch": checkpoint.get("epoch"), "step": checkpoint.get("global_step")}
        self.drift.append({**place, "differences": found})


def _refuse_later(kept: Mapping[str, Any]) -> None:
    """Refuse what a later simlearn has written in another way."""
    if (schema := kept.get("schema", SCHEMA)) != SCHEMA:
        wrote = kept.get("facts", {}).get("versions", {}).get("simlearn", "of another version")
        raise ArchiveError(
            f"The checkpoint has schema {schema} and was written by simlearn {wrote}; this "
            f"simlearn {versions()['simlearn']} reads schema {SCHEMA}. Resume with simlearn "
            f"{wrote}."
        )


def _fixed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Less what is free."""
    config = {name: part for name, part in facts["config"].items() if not _free("", name)}
    for group in ("trainer", "data"):
        if isinstance(config.get(group), Mapping):
            config[group] = {k: v for k, v in config[group].items() if not _free(group, k)}
    trainer = config.get("trainer")
    if isinstance(trainer, dict) and isinstance(trainer.get("callbacks"), list):
        kept = [one for one in trainer["callbacks"] if not _ours(one)]
        trainer["callbacks"] = kept or None
    return {**facts, "config": config}


def _shared(before: dict[str, Any], now: dict[str, Any]) -> None:
    """A package that only one of them uses is told by the config already."""
    for part in ("plugins", "code"):
        both = before[part].keys() & now[part].keys()
        for facts in (before, now):
            facts[part] = {name: value for name, value in facts[part].items() if name in both}


def _free(group: str, name: str) -> bool:
    return name.startswith(FREE[group])


def _ours(callback: Any) -> bool:
    path = callback.get("class_path", "") if isinstance(callback, Mapping) else str(callback)
    return path.rpartition(".")[2] in OURS


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for name in sorted({*before, *now}):
            below = f"{path}.{name}" if path else str(name)
            yield from _differences(before.get(name), now.get(name), below)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, pair in enumerate(zip(before, now, strict=True)):
            yield from _differences(*pair, f"{path}[{number}]")
    elif before != now:
        yield f"{path.removeprefix('config.')}: {_short(before)} before, {_short(now)} now"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


@functools.cache
def _versions() -> dict[str, str]:
    return versions()


def _packages(config: Any) -> Iterator[str]:
    """Top-level modules of the classes that a config names."""
    if isinstance(config, Mapping):
        path = config.get("class_path")
        if isinstance(path, str) and "." in path:
            yield path.split(".")[0]
        for part in config.values():
            yield from _packages(part)
    elif isinstance(config, list | tuple):
        for part in config:
            yield from _packages(part)


@functools.cache
def _source(package: str) -> str:
    """SHA-256 of the Python files of a package; torch and lightning have versions."""
    file = getattr(sys.modules.get(package), "__file__", None)
    if file is None or package in ("torch", "lightning"):
        return ""
    root, digest = Path(file).parent, hashlib.sha256()
    files = sorted(root.rglob("*.py")) if Path(file).name == "__init__.py" else [Path(file)]
    for path in files:
        room = path.relative_to(root).parts[0].removesuffix(".py")
        if package != "simlearn" or room in ROOMS:
            digest.update(path.relative_to(root).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def machine(module: Any) -> dict[str, str]:
    """What bits may depend on, beside all that: told, and never refused."""
    return {
        "threads": str(torch.get_num_threads()),
        "device": str(module.device.type),
        "instructions": torch.backends.cpu.get_cpu_capability(),
    }
