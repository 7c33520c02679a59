"""The protocols of benchmarks/networks.py give what is known of the truth, and can fail."""

import collections
import itertools
import json
import pathlib
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import numpy as np
import pytest
import torch

import simlearn
from simlearn import Simulator
from simlearn.component import NumericalError
from simlearn.integrators import DormandPrince, Heun
from simlearn_networks import GeneRegulationLaw, HeatLaw, MutualisticLaw

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
import networks
from hamiltonian_parts.rows import Task
from network_parts import (
    calibration,
    cells,
    gnvf,
    latent,
    limits,
    ndcn,
    protocol,
    significance,
    speed,
    transfer,
)
from network_parts.dopri5 import dopri5
from network_parts.protocol import OURS, RIVAL, Run

sys.path.pop(0)

WHO = (speed.OWN, speed.PEER)
LAWS = {"heat": HeatLaw(), "gene": GeneRegulationLaw(), "mutualistic": MutualisticLaw()}


@pytest.fixture(scope="module")
def cell():
    return cells.drawn("heat", "SW", 0)


@pytest.mark.parametrize("graph", cells.GRAPHS)
@pytest.mark.parametrize("name", cells.DYNAMICS)
def test_truths_are_the_laws_of_the_plugin(name, graph):
    a = cells.matrix(graph)
    x = np.random.default_rng(0).uniform(0, 5, cells.NODES)
    wanted = LAWS[name](0.0, torch.from_numpy(x)[:, None], cells.topology(a))[:, 0]
    np.testing.assert_allclose(cells.law(name, a)(0.0, x), wanted, rtol=1e-10, atol=1e-10)


def test_the_graphs_are_those_of_the_protocol():
    links = {"grid": 2964, "ER": 16100, "BA": 3950, "SW": 2402, "community": 12616}
    assert {name: cells.matrix(name).nnz for name in cells.GRAPHS} == links
    for name in cells.GRAPHS:
        a = cells.matrix(name)
        assert abs(a - a.T).max() == 0
        assert a.diagonal().max() == 0
    assert cells.matrix("community")[:133, :133].nnz > 0.8 * cells.matrix("community")[:133].nnz


def test_a_cell_splits_its_stamps_and_keeps_the_heat(cell):
    assert [len(cell.train), len(cell.interp), len(cell.extrap)] == [80, 20, 20]
    assert sorted([*cell.train, *cell.interp, *cell.extrap]) == list(range(120))
    assert cell.train[0] == 0
    assert cell.t[0] == 0
    assert (np.diff(cell.t) > 0).all()
    np.testing.assert_allclose(cell.true.sum(1), cells.blocks().sum(), rtol=1e-9)
    assert cell.digest == cells.drawn("heat", "SW", 0).digest
    assert cell.digest != cells.drawn("heat", "SW", 1).digest
    shown = cell.trajectory()
    assert shown.x.shape == (80, 400, 1)
    assert cell.errors(1.01 * cell.true) == pytest.approx({"interp": 1.0, "extrap": 1.0})


def test_noise_is_one_percent_and_can_spare_the_start(cell):
    noisy = cells.drawn("heat", "SW", 0, 0.01)
    other = cells.drawn("heat", "SW", 0, 0.01, clean_start=False)
    np.testing.assert_array_equal(noisy.true, cell.true)
    np.testing.assert_array_equal(noisy.start, cell.start)
    np.testing.assert_array_equal(noisy.seen[1:], other.seen[1:])
    assert (other.start != cell.start).any()
    assert noisy.seen.min() >= 0
    off = (noisy.seen - noisy.true)[60:]
    assert off.std() == pytest.approx(0.01 * cell.true.mean(), rel=0.03)


def test_ndcn_is_that_of_the_paper(cell):
    phi = ndcn.laplacian(cell.a)
    model = ndcn.seeded(0, lambda: ndcn.NDCN(phi))
    assert sum(p.numel() for p in model.parameters()) == 901
    values = torch.linalg.eigvalsh(phi.double())
    assert float(values[0]) == pytest.approx(0, abs=1e-6)
    assert float(values[-1]) <= 2
    h = torch.rand(400, 20)
    t = torch.tensor([0.0, 0.1, 0.3])
    first = h + 0.1 * model.rate(h)
    wanted = torch.stack([h, first, first + 0.2 * model.rate(first)])
    torch.testing.assert_close(ndcn.euler(model.rate, h, t), wanted)


def test_training_ndcn_helps_and_gives_the_same_again(cell):
    few, more = (ndcn.trained(cell, "heat", 0, iterations=n) for n in (1, 8))
    assert more["train"] < 0.9 * few["train"]
    again = ndcn.trained(cell, "heat", 0, iterations=8)
    assert [again[n] for n in ("interp", "extrap")] == [more[n] for n in ("interp", "extrap")]


def test_the_adaptive_solver_meets_every_time():
    x, t = torch.tensor([1.0, 2.0], dtype=torch.float64), [0.0, 0.01, 0.5, 0.51, 3.0]
    found = dopri5(lambda y: -y * y, x, t, 1e-8, 1e-10)
    wanted = torch.stack([x / (1 + x * time) for time in t])
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-8)
    with pytest.raises(RuntimeError):
        dopri5(lambda y: y * y, x, [0.0, 2.0], 1e-3, 1e-6)


def test_the_continuous_form_is_ndcn_itself(cell):
    phi = ndcn.laplacian(cell.a)
    model = ndcn.seeded(0, lambda: ndcn.NDCN(phi)).double()
    model.phi = phi.double()
    model.solve = lambda rate, h, t: dopri5(rate, h, t.tolist(), 1e-9, 1e-9)
    topology = latent.phi_of(cell.a)
    ours = ndcn.seeded(0, lambda: latent.Continuous(topology, 160, Heun())).double()
    x, t = torch.from_numpy(cell.start), torch.from_numpy(cell.t)
    with torch.no_grad():
        torch.testing.assert_close(ours(x, t), model(x, t), rtol=1e-3, atol=1e-3)


def test_states_between_the_knots_are_those_of_a_cubic(cell):
    model = latent.Continuous(latent.phi_of(cell.a), 14)
    for t in (torch.linspace(0, cells.UNTIL, 11, dtype=torch.float64), torch.ones(3).double()):
        found = model._between(t) @ (model.knots[:, None] ** 3 - model.knots[:, None])
        torch.testing.assert_close(found[:, 0], t**3 - t)


def test_training_iterations_in_turns_with_errors_of_the_last_ones(cell, monkeypatch):
    asked, models, ticks, steps = [], {}, itertools.count(), collections.Counter()

    def errors(_, found):
        asked.append(found.shape)
        return {"interp": len(asked), "extrap": len(asked) + 2}

    monkeypatch.setattr(type(cell), "errors", errors)
    monkeypatch.setattr(cells, "drawn", lambda *_: cell)
    topology = latent.phi_of(cell.a)

    def made(who):
        return lambda: models.setdefault(who, latent.Continuous(topology, 4))

    def trainer(model, *_):
        who = next(name for name, one in models.items() if one is model)

        def step():
            if who == speed.PEER and not steps[who] % 2:  # its turn begins
                weights = [list(models[name].parameters()) for name in (speed.OWN, speed.PEER)]
                assert all(map(torch.equal, *weights))
            steps[who] += 1
            with torch.no_grad():
                next(model.parameters()).add_(steps[who])

        return step

    monkeypatch.setattr(speed, "ways", lambda _: {("Euler", who): made(who) for who in WHO})
    monkeypatch.setattr(speed, "BLOCK", 2)
    monkeypatch.setattr(ndcn, "trainer", trainer)
    monkeypatch.setattr(speed.time, "process_time", lambda: next(ticks))
    found = speed.one_seed("heat", "grid", 0, 20)
    assert steps == {speed.OWN: 20, speed.PEER: 4}  # the latter in two of ten turns
    assert asked == [(len(cell.t), len(cell.start))] * 2  # a fifth of ten turns
    assert found["Euler", speed.OWN][1:] == (3, 2.5)  # the last, and the mean of 2 and 3
    assert found["Euler", speed.PEER][1:] == (None, None)
    assert [ms for ms, *_ in found.values()] == [500, 500]  # a tick for two iterations


def test_each_solver_of_ndcn_meets_ours_of_its_own():
    task, ours = Task("speed"), speed.OURS
    found = {
        ("dopri5", speed.OWN): (60.0, 4.0, 8.0),
        ("Euler", speed.OWN): (40.0, 3.0, 4.0),
        ("dopri5", ours): (10.0, 4.0, 4.0),
        ("Euler", ours): (20.0, 6.0, 4.0),
    }
    for solver in ("dopri5", "Euler"):
        speed._rows(task, "heat grid", [found], (solver, speed.OWN), True)
    assert [row["values"] for row in task.rows] == [[6.0], [1.0], [0.5], [2.0], [2.0], [1.0]]
    assert [row["holds"] for row in task.rows] == [True, True, True, False, False, True]


def test_all_pairs_and_the_factorised_field_agree():
    topology, dense, x, _ = gnvf.setting(30, 2)
    net = gnvf.field().double()
    found = torch.stack([gnvf.all_pairs(net, one.double(), dense.double()) for one in x])
    wanted = net(0.0, x.double().reshape(-1, 1), topology.repeat(2)).reshape(x.shape)
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)


def test_a_wrong_law_has_a_field_error():
    topology = cells.topology(cells.matrix("SW"))
    x = torch.rand(400, 1, dtype=torch.float64)
    assert transfer.field_error(HeatLaw(), HeatLaw(), topology, x) == 0
    off = transfer.field_error(HeatLaw(1.1), HeatLaw(), topology, x)
    assert off == pytest.approx(0.1, rel=1e-9)


def record(run, error, finite=True, arrays="a"):
    lost = None if not finite else error
    numbers = {"interp": lost, "extrap": lost, "cpu_seconds": 1.0, "finite": finite}
    sizes = [{**numbers, "cpu_seconds": 0.01}]
    paced = {} if run.method == RIVAL else {"rival_ms": 0.5}  # a second for 2000 iterations
    return {"run": asdict(run), **numbers, "sizes": sizes, "arrays": arrays, **paced}


def test_the_pace_of_the_other_side_is_taken_in_the_same_process(monkeypatch):
    paces = iter([2.0, 1.5])
    monkeypatch.setattr(protocol, "pace", lambda cell, run: next(paces))
    monkeypatch.setattr(protocol.oneshot, "first_rung", lambda cell: {"cpu_seconds": 1.0})
    run = Run("heat", "SW", 0, protocol.FIRST, paced=True)
    found = protocol.execute(run)
    assert found["rival_ms"] == 1.5
    rival = {"run": asdict(Run("heat", "SW", 0, RIVAL, iterations=200))}
    assert limits.rival_seconds(found, rival) == pytest.approx(0.3)
    assert "rival_ms" not in protocol.execute(Run("heat", "SW", 0, protocol.FIRST))


def test_an_iteration_takes_time():
    assert protocol.pace(cells.drawn("heat", "SW", 0), Run("heat", "SW", 0, OURS)) > 0


def test_lost_seeds_count_and_are_listed():
    records = [record(Run("heat", "SW", k, OURS), 0.001, finite=k != 1) for k in range(3)]
    records.append(record(Run("heat", "SW", 0, RIVAL, iterations=2000), 2.0))
    records.append(record(Run("heat", "SW", 0, protocol.FIRST), 1.0))
    found, task = limits.Found(records, iterations=2000), Task("cells")
    limits.clean_rows(task, found, [("heat", "SW")])
    rows = {row["what"]: row for row in task.rows}
    assert rows["heat SW: extrap"]["worst"] == limits.LOST
    assert rows["heat SW: extrap"]["holds"] is True  # of heat, the median is asked
    assert rows["heat SW: extrap, NDCN / ours on the same arrays"]["median"] == 2000
    assert rows["heat SW: CPU, NDCN / whole ladder"]["holds"] is False
    assert rows["heat SW: CPU to NDCN's final error, NDCN / first rung"]["median"] == 100
    assert any("simlearn on heat SW: 1" in note for note in task.notes)
    assert any("2 of 2" in note for note in task.notes)
    assert limits.Found(records, iterations=7).ratio("heat SW", "extrap") == []


def test_runs_on_different_arrays_are_not_compared():
    ours = record(Run("heat", "SW", 0, OURS), 1.0)
    theirs = record(Run("heat", "SW", 0, RIVAL, iterations=5), 2.0, arrays="b")
    with pytest.raises(ValueError, match="different arrays"):
        limits.Found([ours, theirs], iterations=5)


class Threads(ThreadPoolExecutor):  # functions of a test do not travel to other processes
    def __init__(self, jobs, mp_context):
        super().__init__(jobs)


def test_a_stopped_benchmark_goes_on(tmp_path, monkeypatch):
    asked = []

    def execute(run):
        asked.append(run)
        return record(run, 1.0)

    monkeypatch.setattr(protocol, "execute", execute)
    wanted = protocol.runs([("heat", "SW"), ("gene", "BA")], 2, 1, 5)
    assert len(wanted) == 8  # 4 of ours, 2 of NDCN, 2 first rungs
    path = tmp_path / "log.jsonl"
    protocol.carry_out(wanted[:3], protocol.Log(path), 1, print, pool=Threads)
    with path.open("a") as file:
        file.write('{"run": {"dyn')  # stopped while it wrote
    log = protocol.Log(path)
    protocol.carry_out(wanted, log, 1, print, pool=Threads)
    assert asked == wanted
    assert all(protocol.Log(path).of(run) for run in wanted[:3])
    protocol.carry_out(wanted, log, 1, print, again=True, pool=Threads)
    assert asked == wanted + wanted


def test_the_whole_page(tmp_path, monkeypatch, capsys):
    def execute(run):
        return record(run, 5.0 if run.method == RIVAL else 0.001)

    def section(name, settings, mode):
        task = Task(name)
        task.row("ratio", [2.0], median=3.0, least=True)
        return {"mode": mode, "cpu_seconds": 1.0, **networks.plain(task)}

    monkeypatch.setattr(protocol, "execute", execute)
    monkeypatch.setattr(protocol.carry_out, "__defaults__", (False, Threads))
    monkeypatch.setattr(networks, "ProcessPoolExecutor", Threads)
    monkeypatch.setattr(networks, "run", section)
    networks.main(["--quick", "--out", str(tmp_path)])
    networks.main(["--quick", "--out", str(tmp_path), "--only", "gnvf"])
    found = json.loads((tmp_path / "networks-quick.json").read_text())
    assert list(found["sections"])[:2] == ["cells", "noise"]
    assert {"torch", "networkx"} <= found["versions"].keys()
    page = (tmp_path / "networks-quick.md").read_text()
    assert page in capsys.readouterr().out
    assert "| heat SW | 0.001 / 0.001 ✓ | ≤ 0.01 |" in page.replace("1.00e-03", "0.001")
    assert "| ratio | ≥ 3 median | 2 | 1 | **no** |" in page
    assert "1 of NDCN, which had 200 iterations" in page


def test_ours_is_rolled_out_over_all_stamps(cell, monkeypatch):
    true = Simulator(HeatLaw(), DormandPrince(1e-9, 1e-9))
    true.provenance = {"ladder": {"choice": "the law", "rungs": []}}
    monkeypatch.setattr(simlearn, "network_ladder", lambda trajectory: true)
    found = protocol.learned(cell)
    assert found["finite"]
    assert max(found["interp"], found["extrap"]) < 1e-5

    def refuse(trajectory):
        raise NumericalError("no size will do")

    monkeypatch.setattr(simlearn, "network_ladder", refuse)
    lost = protocol.plain(protocol.learned(cell))
    assert lost["extrap"] is None
    assert not lost["finite"]
    assert "no size" in lost["refusal"]


def test_every_stretch_that_is_measured_has_a_limit():
    assert set(calibration.POWER) == set(significance.STRETCH)
