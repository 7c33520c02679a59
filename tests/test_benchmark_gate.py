"""The protocol of benchmarks/gate.py: split, limits, rates, and fates that are known."""

import dataclasses
import json
import math
import pathlib
import sys

import pytest
import torch
from scipy.stats import binomtest

import simlearn
from simlearn import Simulator, Topology, Trajectory
from simlearn.component import NumericalError
from simlearn.dynamics import VectorField
from simlearn.integrators import RK4
from simlearn.training.objectives import OneStep
from simlearn_mechanics import MassSpring

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
import gate
from gate_parts import members, page, scores, systems, verdicts

sys.path.pop(0)


def record(index, doomed, foretold, loss=1.0, directions="pass", first=100):
    """A record as a run leaves it."""
    fate = {"doomed": doomed, "lost": int(doomed), "first": first if doomed else None}
    checks = {
        "Escape": {"verdict": "fail", "metrics": {"size foretold": foretold}, "seconds": 0.1},
        "UnlearnableDirections": {"verdict": directions, "metrics": {}, "seconds": 1.0},
    }
    return {
        "member": members.plain(members.drawn(7, index)[0]),
        "fit_seconds": 1.0,
        "gate": checks,
        "validation": {"loss": loss, "forecast_error": loss},
        "fate": {**fate, "largest": 1.0, "seconds": 2.0},
    }


@pytest.fixture
def records():
    """A panel in which Escape is right and the loss knows nothing."""
    return [
        record(k, k % 2 == 0, 20.0 if k % 2 == 0 else 2.0, loss=1.0 + k // 2) for k in range(120)
    ]


def test_a_member_depends_on_seed_and_index_only():
    assert members.panel(3, 5) == members.panel(3, 8)[:5]
    assert members.panel(3, 5) != members.panel(4, 5)
    told = members.plain(members.drawn(3, 4)[0])
    assert members.Member(**json.loads(json.dumps(told))) == members.drawn(3, 4)[0]


def test_every_choice_occurs_in_the_panel():
    every = members.panel(gate.SEED, gate.MEMBERS)
    assert {one.system for one in every} == set(systems.SYSTEMS)
    assert {one.stabilizer for one in every} == set(members.STABILIZERS)
    kinds = {"field", "residual", "direct", "energy", "separable", "graph"}
    assert {one.dynamics for one in every} == kinds
    assert len({one.key for one in every}) == gate.MEMBERS >= 200


def test_the_split_looks_at_nothing_but_the_hash(records):
    first, second = scores.split(records)
    assert len(first) == scores.CALIBRATION
    assert max(map(key, first)) < min(map(key, second))
    turned = [
        {**one, "fate": {**one["fate"], "doomed": not one["fate"]["doomed"]}} for one in records
    ]
    assert [key(one) for one in scores.split(turned[::-1])[0]] == [key(one) for one in first]


def key(one):
    """Of the member of a record."""
    return scores.member_of(one).key


def test_the_limit_lies_between_the_sound_and_the_doomed():
    told = [(1.0, False), (2.0, False), (50.0, True), (60.0, True)]
    kept = [record(k, doomed, size) for k, (size, doomed) in enumerate(told)]
    found = scores.limit(kept, scores.foretold)
    assert 4 < found < 25
    assert scores.mistakes(kept, lambda one: scores.foretold(one) > found) == 0
    kept += [record(9, False, 55.0), record(10, True, None)]  # None: beyond all bounds
    assert scores.limit(kept, scores.foretold) == pytest.approx(found, rel=0.2)
    # one sound member above most of the doomed does not draw the limit along
    assert scores.mistakes(kept, lambda one: scores.foretold(one) > found) == pytest.approx(1 / 3)


def test_a_single_member_moves_the_limit_little():
    sizes = [1.0 + 0.1 * k for k in range(20)]
    kept = [record(k, False, size) for k, size in enumerate(sizes)]
    kept += [record(20 + k, True, 5 * size) for k, size in enumerate(sizes)]
    before = scores.limit(kept, scores.foretold)
    after = scores.limit([*kept, record(99, True, 2.5)], scores.foretold)
    assert after == pytest.approx(before, rel=0.15)


def test_rates_are_counts_with_wilsons_interval(records):
    found = scores.rates(records, lambda one: scores.foretold(one) > 5)
    assert found["caught"] == scores.Rate(60, 60)
    assert found["failed"] == scores.Rate(0, 60)
    assert found["right"].share == 1
    low, high = scores.Rate(57, 60).interval
    known = binomtest(57, 60).proportion_ci(method="wilson")
    assert (low, high) == (known.low, known.high)


def test_ranking_is_one_half_for_a_score_that_knows_nothing(records):
    assert scores.ranking(records, scores.foretold) == 1
    assert scores.ranking(records, scores.loss) == pytest.approx(0.5)
    assert scores.ranking(records, lambda one: -scores.foretold(one)) == 0


def test_what_is_held_out_changes_no_limit(records):
    calibration, held_out = scores.split(records)
    judges = scores.Judges.of(calibration)
    turned = [{**one, "fate": {**one["fate"], "doomed": True}} for one in held_out]
    again = scores.Judges.of(scores.split([*turned, *calibration])[0])
    assert again == judges
    assert 2 < judges.escape < 20
    assert [judges.gate(one) for one in held_out] == [scores.doomed(one) for one in held_out]


def test_the_page_tells_limits_rates_and_every_mistake(records):
    held_out = scores.split(records)[1]
    records[records.index(held_out[0])] = record(
        scores.member_of(held_out[0]).index, True, 1.5, first=4000
    )
    lost = {**records[-1], "untrained": "NumericalError: no"}
    del lost["fate"]
    found = verdicts.finite(page.results([*records[:-1], lost]))
    assert len(found["wrong"]) == 1
    assert len(found["not trained"]) == 1
    assert found["when"]["later"]["the gate"]["total"] == 1
    assert found["when"]["later"]["the gate"]["count"] == 0
    assert found["calibration"]["doomed"] + found["calibration"]["sound"] in (49, 50)
    text = page.markdown({"versions": {"torch": "2"}, **found}, records, "python x.py")
    assert "the first at step 4000" in text
    assert "NumericalError: no" in text
    assert json.loads(json.dumps(found, allow_nan=False))


class Growing(VectorField):
    """dx/dt = rate · x."""

    dim = 2

    def __init__(self, rate):
        super().__init__()
        self.rate = rate

    def forward(self, t, x, topology):
        return self.rate * x


def judged(rate):
    """A simulator whose fate is known, with data in [-1, 1]² and starts on its edge."""
    t = simlearn.sample_times(101, 0.1)
    turns = torch.stack([t.cos(), t.sin()], 1)[:, None]
    data = [Trajectory(t, r * turns, Topology.isolated(1)) for r in (0.5, 1.0)]
    fresh = [Trajectory(t[:2], turns[k : k + 2], Topology.isolated(1)) for k in range(0, 60, 10)]
    objective = OneStep(scale="none")
    objective.prepare(data)
    return members.Trained(Simulator(Growing(rate), RK4(), 0.1), objective, data, data, fresh, 0.0)


def test_brute_force_finds_the_step_of_loss():
    # from the edge to ten times the box: ln 10 / rate
    found = verdicts.fate(judged(0.05))
    assert found["doomed"]
    assert found["lost"] == 6
    assert found["first"] == pytest.approx(math.log(10) / 0.05 / 0.1, abs=8)
    slow = verdicts.fate(judged(0.9 * math.log(10) / 500))
    assert not slow["doomed"]
    assert slow["largest"] == pytest.approx(10**0.9, rel=0.02)


def test_validation_is_the_objective_and_the_error_of_a_forecast():
    found = verdicts.validation(judged(0.0))
    t = simlearn.sample_times(101, 0.1)
    chord = 2 * math.sin(0.05)  # a state at rest misses the next one by it
    assert found["loss"] == pytest.approx((0.25 + 1) / 2 * chord**2 / 2, rel=1e-9)
    away = 2 * (t / 2).sin()
    assert found["forecast_error"] > 0.5 * float(away.square().mean().sqrt())


def test_the_gate_judges_with_the_checks_that_ship():
    found = verdicts.gate(judged(0.05))
    assert found["Escape"]["verdict"] == "fail"
    assert set(found) == {"Escape", "UnlearnableDirections"}
    json.dumps(verdicts.finite(found), allow_nan=False)


def test_a_training_that_breaks_is_kept_and_listed(monkeypatch):
    def refuse(*args):
        raise NumericalError("the loss is not finite")

    monkeypatch.setattr(verdicts, "trained", refuse)
    found = verdicts.record(members.drawn(7, 0)[0])
    assert found["untrained"] == "NumericalError: the loss is not finite"


def test_sensors_see_a_rotation_of_the_state():
    watched = systems.Watched(MassSpring(), 5, turn=3)
    times = simlearn.sample_times(4, 0.1)
    (seen,) = watched.draw(range(1), times, 0)
    (own,) = MassSpring().draw(range(1), times, 0)
    torch.testing.assert_close(seen.x @ watched.directions(), own.x)
    assert torch.linalg.matrix_rank(seen.x[:, 0]) == 2


def test_noise_of_measurement_has_the_size_that_is_told():
    clean, spread = systems.measured(MassSpring(), 64, 101, 0.1, 0, 0.0)
    noisy, _ = systems.measured(MassSpring(), 64, 101, 0.1, 0, 0.01, spread)
    off = torch.stack([b.x - a.x for a, b in zip(clean, noisy, strict=True)]).std((0, 1, 2))
    torch.testing.assert_close(off, 0.01 * spread, rtol=0.05, atol=0)


def test_a_small_member_goes_through_the_log(tmp_path, monkeypatch):
    small = dataclasses.replace(
        members.drawn(7, 0)[0],
        system="mass-spring",
        columns=2,
        watched=False,
        dynamics="residual",
        trajectories=2,
        updates=4,
        stabilizer="none",
        standardized=False,
    )
    monkeypatch.setattr(verdicts, "HORIZON", 50)
    monkeypatch.setattr(members.Member, "generator", lambda self: MassSpring())
    found = verdicts.record(small)
    log = gate.Log(tmp_path / "gate.jsonl")
    log.add(found)
    assert gate.known(gate.Log(tmp_path / "gate.jsonl"))[small.key] == log.records[0]
    assert gate.told(found).split()[0] in ("doomed", "sound;")
