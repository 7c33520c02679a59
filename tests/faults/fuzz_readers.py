"""What is read: sound inputs, how they are spoilt, and the readers of the commands."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet
import torch
import yaml

import simlearn
from simlearn import archive as archives
from simlearn.cli import config
from simlearn.cli.fit_parser import fit_parser
from simlearn.cli.judging import case_of
from simlearn.cli.parsing import OneMessage
from simlearn.data.importing import import_data
from simlearn.data.importing.census import Census
from simlearn.data.importing.columns import state_names
from simlearn.data.importing.graphs import read_edges
from simlearn.data.module import TrajectoryData
from simlearn.forecasting.networks import network
from simlearn.forecasting.starts import read_start
from simlearn.stability.baseline import read_baseline
from simlearn.stability.gatefile import read_gate_file
from simlearn.stability.render import _ladder
from simlearn.stability.watched import watched, without
from simlearn.training.checkpoint import read as read_checkpoint
from tests.faults import fuzz_changes as changes
from tests.faults.fuzz_checkpoints import ForgedCheckpoint

ROOT = Path(__file__).parents[2]


def _yaml(folder):
    return [p.read_bytes() for p in sorted((ROOT / "configs" / folder).glob("*.yaml"))]


class Reader:
    """One kind of input. ``sound`` makes inputs, ``spoil`` writes one, ``read`` reads it."""

    name = "input"

    def __init__(self, seeds):
        """Keep what is needed of ``seeds``, a folder in which sound inputs may be put."""

    def spoil(self, rng, folder):
        """Write a spoilt input into a folder."""
        body, other = rng.choice(self.bodies), rng.choice(self.bodies)
        (folder / self.name).write_bytes(changes.by_bytes(rng, body, other))

    def read(self, folder, known):
        """Read it as the commands do."""


class FitConfig(Reader):
    name = "x.yaml"

    def __init__(self, seeds):
        self.bodies = [body for body in _yaml("fit") if b"file:" not in body]
        self.trees = list(map(yaml.safe_load, self.bodies))

    def spoil(self, rng, folder):
        if rng.random() < 0.3:
            super().spoil(rng, folder)
            return
        tree = changes.by_meaning(rng, rng.choice(self.trees))
        (folder / self.name).write_text(yaml.safe_dump(tree), encoding="utf-8")

    def read(self, folder, known):
        path = folder / self.name
        config.load_yaml(path)
        OneMessage.known, OneMessage.files = known, [path]
        reader = fit_parser()
        found = reader.parse_path(str(path))
        found.pop("trainer")
        reader.instantiate(found)


class GateConfig(FitConfig):
    def __init__(self, seeds):
        self.bodies = _yaml("gate")
        self.trees = list(map(yaml.safe_load, self.bodies))

    def read(self, folder, known):
        for entries in read_gate_file(folder / self.name).suites.values():
            for one in entries:
                case_of(one, folder / self.name, known)


class Dataset(Reader):
    name = "d.h5"

    def __init__(self, seeds):
        t = torch.linspace(0, 1, 9, dtype=torch.float64)
        rng = torch.Generator().manual_seed(0)
        topology = simlearn.Topology.complete(3, ("a", "b", "c"))
        topology = topology.replace(
            edge_attr=torch.ones(6, 1), node_attr=torch.ones(3, 2), system_attr=torch.ones(1, 2)
        )
        x = torch.randn(9, 3, 2, generator=rng, dtype=torch.float64)
        mask = torch.ones(9, 3, dtype=torch.bool)
        full = simlearn.Trajectory(t, x, topology, x.clone(), x[..., :1].clone(), mask)
        plain = simlearn.Trajectory(t, x[:, :1], simlearn.Topology.isolated(1))
        told = {
            "columns": {"state": ["q"], "velocity": ["v"], "time": "t", "units": {"q": "m"}},
            "units": {"position": "m", "time": "s"},
            "generator": {"class_path": "simlearn_mechanics.Pendulum", "init_args": {}},
        }
        simlearn.write(seeds / "full.h5", [full, full], told)
        simlearn.write(seeds / "plain.h5", [plain] * 3, told)
        self.files = [seeds / "full.h5", seeds / "plain.h5"]
        self.bodies = [path.read_bytes() for path in self.files]
        self.names = [_names(path) for path in self.files]

    def spoil(self, rng, folder):
        if rng.random() < 0.4:
            Reader.spoil(self, rng, folder)
            return
        k = rng.randrange(len(self.files))
        changes.dataset(rng, self.files[k], folder / self.name, self.names[k])

    def read(self, folder, known):
        found = simlearn.read(folder / self.name)
        names = state_names(found.provenance.get("columns"), found[0].dim if len(found) else 0)
        census = Census.of(found, names)
        json.dumps([census.to_json(), found.provenance])
        units = found.provenance.get("columns", {}).get("units", {})
        census.to_text({**units, **found.provenance.get("units", {})})
        TrajectoryData(file=str(folder / self.name)).setup("fit")


def _names(path):
    import h5py

    found = []
    with h5py.File(path) as file:
        file.visit(found.append)
    return found


class Archive(Reader):
    name = "sim"

    def __init__(self, seeds):
        from simlearn.dynamics import MLPField, PairForce
        from simlearn.integrators import RK4, Leapfrog

        made = [
            simlearn.Simulator(MLPField(dim=2, width=4), RK4(), 0.1),
            simlearn.Simulator(PairForce(names=["a", "b"], terms=3, r_min=0.1, r_max=9.0),
                               Leapfrog(), 0.1),
        ]  # fmt: skip
        told = {
            "data": {"file": "d.h5", "columns": {"state": ["q"]}, "units": {"time": "s"}},
            "training": {"sha256": "0", "low": [0.0, 1.0], "high": [1.0, 2.0], "trajectories": 2},
            "estimates": {"mass": {"value": 1.0, "error": 0.1, "unit": "kg", "positive": True}},
            "ladder": {"rungs": [{"rung": "a", "stages": [{"stage": "b", "error": 0.1}]}],
                       "choice": "a", "joint": {"iterations": 3, "state_noise": [0.1]}},
            "training_dynamics": {"S": {"title": "t", "lines": [{"x": [1], "y": [2]}]}},
        }  # fmt: skip
        self.folders = []
        for k, one in enumerate(made):
            one.provenance = told
            self.folders.append(archives.save(one, seeds / f"sim{k}"))

    def spoil(self, rng, folder):
        seed, inner = rng.choice(self.folders), folder / self.name
        inner.mkdir()
        if rng.random() < 0.8:
            changes.archive(rng, seed, inner)
            return
        for name in ("simulator.json", "weights.safetensors"):
            body = (seed / name).read_bytes()
            (inner / name).write_bytes(changes.by_bytes(rng, body, body))

    def read(self, folder, known):
        found = archives.load(folder / self.name, known)
        archives.estimates(found)
        _ladder(found.provenance.get("ladder"))
        watched(found.provenance)
        json.dumps(without(found.provenance))


class EdgeList(Reader):
    name = "g.txt"

    def __init__(self, seeds):
        self.bodies = [
            b"0 1\n1 2\n2 0\n", b"source,target,weight\na,b,1.5\nb,c,2\n", b"# c\n0;1;1\n1;2;3\n",
            b"a\tb\nb\tc\n", b"1 2 0.5 7\n2 3 0.5 8\n",
        ]  # fmt: skip

    def read(self, folder, known):
        path, faults = folder / self.name, []
        for way in (
            lambda: network(path),
            lambda: network(path, directed=True, rows=3),
            lambda: network(path, names=("a", "b", "c")),
            lambda: read_edges(path),
        ):
            try:
                way()
            except simlearn.DataError as error:
                faults.append(error)
        if faults:
            raise faults[0]


class GraphML(EdgeList):
    name = "g.graphml"

    def __init__(self, seeds):
        key = '<key id="w" for="edge" attr.name="weight" attr.type="double"/>'
        key += '<key id="p" for="node" attr.name="p" attr.type="int"/>'
        nodes = "".join(
            f'<node id="{n}"><data key="p">{k}</data></node>' for k, n in enumerate("abc")
        )
        edges = '<edge source="1" target="2"><data key="w">1.5</data></edge>'
        edges += '<edge source="2" target="3"><data key="w">2</data></edge>'
        head = '<?xml version="1.0" encoding="utf-8"?>\n'
        head += '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">'
        self.bodies = [
            f'{head}{key}<graph edgedefault="{way}">{nodes}{edges}</graph></graphml>'.encode()
            for way in ("undirected", "directed")
        ]


class NodeLink(EdgeList):
    name = "g.json"

    def __init__(self, seeds):
        nodes = [{"id": n, "p": 0.5} for n in "abc"]
        edges = [
            {"source": "a", "target": "b", "weight": 1},
            {"source": "b", "target": "c", "weight": 2},
        ]
        self.trees = [
            {"directed": False, "nodes": nodes, "edges": edges},
            {"directed": True, "multigraph": True, "nodes": [{"id": 0}, {"id": 1}],
             "links": [{"source": 0, "target": 1, "key": 0}]},
        ]  # fmt: skip
        self.bodies = [json.dumps(tree).encode() for tree in self.trees]

    def spoil(self, rng, folder):
        if rng.random() < 0.4:
            super().spoil(rng, folder)
            return
        tree = changes.by_meaning(rng, rng.choice(self.trees))
        (folder / self.name).write_text(_json(tree), encoding="utf-8")


def _json(tree):
    try:
        return json.dumps(tree)
    except ValueError:  # a number of too many digits
        return "{}"


class Csv(Reader):
    name = "a.csv"

    def __init__(self, seeds):
        rows = "".join(f"{0.1 * k:.1f},{k},{k * k}\n" for k in range(8))
        long = "".join(f"{r},{n},{k},{k + n}\n" for r in "ab" for n in (0, 1) for k in range(4))
        self.bodies = [
            f"t,q,v\n{rows}".encode(), f"run,node,t [s],x [m]\n{long}".encode(),
            f"t;q;v\n{rows.replace(',', ';')}".encode(), f"# t q v\n{rows}".encode(),
            f"t,q,v\n{rows}".encode("utf-16"),
        ]  # fmt: skip

    def read(self, folder, known):
        import_data(folder / self.name, folder / "o.h5")
        simlearn.read(folder / "o.h5")


class Parquet(Csv):
    name = "a.parquet"

    def __init__(self, seeds):
        rows = {"t": np.arange(9.0), "q": np.sin(np.arange(9)), "v": np.arange(9)}
        long = {"run": np.repeat(["a", "b"], 4), "t": np.tile(np.arange(4.0), 2), "x": np.ones(8)}
        self.bodies = []
        for k, columns in enumerate((rows, long)):
            for packed in ("none", "snappy"):
                table = pyarrow.table(columns)
                pyarrow.parquet.write_table(table, seeds / f"{k}.parquet", compression=packed)
                self.bodies.append((seeds / f"{k}.parquet").read_bytes())


class Npz(Csv):
    name = "a.npz"

    def __init__(self, seeds):
        rng = np.random.default_rng(0)
        t = np.arange(7.0)
        self.arrays = [
            {"t": t, "x": rng.normal(size=(7, 2))},
            {"t": t, "x": rng.normal(size=(2, 7, 3, 2)), "mass": np.ones(3)},
            {"t": np.tile(t, 2), "run": np.repeat([0, 1], 7), "q": rng.normal(size=14)},
        ]
        self.bodies = []
        for k, arrays in enumerate(self.arrays):
            np.savez(seeds / f"{k}.npz", **arrays)
            self.bodies.append((seeds / f"{k}.npz").read_bytes())

    def spoil(self, rng, folder):
        if rng.random() < 0.4:
            super().spoil(rng, folder)
            return
        arrays = changes.of_npz(rng, rng.choice(self.arrays))
        np.savez(folder / self.name, **{(name or "_"): one for name, one in arrays.items()})


class Foreign(Npz):
    """An HDF5 file that is no dataset of simlearn."""

    name = "a.h5"

    def __init__(self, seeds):
        import h5py

        super().__init__(seeds)
        self.files = []
        for k, arrays in enumerate(self.arrays):
            self.files.append(seeds / f"foreign{k}.h5")
            with h5py.File(self.files[-1], "w") as file:
                for name, one in arrays.items():
                    file[name] = one
                    file[f"second/{name}"] = one
        self.bodies = [path.read_bytes() for path in self.files]
        self.names = [_names(path) for path in self.files]

    def spoil(self, rng, folder):
        Dataset.spoil(self, rng, folder)


class Start(Npz):
    """Where a forecast begins."""

    def __init__(self, seeds):
        self.arrays = [
            {
                "x0": np.arange(6.0).reshape(3, 2),
                "nodes": np.array(["a", "b", "c"]),
                "k": np.ones(3),
            },
            {"x": np.arange(6.0).reshape(3, 2)},
        ]
        self.tables = [
            b"node,q,v\na,0,1\nb,2,3\n",
            b"q,v\n0,1\n2,3\n",
            b"node,time,x0,x1,m\n0,3,1,2,4\n",
        ]
        self.bodies = []
        for k, arrays in enumerate(self.arrays):
            np.savez(seeds / f"start{k}.npz", **arrays)
            self.bodies.append((seeds / f"start{k}.npz").read_bytes())

    def spoil(self, rng, folder):
        if rng.random() < 0.5:
            body, other = rng.choice(self.tables), rng.choice(self.tables)
            (folder / "s.csv").write_bytes(changes.by_bytes(rng, body, other))
        else:
            super().spoil(rng, folder)

    def read(self, folder, known):
        (path,) = folder.iterdir()
        read_start(path, 2, {"state": ["q"], "velocity": ["v"], "node": "node"}, 1)


class Baseline(NodeLink):
    name = "b.json"

    def __init__(self, seeds):
        metric = {"value": 1.0, "noise": 0.1, "spread": None, "sense": "max", "unit": "m"}
        check = {"check": "Bounded", "severity": "error", "arguments": {}, "metrics": {"a": metric}}
        kept = {"data": "0", "dt": 0.1, "seed": 0, "truth": "unknown", "siblings": 0,
                "about": {}, "checks": [check]}  # fmt: skip
        self.trees = [{"schema": 1, "simlearn": "0.2", "suites": {"full": kept}}]
        self.bodies = [json.dumps(tree).encode() for tree in self.trees]

    def read(self, folder, known):
        read_baseline(folder / self.name)


class Checkpoint(Reader):
    name = "last.ckpt"

    def __init__(self, seeds):
        made = {"state_dict": {"w": torch.zeros(4)}, "epoch": 1, "loops": {"a": [1, 2]}}
        torch.save(made, seeds / "a.ckpt")
        self.bodies = [(seeds / "a.ckpt").read_bytes()]

    def read(self, folder, known):
        read_checkpoint(folder / self.name)


KINDS = {
    "fit config": FitConfig, "gate config": GateConfig, "dataset": Dataset, "archive": Archive,
    "checkpoint": Checkpoint, "edge list": EdgeList, "GraphML": GraphML, "JSON graph": NodeLink,
    "csv": Csv, "Parquet": Parquet, "npz": Npz, "other HDF5": Foreign, "start": Start,
    "baseline": Baseline, "forged checkpoint": ForgedCheckpoint,
}  # fmt: skip
# of the inputs, the part that each gets: more where a reader is fast
SHARES = (2, 4, 6, 12, 6, 8, 10, 12, 6, 6, 8, 5, 8, 7, 1)
