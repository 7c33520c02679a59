"""``simlearn doctor``: is this environment fit for work, and what to do where it is not."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from simlearn.cli import Options

DESCRIPTION = """Look at the environment: versions, device, threads, disk, plugins.

Every row is ok, a note, or a problem with what to do. Exit code 0: no problem. 6: the environment
has one. 4: only a plugin is broken."""
GB = 1e9
Row = dict[str, str]


def row(name: str, value: str, advice: str = "", weight: str = "problem") -> Row:
    """One thing looked at; with advice it is a note or a problem, without it is ok."""
    return {"name": name, "status": weight if advice else "ok", "value": value, "advice": advice}


def run(command: str, argv: list[str], options: Options) -> int:
    """Look, tell, and give the exit code."""
    reader = argparse.ArgumentParser(prog="simlearn doctor", description=DESCRIPTION)
    reader.add_argument("--json", action="store_true", help="machine-readable")
    given = reader.parse_args(argv)
    parts = {"versions": versions, "install": install, "machine": machine, "torch": torch_settings}
    parts |= {"disk": disk, "plugins": lambda: plugins(options)}
    found = {part: list(_looked(look)) for part, look in parts.items()}
    bad = {(p, r["name"] != "look") for p in found for r in found[p] if r["status"] == "problem"}
    code = 0 if not bad else 4 if bad == {("plugins", True)} else 6
    if given.json:
        told = [{"part": part, **r} for part, rows in found.items() for r in rows]
        print(json.dumps({"exit_code": code, "rows": told}, indent=2))
    else:
        print(_text(found))
    return code


def _looked(look: Callable[[], Iterator[Row]]) -> Iterator[Row]:
    """The rows of a part; one that cannot even be looked at is a problem of its own."""
    try:
        yield from look()
    except Exception as error:
        advice = "mend what is named here and above, then run the doctor again"
        yield row("look", f"{type(error).__name__}: {error}", advice)


def _text(found: dict[str, list[Row]]) -> str:
    width = max(len(r["name"]) for rows in found.values() for r in rows)
    lines = []
    for part, rows in found.items():
        lines.append(part)
        for r in rows:
            mark = r["status"].upper() if r["status"] == "problem" else r["status"]
            lines.append(f"  {mark:<8} {r['name']:<{width}}  {r['value']}")
            lines += [f"{'':<11}{'':<{width}}  -> {r['advice']}"] * bool(r["advice"])
        lines.append("")
    each = [r["status"] for rows in found.values() for r in rows]
    return "\n".join([*lines, f"problems: {each.count('problem')}, notes: {each.count('note')}"])


def versions() -> Iterator[Row]:
    """Python, every dependency, and which extras are whole; from metadata alone."""
    old = sys.version_info < (3, 11)
    advice = "make the environment with Python 3.11 or newer" if old else ""
    yield row("python", ".".join(map(str, sys.version_info[:3])), advice)
    yield row("simlearn", metadata.version("simlearn"))
    needed, extras = requirements()
    for one in needed:
        have, fits = _installed(one)
        yield row(one.name, have, "" if fits else f"pip install '{one.name}{one.specifier}'")
    for extra, wanted in extras.items():
        lost = [f"{r.name} {_installed(r)[0]}" for r in wanted if not _installed(r)[1]]
        advice = f"if you need it: pip install 'simlearn[{extra}]'" if lost else ""
        yield row(f"extra {extra}", ", ".join(lost) or "present", advice, "note")


def requirements() -> tuple[list[Any], dict[str, list[Any]]]:
    """What simlearn needs, and what each extra brings."""
    from packaging.requirements import Requirement

    every = [Requirement(line) for line in metadata.requires("simlearn") or ()]
    extras = metadata.metadata("simlearn").get_all("Provides-Extra") or []

    def of(extra: str) -> list[Any]:
        return [r for r in every if r.marker is None or r.marker.evaluate({"extra": extra})]

    needed = of("")
    return needed, {extra: [r for r in of(extra) if r not in needed] for extra in extras}


def _installed(wanted: Any) -> tuple[str, bool]:
    """The version that is there, and whether it fits."""
    try:
        have = metadata.version(wanted.name)
    except metadata.PackageNotFoundError:
        return "missing", False
    fits = wanted.specifier.contains(have, prereleases=True)
    return (have if fits else f"{have} (wanted {wanted.specifier})"), fits


def install() -> Iterator[Row]:
    """Where simlearn comes from, and what might be imported in its place."""
    import simlearn

    used = Path(str(simlearn.__file__)).resolve().parent
    every = {
        Path(str(d.locate_file(""))).resolve(): d for d in metadata.distributions(name="simlearn")
    }
    where = ", ".join(map(str, every))
    if len(every) > 1:
        advice = "pip uninstall simlearn until none is left, then install it once"
        yield row("installs", f"{len(every)}: {where}", advice)
    homes = {path / "simlearn" for path in every}
    for checkout in filter(None, map(_editable, every.values())):
        homes.add((checkout / "simlearn").resolve())
        advice = f"pip install -e {checkout}" if _stale(checkout / "pyproject.toml") else ""
        yield row("editable", f"{checkout}{', changed since' * bool(advice)}", advice, "note")
    advice = f"leave this folder or clear PYTHONPATH; the installed one is in {where}"
    yield row("imported from", str(used), "" if used in homes else advice)
    beside = Path.cwd() / "simlearn"
    if (beside / "__init__.py").is_file() and beside.resolve() != used:
        advice = "scripts and `python -m simlearn` here import that folder; rename it, or leave"
        yield row("working directory", f"{beside} shadows {used}", advice)


def _editable(distribution: metadata.Distribution) -> Path | None:
    """The checkout of an editable install."""
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    told = json.loads(distribution.read_text("direct_url.json") or "{}")
    editable = told.get("dir_info", {}).get("editable")
    return Path(url2pathname(urlparse(told["url"]).path)) if editable else None


def _stale(project: Path) -> bool:
    """Whether the dependencies of a checkout changed after it was installed."""
    import tomllib

    asked = tomllib.loads(project.read_text(encoding="utf-8"))["project"]
    listed = [asked["dependencies"], *asked["optional-dependencies"].values()]
    return sum(map(len, listed)) != len(metadata.requires("simlearn") or ())


def machine() -> Iterator[Row]:
    """Cores, memory, and settings of the environment that are known to do harm."""
    import psutil

    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    yield row("cores", f"{cores} usable of {os.cpu_count()}")
    memory = psutil.virtual_memory()
    advice = "close other programs, or take smaller batches" if memory.available < GB else ""
    free, every = memory.available / GB, memory.total / GB
    yield row("memory", f"{free:.1f} GB free of {every:.1f} GB", advice, "note")
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        asked = os.environ.get(name, "")
        many = asked.isdigit() and int(asked) > cores
        advice = f"more threads than cores are slower: {name}={cores}" if many else ""
        yield row(name, asked or "not set", advice, "note")
    name = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    if os.environ.get(name):
        advice = f"unset {name}: with it a checkpoint file may run any code when it is loaded"
        yield row(name, os.environ[name], advice)
    home = os.path.expanduser("~")
    yield row("home", home + ("" if os.access(home, os.W_OK) else ": read-only, which is fine"))


def torch_settings() -> Iterator[Row]:
    """Threads, device and precision, as torch says them."""
    import torch

    mkl = "with" if torch.backends.mkl.is_available() else "without"
    yield row("threads", f"{torch.get_num_threads()}, {mkl} MKL")
    built = torch.version.cuda
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(k) for k in range(torch.cuda.device_count())]
        yield row("device", f"{', '.join(names)}; CUDA {built}")
    else:
        advice = "the driver and this build of torch do not meet; pytorch.org says which do"
        seen = advice if shutil.which("nvidia-smi") else ""
        yield row(
            "device", f"none, the CPU does it all; CUDA {built or 'not built in'}", seen, "note"
        )
    precision = torch.get_float32_matmul_precision()
    advice = "unset TORCH_ALLOW_TF32_CUBLAS_OVERRIDE: TF32 spoils long rollouts"
    yield row("float32 products", precision, advice * (precision != "highest"), "note")
    given = os.environ.get("CUBLAS_WORKSPACE_CONFIG", "")
    strict = "on" if torch.are_deterministic_algorithms_enabled() else "off"
    advice = "take :4096:8 or :16:8, else a deterministic training on a GPU stops"
    bad = given not in ("", ":4096:8", ":16:8")
    told = f"{strict}; CUBLAS_WORKSPACE_CONFIG {given or 'not set'}"
    yield row("deterministic", told, advice * bad, "note")


def disk() -> Iterator[Row]:
    """Whether files can be written here and in runs/, and how much fits."""
    for name, folder in (("working directory", Path.cwd()), ("runs/", Path("runs"))):
        if not folder.exists():
            yield row(name, "not there yet; the first fit makes it")
            continue
        try:
            probe(folder)
        except OSError as error:
            advice = "change to a folder that you may write in, or free space on its disk"
            yield row(name, f"cannot be written: {error.strerror}", advice)
            continue
        free = shutil.disk_usage(folder).free
        advice = "free some space before a long run" if free < GB else ""
        weight = "problem" if free < GB / 20 else "note"
        yield row(name, f"writable, {free / GB:.1f} GB free", advice, weight)


def probe(folder: Path) -> None:
    """Write a file as datasets are written: under another name, to the disk, and renamed.

    Raises:
        OSError: It cannot be done.
    """
    with tempfile.TemporaryDirectory(prefix=".simlearn-probe-", dir=folder) as name:
        path = Path(name, "partial")
        with path.open("wb") as handle:
            handle.write(b"simlearn" * 512)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(path, path.with_name("final"))


def plugins(options: Options) -> Iterator[Row]:
    """Every plugin and what became of it, as ``simlearn plugins --load`` says."""
    from simlearn import catalog

    loaded: Any = catalog.load(options.block).plugins
    for one in loaded:
        told, advice = f"{one.distribution} {one.version}, {one.status}", ""
        if one.status == "failed":
            advice = f"update or uninstall {one.distribution}, or leave it out: --block {one.name}"
        count = f"{len(one.components)} components" if one.status == "ok" else one.reason
        yield row(one.name, ": ".join(filter(None, (told, count))), advice)
