"""Verdicts, reports and evidence: NaN never passes, nothing is judged by accident."""

import json
import math
from xml.etree import ElementTree

import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError, Estimate, Evidence, Finding, Metric, Simulator
from simlearn.dynamics import HenonMap, MLPField, Newtonian
from simlearn.integrators import RK4, Euler, Leapfrog
from simlearn.stability import gate
from simlearn.stability.finding import Curve, Line
from simlearn.stability.report import Item, Report
from simlearn_checks import (
    Bounded,
    EnergyDrift,
    ForceLaw,
    ForecastError,
    MassEstimates,
    MomentumDrift,
    StepHalving,
)
from simlearn_mechanics import MassSpring, MassSpringLaw


@pytest.mark.parametrize(
    ("metric", "passed"),
    [
        (Metric("a", 1.0, 1.0), True),
        (Metric("a", 1.1, 1.0), False),
        (Metric("a", 1.1, 1.0, "min"), True),
        (Metric("a", 0.9, 1.0, "min"), False),
        (Metric("a", math.nan, 1.0), False),
        (Metric("a", math.nan), False),
        (Metric("a", -math.inf, 1.0), False),
        (Metric("a", 5.0), True),
    ],
)
def test_a_metric_passes_only_as_a_number_within_its_limit(metric, passed):
    assert metric.passed is passed
    assert Finding.of([metric], "").verdict == ("pass" if passed else "fail")


def test_no_metric_and_no_check_are_no_pass():
    assert Finding.of([], "").verdict == "fail"
    assert not Report("x", "s", ()).passed
    with pytest.raises(ConfigError, match="at least one check"):
        simlearn.check(truth(), evidence(), [])


def test_a_value_within_its_noise_of_the_limit_is_flagged():
    assert Metric("a", 1.0, 1.1, noise=0.2).marginal
    assert not Metric("a", 1.0, 1.1, noise=0.05).marginal
    assert not Metric("a", 1.0, 1.0).marginal


@pytest.mark.fault(29)
def test_a_claimed_pass_with_a_nan_metric_is_not_good():
    finding = Finding("pass", (Metric("a", math.nan, 1.0),))
    assert not Item("x", {}, finding).good


def test_warnings_are_told_and_do_not_fail():
    bad = Item("x", {}, Finding.of([Metric("a", 2.0, 1.0)], ""), "warning")
    good = Item("y", {}, Finding.of([Metric("a", 0.0, 1.0)], ""))
    assert Report("s", "s", (bad, good)).passed
    assert not Report("s", "s", (bad,)).passed


def truth(dt=0.1, integrator=None):
    return Simulator(MassSpringLaw(), integrator or Leapfrog(), dt)


def evidence(steps=400, dt=0.1, **more):
    held = tuple(MassSpring().draw(range(2), simlearn.sample_times(steps, dt), 0))
    return Evidence(held_out=held, training=held, truth=MassSpringLaw(), **more)


def test_the_truth_under_leapfrog_passes_and_explicit_euler_fails():
    checks = [Bounded(2000, 1.5), EnergyDrift(4000), ForecastError(300, limit=0.05)]
    assert simlearn.check(truth(0.05), evidence(700, 0.05), checks).passed
    report = simlearn.check(truth(0.05, Euler()), evidence(700, 0.05), checks)
    assert [item.finding.verdict for item in report.items] == ["fail", "fail", "fail"]
    assert report.items[0].finding.metrics[0].value == math.inf


def test_energy_drift_sees_the_trend_of_rk4():
    """RK4 at a coarse step loses energy steadily: the control that must fail."""
    drift = EnergyDrift(20000)
    rk4 = drift.run(truth(0.3, RK4()), evidence(10, 0.3))
    leapfrog = drift.run(truth(0.3), evidence(10, 0.3))
    assert rk4.metrics[0].value > 5
    assert leapfrog.metrics[0].value == pytest.approx(1.0, abs=0.02)


def test_step_halving_measures_the_difference_of_two_rollouts():
    data = evidence(10)
    finding = StepHalving(100, limit=1.0).run(truth(), data)
    start = data.held_out[0]
    full = truth().rollout(start.x[0], 100).x[:, 0, 0]
    half = truth(0.05).rollout(start.x[0], 200, every=2).x[:, 0, 0]
    assert finding.metrics[0].value == pytest.approx(float((full - half).abs().max()), rel=1e-12)
    assert StepHalving().run(Simulator(HenonMap()), data).verdict == "not_applicable"


def test_forecast_error_is_the_distance_at_the_end_relative_to_the_origin():
    names = ("star", "near", "far")
    field = Newtonian(names, (1.0, 1e-3, 1e-3), gravity=1.0)
    x = torch.zeros(3, 4, dtype=torch.float64)
    x[1, 0], x[1, 3], x[2, 0], x[2, 3] = 1.0, 1.0, 2.0, 0.5**0.5
    topology = simlearn.Topology.complete(3, names)
    held = Simulator(field, Leapfrog(), 0.01).rollout(x, 200, topology)
    coarse = Simulator(field, Leapfrog(), 0.05)
    finding = ForecastError(40, limits={"near": 1.0, "far": 1.0}, origin="star").run(
        coarse, Evidence((held,))
    )
    end = coarse.rollout(x, 40, topology).x[-1, :, :2]
    true = held.x[200, :, :2]
    for row, metric in zip((1, 2), finding.metrics, strict=True):
        wanted = ((end[row] - end[0]) - (true[row] - true[0])).norm()
        assert metric.value == pytest.approx(float(wanted), rel=1e-9)
    with pytest.raises(ConfigError, match="moon"):
        ForecastError(4, limits={"moon": 1.0}).run(coarse, Evidence((held,)))
    with pytest.raises(DataError, match="horizon of 41 steps"):
        ForecastError(41, limit=1.0).run(coarse, Evidence((held,)))


def test_momentum_is_kept_by_pairs_and_lost_by_a_wall():
    names = ("a", "b")
    pair = Simulator(Newtonian(names, (1.0, 0.3), gravity=1.0), Leapfrog(), 0.01)
    x = torch.tensor([[0, 0, 0, -0.3], [1, 0, 0, 1.0]], dtype=torch.float64)
    held = simlearn.Trajectory(
        torch.zeros(1, dtype=torch.float64), x[None], simlearn.Topology.complete(2, names)
    )
    assert MomentumDrift(2000).run(pair, Evidence((held,))).verdict == "pass"
    assert MomentumDrift(200).run(truth(), evidence(10)).verdict == "fail"
    field = Simulator(MLPField(dim=2).double(), RK4(), 0.1)
    assert MomentumDrift().run(field, evidence(10)).verdict == "not_applicable"


def test_force_law_reads_the_exponent_and_the_sign():
    names = ("a", "b")
    newton = Simulator(Newtonian(names, (1.0, 0.3), gravity=1.0), Leapfrog(), 0.01)
    x = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 1.0]], dtype=torch.float64)
    held = simlearn.Trajectory(
        torch.zeros(1, dtype=torch.float64), x[None], simlearn.Topology.complete(2, names)
    )
    finding = ForceLaw().run(newton, Evidence((held,), (held,)))
    assert finding.metrics[0].value < 1e-12
    assert finding.verdict == "pass"
    assert ForceLaw(exponent=-3).run(newton, Evidence((held,), (held,))).verdict == "fail"
    shaded = finding.curves["The learned force"].shaded
    assert not any(low < 1.0 < high for low, high in shaded), "the distance that is visited"
    assert len(shaded) == 2


def test_masses_are_compared_unclipped_and_vague_ones_are_told():
    names = ("sun", "near", "far")
    field = Newtonian(names, (1.0, 0.0101, 1e-9))
    estimates = {"near": Estimate(0.0101, 1e-5), "far": Estimate(-0.02, 0.05)}
    data = evidence(10)
    check = MassEstimates({"near": 100.0, "far": 50.0}, judged=["near"], tolerance=0.02)
    finding = check.run(
        Simulator(field, Leapfrog(), 1.0), Evidence(data.held_out, estimates=estimates)
    )
    assert finding.metrics[0].value == pytest.approx(0.01)
    assert finding.metrics[1].value == pytest.approx(0.01)
    assert "Not determined by these data: far (250 %)" in finding.summary
    assert check.run(truth(), data).verdict == "not_applicable"


def test_rollouts_are_done_once_and_in_processes_alike():
    """A second process changes no bit of what it rolls out."""
    alone = evidence(10, references={"euler": truth(0.1, Euler()), "fine": truth(0.05)})
    spread = evidence(10, references=alone.references, processes=2)
    one, two = (e.rollouts(truth(), 30_000, 100) for e in (alone, spread))
    assert set(one) == {"", "euler", "fine"}
    for name in one:
        assert torch.equal(one[name].x, two[name].x)
    assert one["euler"].status == "left_bound"
    assert float(one["fine"].t[-1]) == pytest.approx(3000)
    assert alone.rollouts(truth(), 30_000, 100)[""] is one[""]


def test_the_judged_simulator_is_not_changed_and_the_verdict_repeats():
    simulator = Simulator(MassSpringLaw().float(), Leapfrog(), 0.1)
    checks = [EnergyDrift(2000), StepHalving(200, 1.0)]
    values = [
        [
            m.value
            for item in simlearn.check(simulator, evidence(), checks).items
            for m in item.finding.metrics
        ]
        for _ in range(2)
    ]
    assert values[0] == values[1]


def nasty_report():
    line = Line([0.0, 1.0], [1.0, math.nan], label="<b>x</b>")
    curve = Curve([line], "<i>t</i>", "y", "</figure><script>alert(1)</script>")
    metric = Metric("<script>alert(2)</script>", math.nan, 1.0, unit="<u>")
    finding = Finding.of([metric], "a | b <img src=x onerror=alert(3)>", {"<h1>": curve})
    item = Item("Check<script>", {"a": 1}, finding)
    return Report(
        "sim</title><script>", "suite", (item,), {"name": "</pre><script>alert(4)</script>"}
    )


def test_names_cannot_inject_markup(tmp_path):
    files = gate.write(nasty_report(), tmp_path)
    page = files["report.html"].read_text()
    assert "<script" not in page
    assert "onerror=alert" not in page.replace("&lt;img src=x onerror=alert", "")
    assert "<img src=x" not in files["summary.md"].read_text()
    ElementTree.parse(files["junit.xml"])
    told = json.loads(files["report.json"].read_text())
    assert told["verdict"] == "fail"
    assert told["checks"][0]["metrics"][0]["value"] == "nan"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(files)


def test_a_report_folder_that_cannot_be_written_is_the_environments_fault(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(simlearn.EnvironmentFault, match="Cannot write the report"):
        gate.write(nasty_report(), tmp_path / "file/report")


def test_a_plugin_hears_the_verdict_and_cannot_change_it():
    from simlearn import catalog

    heard = []

    class Listener:
        @simlearn.hookimpl
        def simlearn_gate_finished(self, report):
            heard.append(report.passed)
            raise RuntimeError("broken listener")

    known = catalog.load()
    known.manager.register(Listener(), "listener")
    failures = known.announce(nasty_report())
    assert heard == [False]
    assert failures == ["plugin listener failed hearing the verdict: RuntimeError: broken listener"]


def test_the_verdict_does_not_depend_on_the_order_of_checks():
    """A tight bound of one check cuts nothing off for another."""
    one, two = Bounded(300, 1.01), ForecastError(300, limit=10.0)
    data = evidence(400)
    forward = simlearn.check(truth(), data, [one, two])
    backward = simlearn.check(truth(), data, [two, one])
    values = [
        {m.name: m.value for i in report.items for m in i.finding.metrics}
        for report in (forward, backward)
    ]
    assert values[0] == values[1]


@pytest.mark.fault(21)
def test_a_simulator_that_is_lost_at_once_is_a_finding():
    """Divergence fails the gate; it is no fault of the data."""
    field = MLPField(dim=2).double()
    torch.nn.init.constant_(field.net.layers[-1].bias, 1e308)
    broken = Simulator(field, RK4(), 0.1)
    report = simlearn.check(broken, evidence(50), [ForecastError(40, limit=1.0), Bounded(40)])
    assert [item.finding.verdict for item in report.items] == ["fail", "fail"]
    assert report.items[0].finding.metrics[0].value == math.inf


def test_forecasts_meet_irregular_samples():
    """The truth has no error wherever the data were sampled."""
    times = torch.tensor([0.0, 0.1, 0.3, 0.35, 0.8, 1.0], dtype=torch.float64)
    (held,) = MassSpring().draw(range(1), times, 0)
    finding = ForecastError(100, limit=1e-6).run(truth(0.01, RK4()), Evidence((held,)))
    assert finding.verdict == "pass"


def test_systems_of_different_size_can_be_held_out():
    names = ("a", "b", "c")
    field = Newtonian(names, (1.0, 0.1, 0.1), gravity=1.0)
    tracks = []
    for rows in (2, 3):
        topology = simlearn.Topology.complete(rows).replace(
            node_type=torch.arange(rows), node_names=names
        )
        x = torch.randn(rows, 4, generator=torch.Generator().manual_seed(rows), dtype=torch.float64)
        tracks.append(Simulator(field, Leapfrog(), 0.01).rollout(x, 20, topology))
    check = ForecastError(20, limit=1e-9, starts=2)
    finding = check.run(Simulator(field, Leapfrog(), 0.01), Evidence(tuple(tracks)))
    assert finding.verdict == "pass"
    assert [m.name for m in finding.metrics] == ["error of a", "error of b", "error of c"]


def test_a_name_with_a_dollar_is_a_name():
    """Matplotlib reads $...$ as mathematics."""
    from simlearn.stability.draw import picture

    lines = [Line([0.0, 1.0], [0.0, 1.0], group=name, label="x_{$a") for name in ("x_{$a", "b$")]
    assert picture(Curve(lines, "t / $", "$y_{"))[:4] == b"\x89PNG"


class Stopping(simlearn.VectorField):
    """A friction that stops everything: dx/dt = −x."""

    def forward(self, t, x, topology):
        return -x


def test_energy_that_is_lost_at_once_is_no_pass():
    """A rollout that dies has no growing error, and no energy either."""
    finding = EnergyDrift(2000).run(Simulator(Stopping(), RK4(), 0.1), evidence(10))
    ratio, _, size = finding.metrics
    assert ratio.passed, "the error does not grow any more"
    assert size.value == pytest.approx(1.0, abs=0.02)
    assert finding.verdict == "fail"


def test_nobody_is_judged_on_missing_samples():
    """Zeros under a mask are no truth: the evidence is cut there, and the exact law passes."""
    from simlearn import Topology, Trajectory
    from simlearn.data.generate import sample_times
    from simlearn_mechanics import MassSpring

    (one,) = MassSpring().draw(range(1), sample_times(61, 0.1), 0)
    mask = torch.ones(61, 1, dtype=torch.bool)
    mask[[0, 40]] = False
    x = torch.where(mask[..., None], one.x, 0.0)
    held = Trajectory(one.t, x, Topology.isolated(1), mask=mask)
    evidence = simlearn.Evidence(held_out=[held])
    assert [part.steps for part in evidence.held_out] == [39, 20]
    law = simlearn.Simulator(MassSpring().truth(), RK4(), 0.1)
    finding = ForecastError(horizon=38, limit=1e-3).run(law, evidence)
    assert finding.verdict == "pass"
