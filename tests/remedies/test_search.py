"""The search: order, budget, confirmation, what stays. Its checks judge by what is plain to see."""

import json
import math
from dataclasses import replace

import pytest
import torch
import yaml

import simlearn
from simlearn import ConfigError, DataError, Evidence, Finding, Metric, Remedy, Simulator
from simlearn.component import NumericalError
from simlearn.dynamics import LinearField, SeparableEnergy
from simlearn.integrators import RK4, Euler, Leapfrog
from simlearn.remedies import remedy
from simlearn.stability.gate import Case
from simlearn.stability.report import Regression, Report
from simlearn_mechanics import Pendulum

LEAP = Remedy("Use Leapfrog.", "integrator", "Leapfrog")
FOURTH = Remedy("Use RK4.", "integrator", "RK4")
STEP = Remedy("A smaller step.", "dt")
LONGER = Remedy("Train longer.", "train")
MORE = Remedy("More data.", "data")
PEOPLE = "Look at the sensors."
HELD_OUT = tuple(Pendulum().draw(range(4), simlearn.sample_times(41, 0.1), 1))
CONFIG = {
    "model": {
        "simulator": {
            "dynamics": {"class_path": "SeparableEnergy", "init_args": {"dim": 2, "width": 8}},
            "integrator": "Euler",
            "dt": 0.1,
        },
    },
    "data": {"generator": "Pendulum", "count": 4, "steps": 41, "dt": 0.1},
    "trainer": {"max_epochs": 2},
}


class Asks(simlearn.Check):
    """One property that is plain to see.

    Args:
        what: "leapfrog", "fine", "trained", "early", "sisters" or "nothing".
        advice: Which remedies it gives, by name.
        horizon: Steps, to be seen in the report.
    """

    def __init__(self, what: str, advice: tuple[str, ...] = (), horizon: int = 10):
        self.what, self.advice, self.horizon = what, advice, horizon

    @classmethod
    def examples(cls):
        return [cls("leapfrog")]

    def run(self, simulator, evidence):
        good = {
            "leapfrog": type(simulator.integrator).__name__ == "Leapfrog",
            "fine": simulator.dt < 0.1,
            "trained": simulator.provenance.get("loss") is not None,
            "early": float(evidence.held_out[0].x[0].abs().max()) == float(FIRST),
            "four": len(evidence.held_out) == 4,
            "sisters": False,
            "nothing": False,
        }[self.what]
        if self.what == "sisters" and not evidence.siblings:
            return Finding.not_applicable("It compares siblings.")
        if self.what == "nothing" and simulator.dt < 0.1:
            raise ConfigError("It wants a step of 0.1.")
        if self.what == "four" and not good:
            raise DataError("It wants four trajectories.")
        known = {"leap": LEAP, "fourth": FOURTH, "step": STEP, "longer": LONGER, "more": MORE}
        advice = [known.get(name, name) for name in self.advice]
        return Finding.of([Metric(self.what, 0.0 if good else 2.0, 1.0)], "", remedies=advice)


FIRST = HELD_OUT[0].x[0].abs().max()


def model(integrator=None):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Simulator(SeparableEnergy(dim=2, width=8), integrator or Euler(), 0.1).double()


def search(*checks, simulator=None, held_out=HELD_OUT, siblings=(), **given):
    simulator = simulator or model()
    evidence = Evidence(held_out, siblings=siblings)
    report = simlearn.check(simulator, evidence, checks)
    return remedy(simulator, report, evidence, checks=checks, **given)


def told(found):
    return [(one.change, one.state) for one in found.rows]


def test_what_needs_no_training_comes_first_and_the_cheapest_that_passes_wins():
    lines = []
    found = search(Asks("fine", ("longer", "step", PEOPLE)), config=CONFIG, tell=lines.append)
    assert told(found) == [("dt: 0.05", "passes"), ("max_epochs: 6", "fails")]
    assert found.winner is found.rows[0]
    assert found.winner.confirmed.passed
    assert not found.winner.trained
    assert found.winner.simulator.dt == 0.05
    assert found.winner.config["data"]["dt"] == 0.05
    assert found.advice == (PEOPLE,)
    assert any("passes the gate (1 of 1 checks)" in line for line in lines)
    assert not found.files


def test_the_smallest_error_wins_not_the_first():
    ranked = search(Asks("trained", ("more", "longer")), config=CONFIG)
    passing = [one for one in ranked.rows if one.state == "passes"]
    assert len(passing) == 2
    assert ranked.winner is min(passing, key=lambda one: one.error)


def test_horizons_cover_the_same_time_whatever_the_step():
    found = search(Asks("fine", ("step",), horizon=10))
    (row,) = (one for one in found.rows if one.report)
    assert row.report.items[0].arguments["horizon"] == 20
    assert found.before.report.items[0].arguments["horizon"] == 10


def test_where_none_alone_passes_the_best_is_built_upon():
    found = search(Asks("fine", ("step",)), Asks("leapfrog", ("leap",)))
    done = [one for one in told(found) if one[1] != "not tried"]
    assert done == [
        ("dt: 0.05", "fails"),
        ("integrator: Leapfrog", "fails"),
        ("dt: 0.05, integrator: Leapfrog", "passes"),
    ]
    assert found.winner is found.rows[-1]
    assert found.winner.simulator.dt == 0.05
    assert found.winner.confirmed.items[0].arguments["horizon"] == 20


def test_a_winner_that_fails_on_what_was_kept_aside_is_none():
    """Judged by the first trajectory only, which is not among those that are kept."""
    checks = Asks("leapfrog", ("leap",)), Asks("early")
    found = search(*checks)
    (row,) = (one for one in found.rows if one.report)
    assert row.state == "passes"
    assert not row.confirmed.passed
    assert found.winner is None
    assert "not confirmed" in found.summary()
    assert "refuted" in found.to_text()


def test_checks_that_need_all_trajectories_leave_none_aside():
    found = search(Asks("leapfrog", ("leap",)), Asks("four"))
    assert "nothing was kept aside" in found.evidence
    assert found.winner.confirmed is None
    assert "not confirmed" in found.summary()
    drawn = search(Asks("leapfrog", ("leap",)), Asks("four"), generator=Pendulum())
    assert "Pendulum drew with another seed" in drawn.evidence
    assert drawn.winner.confirmed.passed


@pytest.mark.parametrize(
    ("limit", "why"), [({"tries": 0}, "no training is left"), ({"seconds": 0.0}, "are over")]
)
def test_trainings_are_limited_and_what_needs_none_is_not(limit, why):
    found = search(Asks("nothing", ("longer", "leap")), config=CONFIG, **limit)
    assert told(found)[0] == ("integrator: Leapfrog", "fails")
    rest = [one for one in found.rows if one.report is None]
    assert rest
    assert all(why in one.why for one in rest)


def test_without_a_config_what_needs_a_training_is_told():
    found = search(Asks("nothing", ("longer", "leap")))
    assert [one.state for one in found.rows] == ["fails", "not tried", "not tried"]
    assert "config.yaml" in found.rows[1].why
    assert found.winner is None
    assert found.summary() == "No remedy passes, of 1 that were tried."


def test_what_breaks_off_breaks_one_remedy_only():
    def broken(config, folder):
        if config["trainer"]["max_epochs"] > 2:
            raise NumericalError("The training diverged.")
        return build_trained(config)

    def build_trained(config):
        found = model()
        found.provenance = {"loss": 1.0}
        return found

    found = search(Asks("trained", ("longer", "more")), config=CONFIG, train=broken)
    assert told(found) == [("max_epochs: 6", "broke off"), ("12 trajectories", "passes")]
    assert found.rows[0].why == "The training diverged."
    assert found.winner is found.rows[1]


def test_a_check_that_wants_siblings_is_left_out_and_said():
    """No remedied simulator has any: it would fail whatever was tried."""
    found = search(
        Asks("leapfrog", ("leap",)), Asks("sisters", ("longer",)), siblings=[model()], config=CONFIG
    )
    assert told(found) == [("integrator: Leapfrog", "passes")]
    assert found.winner is found.rows[0]
    assert "no siblings: Asks." in found.evidence
    assert [len(one.report.items) for one in (found.before, *found.rows)] == [1, 1]
    assert "siblings" not in search(Asks("leapfrog", ("leap",)), siblings=[model()]).evidence


@pytest.mark.parametrize(
    ("others", "why"), [((), "beside siblings only"), (("leapfrog",), "nothing fails any more")]
)
def test_a_failure_of_siblings_only_begins_no_training(others, why):
    def train(config, folder):
        raise AssertionError("it was trained")

    given = {"simulator": model(Leapfrog()), "siblings": [model()], "config": CONFIG}
    with pytest.raises(ConfigError, match=why):
        search(Asks("sisters", ("longer",)), *map(Asks, others), train=train, **given)


def test_a_gate_that_breaks_off_after_a_training_counts_it():
    def train(config, folder):
        found = model().with_step(0.05)
        found.provenance = {"loss": 1.0}
        return found

    checks = Asks("nothing", ("longer", "more"))
    found = search(checks, config=CONFIG, train=train, tries=1)
    assert told(found) == [("max_epochs: 6", "broke off"), ("data", "not tried")]
    assert found.rows[0].why == "It wants a step of 0.1."
    assert found.rows[0].simulator is not None
    assert "no training is left" in found.rows[1].why


@pytest.mark.parametrize("clock", [(0.0, 9.0, 9.0, 9.1), (0.0, 0.1, 0.1, 9.0)])
def test_of_equal_errors_the_first_wins_however_long_it_took(monkeypatch, clock):
    def train(config, folder):
        found = model()
        found.provenance = {"loss": 1.0}
        return found

    times = iter(clock)
    monkeypatch.setattr("simlearn.remedies.bench.cpu_seconds", lambda: next(times))
    found = search(Asks("trained", ("longer", "more")), config=CONFIG, train=train)
    assert found.rows[0].cost == found.rows[1].cost
    assert found.winner is found.rows[0]


def test_names_and_reasons_are_only_text(tmp_path):
    """Advice comes from plugins, reasons from whatever broke off."""

    def train(config, folder):
        raise NumericalError("**x** <img src=https://a.b/c> @all \x1b[2J `y`")

    odd = "See https://a.b/c \x1b]0;title\x07 *now* | @all"
    found = search(Asks("nothing", ("longer", odd)), config=CONFIG, train=train, out=tmp_path)
    text, table = (tmp_path / "remedies.md").read_text(), found.to_text()
    assert "\x1b" not in text + table
    assert not any(one in text for one in ("<img", "https://", "@all", "**x**", " *now*", "`y`"))
    assert "https&#58;//a.b/c" in text
    assert len({line.count(" | ") for line in text.splitlines() if line.startswith("| ")}) == 1


def test_a_config_is_read_again_whatever_the_advice_says(tmp_path):
    """YAML has no place for control characters, not even in comments."""
    odd = Remedy("Use \x1b[1mLeapfrog.", "integrator", "Leapfrog")

    class Advises(Asks):
        def run(self, simulator, evidence):
            return replace(super().run(simulator, evidence), remedies=(odd,))

    found = search(Advises("leapfrog"), config=CONFIG, out=tmp_path)
    text = found.files["remedied.yaml"].read_text()
    assert "[1mLeapfrog." in text
    assert yaml.safe_load(text)["data"] == CONFIG["data"]


def test_all_of_it_stays_and_nothing_is_overwritten(tmp_path):
    simlearn.save(model(), tmp_path / "runs/euler/simulator")
    (tmp_path / "runs/euler/config.yaml").write_text(yaml.safe_dump(CONFIG))
    checks = (Asks("leapfrog", ("leap", PEOPLE)), Asks("nothing", ("longer",)))
    cases = [Case(checks[0]), Case(checks[1], "warning")]
    run, out = tmp_path / "runs/euler", tmp_path / "runs/euler/report"
    evidence = Evidence(HELD_OUT)
    report = simlearn.check(model(), evidence, cases)
    for number in range(2):
        found = remedy(run, report, evidence, checks=cases, out=out)
        ending = "-2" * number
        assert found.files["run"] == tmp_path / f"runs/euler-remedied{ending}"
        assert found.files["remedied.yaml"] == out / f"remedied{ending}.yaml"
    assert {p.name for p in found.files["run"].iterdir()} == {"simulator", "config.yaml"}
    text = found.files["remedied.yaml"].read_text()
    assert text.startswith("# integrator: Leapfrog: Use Leapfrog.")
    assert yaml.safe_load(text)["model"]["simulator"]["integrator"]["class_path"].endswith(
        "Leapfrog"
    )
    used = simlearn.load(found.files["run"])
    assert type(used.integrator).__name__ == "Leapfrog"
    table = json.loads((out / "remedies.json").read_text())
    assert table["tries"][table["winner"]]["change"] == "integrator: Leapfrog"
    assert table["tries"][0]["confirmed"] is True
    assert table["tries"][0]["error_ratio"] == pytest.approx(
        table["tries"][0]["error"] / table["before"]["error"]
    )
    assert (
        "| ok | integrator: Leapfrog, same weights | 1 of 2 |" in (out / "remedies.md").read_text()
    )
    assert PEOPLE in (out / "remedies.md").read_text()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_whoever_breaks_off_keeps_what_was_found(tmp_path, error):
    def impatient(config, folder):
        raise error

    with pytest.raises(error):
        search(
            Asks("leapfrog", ("leap",)),
            Asks("fine", ("longer",)),
            config=CONFIG,
            train=impatient,
            out=tmp_path,
        )
    table = json.loads((tmp_path / "remedies.json").read_text())
    assert table["interrupted"]
    assert table["winner"] is None
    assert [one["change"] for one in table["tries"]] == ["integrator: Leapfrog"]
    assert simlearn.load(table["tries"][0]["folder"]).dt == 0.1
    assert table["summary"].startswith("Interrupted.")


def test_a_lost_forecast_is_an_error_without_bound():
    wild = Simulator(LinearField(dim=2), Euler(), 0.1).double()
    for weight in wild.parameters():
        weight.data.fill_(1e10)
    found = search(Asks("fine", ("step",)), simulator=wild)
    assert found.before.error == math.inf
    assert "lost" in found.to_text()
    assert found.ratio(found.rows[0]) is None


def test_there_must_be_something_to_remedy():
    evidence = Evidence(HELD_OUT)
    checks = [Asks("leapfrog", ("leap",))]
    failing = simlearn.check(model(), evidence, checks)
    passing = simlearn.check(model(RK4()), evidence, [Asks("early")])
    with pytest.raises(ConfigError, match="nothing to remedy"):
        remedy(model(), passing, evidence)
    worse = Report("s", "full", passing.items, regressions=[REGRESSION])
    with pytest.raises(ConfigError, match="baseline"):
        remedy(model(), worse, evidence)
    with pytest.raises(DataError, match="held-out"):
        remedy(model(), failing, Evidence())
    with pytest.raises(ConfigError, match="numbers from 0"):
        remedy(model(), failing, evidence, tries=-1)
    with pytest.raises(ConfigError, match="`model:` and `data:`"):
        remedy(model(), failing, evidence, checks=checks, config={"trainer": {}})


REGRESSION = Regression("Bounded", {}, "m", 2.0, 1.0, 0.1)
