"""The protocol of benchmarks/gate.py: split, limits, rates, and fates that are known."""

import dataclasses
import json
import pathlib
import sys

import pytest
from scipy.stats import binomtest

from simlearn import catalog
from simlearn.cli.judging import read_gate
from simlearn.component import NumericalError
from simlearn_checks.escape import LIMIT, Escape
from simlearn_mechanics import MassSpring

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "benchmarks"))
import gate
from gate_parts import members, page, results, scores, systems, verdicts

sys.path.pop(0)


def record(index, doomed, foretold, loss=1.0, directions="pass", first=100):
    """A record as a run leaves it."""
    fate = {"doomed": doomed, "lost": int(doomed), "first": first if doomed else None}
    checks = {
        "Escape": {
            "verdict": "fail" if foretold is None or foretold > LIMIT else "pass",
            "metrics": {"size foretold": foretold},
            "marginal": False,
            "seconds": 0.1,
        },
        "UnlearnableDirections": {"verdict": directions, "metrics": {}, "seconds": 1.0},
    }
    return {
        "digest": "of the sources",
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


def test_members_that_are_still_to_come_change_no_split(records):
    order = sorted(records, key=key)
    first, second = scores.split(order[:60], drawn=120)
    assert (first, second) == (order[:50], order[50:60])
    found = results.results(order[:60], 120)
    assert sum(found["held out"].values()) == 10
    text = page.markdown({"versions": {}, **verdicts.finite(found)}, order[:60], "python x.py")
    assert "So far 60 of 120 members" in text
    assert "The 50 members with the smallest" in text


def key(one):
    """Of the member of a record."""
    return scores.member_of(one).key


def test_the_limit_lies_between_the_sound_and_the_doomed():
    told = [(1.0, False), (2.0, False), (50.0, True), (60.0, True)]
    kept = [record(k, doomed, size) for k, (size, doomed) in enumerate(told)]
    found = scores.limit(kept, scores.foretold)
    assert 4 < found < 25
    assert mistakes(kept, found) == 0
    kept += [record(9, False, 55.0), record(10, True, None)]  # None: beyond all bounds
    assert scores.limit(kept, scores.foretold) == pytest.approx(found, rel=0.2)
    # one sound member above most of the doomed does not draw the limit along
    assert mistakes(kept, found) == pytest.approx(1 / 3)


def mistakes(kept, limit):
    """Share of doomed that pass and of sound that fail, added."""
    found = scores.rates(kept, lambda one: scores.foretold(one) > limit)
    return 1 - found["caught"].share + found["failed"].share


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
    found = verdicts.finite(results.results([*records[:-1], lost], 120))
    assert len(found["wrong"]) == 1
    assert len(found["not trained"]) == 1
    assert found["when"]["later"]["the gate, as shipped"]["total"] == 1
    assert found["when"]["later"]["the gate, as shipped"]["count"] == 0
    assert found["calibration"]["doomed"] + found["calibration"]["sound"] in (49, 50)
    told = {"versions": {"torch": "2"}, **found}
    text = page.markdown(told, records, "python x.py")
    assert "120 members of panel 7" in text
    fewer = page.markdown({**told, "drawn": 250}, records, "python x.py")
    assert "The first 120 members, in the order of their hashes, of 250" in fewer
    assert "the first at step 4000" in text
    assert "NumericalError: no" in text
    assert json.loads(json.dumps(found, allow_nan=False))


def test_the_limit_that_ships_is_the_one_that_the_kept_panel_fixed():
    kept = json.loads((gate.RESULTS / "gate.json").read_text(encoding="utf-8"))
    assert kept["limits"]["Escape"] == LIMIT
    assert kept["seed"] == gate.SEED
    assert sum(kept["calibration"].values()) == scores.CALIBRATION
    rows = kept["rows"]  # what was held out was judged with this limit
    assert rows["the gate, as shipped"] == rows["Escape, limit of the calibration"]
    for suite in ("smoke", "full"):
        checks = [case.check for case in read_gate(verdicts.GATE, suite, catalog.load())[1]]
        assert [one.limit for one in checks if isinstance(one, Escape)] == [LIMIT]


def test_a_training_that_breaks_is_kept_and_listed(monkeypatch):
    def refuse(*args):
        raise NumericalError("the loss is not finite")

    monkeypatch.setattr(verdicts, "trained", refuse)
    found = verdicts.record(members.drawn(7, 0)[0])
    assert found["untrained"] == "NumericalError: the loss is not finite"


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
    log.add({**found, "digest": "of other sources"})
    assert gate.known(log)[small.key] == found


def test_what_other_sources_judged_is_done_again_but_for_the_limit():
    before = verdicts.digest_of(["LIMIT = 4.0  # fixed\nSHARE = 3\n", "steps"])
    assert verdicts.digest_of(["LIMIT = 7.5\nSHARE = 3\n", "steps"]) == before
    assert verdicts.digest_of(["LIMIT = 4.0\nSHARE = 4\n", "steps"]) != before
    assert len(verdicts.digest()) == 64
    assert all(sorted(verdicts.CHECKS.glob(name)) for name in verdicts.DECIDE)
    told = (verdicts.CHECKS / "escape.py").read_text(encoding="utf-8").splitlines()
    assert sum(line.startswith(verdicts.LIMIT) for line in told) == 1


@pytest.mark.parametrize(("size", "moved"), [(LIMIT / 4, True), (LIMIT / 1.4, False)])
def test_a_limit_that_moved_ends_the_benchmark_before_any_is_held_out(
    tmp_path, monkeypatch, size, moved
):
    def judge(wanted, log, jobs):
        done.append([one.index for one in wanted])
        for one in wanted:
            # sound ones up to a size, doomed ones from twice as large
            doomed, k = one.index % 2 == 0, one.index % 5
            found = record(one.index, doomed, size * (2 - 0.01 * k if doomed else 1 + 0.01 * k))
            log.add({**found, "member": members.plain(one), "digest": verdicts.digest()})

    done = []
    monkeypatch.setattr(gate, "carry_out", judge)
    monkeypatch.setattr(scores, "rounded", lambda value: LIMIT if 0.8 < value / LIMIT < 1.2 else 1)
    given = ["--out", str(tmp_path)]
    if moved:
        with pytest.raises(SystemExit, match="write LIMIT = 1 into"):
            gate.main(given)
        assert len(done) == 1
        assert not (tmp_path / "gate.md").exists()
    else:
        gate.main(given)
        assert [len(part) for part in done] == [50, 200]
        assert "250 members of panel 10" in (tmp_path / "gate.md").read_text(encoding="utf-8")
