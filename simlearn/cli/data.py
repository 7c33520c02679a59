"""``simlearn data import | verify | show``: bring your own trajectories, and look at any."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any, Literal

from simlearn.cli import Options, harmless
from simlearn.cli.parsing import Parser, configs_in, parser, prepare
from simlearn.component import ConfigError
from simlearn.data.importing import Census, Columns, Format, Imported, import_data
from simlearn.data.importing.columns import listed, state_names
from simlearn.data.store import read

IMPORT = """Read trajectories from csv, Parquet, npz or HDF5 into a dataset (HDF5).

A column map says which column (of a table) or array (of a file) plays which part. Parts that are
not given are guessed from common names (t, q, v, p, u, run, node ...), and the guess is printed.
Several files, or a folder, are read one after another; a table without a system column is one
trajectory. Any option may stand in a YAML file instead: -c columns.yaml with `state: [q]` ..."""

VERIFY = "Check every digest of a dataset; exit code 3 where something was changed or is missing."
SHOW = "What a dataset holds: lengths, steps, ranges, energy of every direction, provenance."

NAMES = list[str] | str | None


def run(command: str, argv: list[str], options: Options) -> int:
    """One of the three."""
    names = {"import": _import, "verify": _verify, "show": _show}
    if not argv or argv[0] in ("-h", "--help"):
        print(
            "usage: simlearn data import SRC... --out FILE.h5 [options]\n"
            "       simlearn data verify FILE.h5\n"
            "       simlearn data show FILE.h5 [--json]\n\n"
            f"{IMPORT}\n\n`simlearn data import --help` shows every option."
        )
        return 0
    if argv[0] not in names:
        raise ConfigError(f"simlearn data does import, verify or show, not {argv[0]!r}.")
    return names[argv[0]](argv[1:], options)


def _parser(argv: list[str], options: Options) -> Parser:
    known = prepare(options)
    reader = parser("data import", IMPORT, known, configs_in(argv))
    add = reader.add_argument
    add("-c", "--config", action="config", help="YAML with any of these options")
    add("sources", type=str, nargs="+", help="files or folders: csv, Parquet, npz, HDF5")
    add("--out", type=str, required=True, help="the dataset to write, FILE.h5")
    _parts(reader)
    _formats(reader)
    for name, kinds, text in (
        ("missing", Literal["error", "drop", "mask"], "what happens to NaN and infinity"),
        ("constant", Literal["error", "keep"], "columns that never change"),
    ):
        add(f"--{name}", type=kinds, default="error", help=text)
    add("--held_out", "--held-out", type=float, default=0.0, help="share for FILE-test.h5")
    add("--overwrite", action="store_true", help="replace the files if they are there")
    return reader


def _parts(reader: Parser) -> None:
    """Options of the column map."""
    add = reader.add_argument
    for name, text in (
        ("state", "positions, or the whole state: names with commas between"),
        ("velocity", "velocities, in the order of the positions"),
        ("momentum", "momenta, in the order of the positions"),
        ("derivative", "measured dx/dt, one for each column of the state"),
        ("inputs", "control inputs"),
        ("parameters", "constants of a trajectory or of its nodes"),
    ):
        add(f"--{name}", type=NAMES, default=None, help=text)
    for name, text in (
        ("time", "time of each sample"),
        ("node", "which node a row belongs to"),
        ("system", "which trajectory a row belongs to"),
    ):
        add(f"--{name}", type=str | None, default=None, help=text)
    add("--dt", type=float | None, default=None, help="step, where there is no time column")
    add("--wide", type=bool, default=False, help="true: every column of the state is a node")
    add("--units", type=dict[str, str] | str | None, default=None, help="t=s,q=m,v=m/s")


def _formats(reader: Parser) -> None:
    """Options that say how the files are written."""
    add = reader.add_argument
    add("--delimiter", type=str | None, default=None, help="between two cells; found out")
    add("--decimal", type=str, default=".", help="decimal mark")
    add("--encoding", type=str | None, default=None, help="of the text; found out for UTF")
    add("--names", type=NAMES, default=None, help="names of columns, where there is no header")
    add("--axes", type=NAMES, default=None, help="axes of arrays: system,time,node,column")
    add("--graph", type=str | None, default=None, help="edge list, GraphML, or complete")
    add("--directed", type=bool, default=False, help="true: a line of the list is one direction")


def _import(argv: list[str], options: Options) -> int:
    given = _parser(argv, options).parse_args(argv)
    columns = Columns(
        time=given.time,
        node=given.node,
        system=given.system,
        units=_units(given.units),
        wide=given.wide,
        dt=given.dt,
        **{name: listed(getattr(given, name)) for name in ("state", "velocity", "momentum")},
        **{name: listed(getattr(given, name)) for name in ("derivative", "inputs", "parameters")},
    )
    written = Format(_mark(given.delimiter), given.decimal, given.encoding, listed(given.names))
    began = time.monotonic()
    found = import_data(
        given.sources,
        given.out,
        columns,
        written=written,
        graph=given.graph,
        directed=given.directed,
        axes=listed(given.axes) or None,
        missing=given.missing,
        constant=given.constant,
        held_out=given.held_out,
        overwrite=given.overwrite,
    )
    print(harmless(_told(found, columns)))
    size = sum(path.stat().st_size for path in found.files) / 1e6
    for path, digest in zip(found.files, found.digests, strict=True):
        print(f"{path}: digest {digest[:12]}")
    print(f"{size:.1f} MB in {time.monotonic() - began:.1f} s")
    print(f"next: simlearn fit --data.file {found.files[0]}")
    return 0


def _mark(delimiter: str | None) -> str | None:
    return {"tab": "\t", "\\t": "\t", "space": r"\s+"}.get(delimiter or "", delimiter)


def _units(given: dict[str, str] | str | None) -> dict[str, str]:
    if not isinstance(given, str):
        return dict(given or {})
    pairs = [one.partition("=") for one in given.split(",") if one.strip()]
    if any(not mark for _, mark, _ in pairs):
        raise ConfigError(f"--units wants name=unit with commas between, got {given!r}.")
    return {name.strip(): unit.strip() for name, _, unit in pairs}


def _told(found: Imported, asked: Columns) -> str:
    """What was read: the column map, the census, and what was missing."""
    lines = ["columns"]
    for name, value in vars(found.columns).items():
        if name == "units" or value in (None, (), False, []):
            continue
        shown = (
            ", ".join(map(_with_unit(found.columns), value))
            if isinstance(value, tuple)
            else (_with_unit(found.columns)(value))
        )
        guessed = "" if getattr(asked, name) else "  (guessed)"
        lines.append(f"  {name:<11} {shown}{guessed}")
    units = {**found.columns.units, "time": found.columns.units.get(found.columns.time or "", "")}
    lines += ["", found.census.to_text(units)]
    policy = found.policy
    if policy.nan or policy.infinite:
        what = "left out" if policy.missing == "drop" else "masked"
        lines.append(
            f"missing: {policy.nan} numbers, infinite: {policy.infinite}; {policy.samples} samples "
            f"{what}"
        )
    else:
        lines.append("missing: none")
    return "\n".join(lines)


def _with_unit(columns: Columns) -> Any:
    def told(name: Any) -> str:
        unit = columns.units.get(str(name), "")
        return f"{name} [{unit}]" if unit else str(name)

    return told


def _file(action: str, text: str, argv: list[str]) -> Any:
    import argparse

    reader = argparse.ArgumentParser(prog=f"simlearn data {action}", description=text)
    reader.add_argument("file", help="a dataset, FILE.h5")
    if action == "show":
        reader.add_argument("--json", action="store_true", help="machine-readable")
    return reader.parse_args(argv)


def _verify(argv: list[str], options: Options) -> int:
    given = _file("verify", VERIFY, argv)
    dataset = read(given.file)
    samples = sum(one.steps for one in dataset)
    print(
        f"{given.file}: whole. {len(dataset)} trajectories, {samples} samples, digest "
        f"{dataset.digest[:12]}"
    )
    return 0


def _show(argv: list[str], options: Options) -> int:
    given = _file("show", SHOW, argv)
    dataset = read(given.file)
    dim = dataset[0].dim if len(dataset) else 0
    census = Census.of(dataset, state_names(dataset.provenance.get("columns"), dim))
    if given.json:
        told = {"digest": dataset.digest, "provenance": dataset.provenance, **census.to_json()}
        print(json.dumps(told, indent=2))
        return 0
    columns = dataset.provenance.get("columns", {})
    units = {**columns.get("units", {}), **dataset.provenance.get("units", {})}
    print(f"{Path(given.file)}: digest {dataset.digest[:12]}\n")
    print(harmless(census.to_text(units)))
    kept = {k: v for k, v in dataset.provenance.items() if k not in ("versions", "columns")}
    print(f"\nprovenance\n{json.dumps(kept, indent=2)}")
    return 0
