"""Contraction: closed forms of the logarithmic norm, metrics that help, senseless ones refused."""

import math

import pytest
import torch

import simlearn
from simlearn import ConfigError, DataError, Evidence, Topology, Trajectory, VectorField
from simlearn.integrators import Euler
from simlearn_checks import tangent
from simlearn_checks.contraction import Contraction
from simlearn_checks.tangent import setting

SHEARED = [[-1.0, 5.0], [0.0, -2.0]]  # stable, but μ₂ = −1.5 + √26/2 = 1.0495
METRIC = [[0.01, 0.0], [0.0, 1.0]]


def test_the_rate_is_the_logarithmic_norm(fields, tracks, simulator, metric):
    evidence = Evidence(tracks(3, 2))
    found = Contraction().run(simulator(fields.Linear(SHEARED)), evidence)
    assert found.verdict == "fail"
    assert found.metrics[1].value == pytest.approx(-1.5 + math.sqrt(26) / 2, abs=1e-10)
    assert "evidence, not proof" in found.summary
    assert metric(found, "share of states").value == 0


def test_a_metric_shows_what_the_euclidean_one_does_not(fields, tracks, simulator):
    evidence, one = Evidence(tracks(3, 2)), simulator(fields.Linear(SHEARED))
    found = Contraction(rate=0.9, metric=METRIC).run(one, evidence)
    # with the first column a tenth as long, the shear is a half
    assert found.metrics[1].value == pytest.approx(-1.5 + math.sqrt(1 + 0.25) / 2, abs=1e-10)
    assert found.verdict == "pass"
    assert Contraction(rate=1.0, metric=METRIC).run(one, evidence).verdict == "fail"


def test_maps_contract_by_the_logarithm_of_their_norm(fields, tracks, simulator):
    evidence = Evidence(tracks(3, 2))
    shrink = simulator(fields.LinearMap([[0.0, 0.5], [-0.5, 0.0]]), 0.1)
    found = Contraction(rate=6.9).run(shrink, evidence)
    assert found.verdict == "pass"
    assert found.metrics[1].value == pytest.approx(math.log(0.5) / 0.1)
    assert Contraction(rate=7.0).run(shrink, evidence).verdict == "fail"


def test_a_step_that_is_too_large_is_told(fields, tracks, simulator, metric):
    decay = fields.Linear([[-3.0, 0.0], [0.0, -3.0]])
    found = Contraction(rate=3.0).run(simulator(decay, 1.0, Euler()), Evidence(tracks(3, 2)))
    assert found.verdict == "pass"
    assert metric(found, "of a step").value == pytest.approx(math.log(2.0))  # 1 − 3 = −2


def test_a_metric_of_one_row_serves_every_row(fields, simulator, henon_heiles):
    from simlearn_mechanics import SpringChain

    held = tuple(SpringChain().draw(range(2), simlearn.sample_times(5, 0.1), 0))
    dim = held[0].dim
    unit = [[2.0 if i == j else 0.0 for j in range(dim)] for i in range(dim)]
    chain = simulator(SpringChain().truth(), 0.01)
    plain = Contraction().run(chain, Evidence(held))
    scaled = Contraction(metric=unit).run(chain, Evidence(held))
    assert scaled.metrics[1].value == pytest.approx(plain.metrics[1].value)
    with pytest.raises(ConfigError, match="The metric is 3"):
        Contraction(metric=[[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]).run(chain, Evidence(held))


def test_hidden_gradients_and_no_numbers_are_no_pass(fields, lorenz, simulator):
    for field, words in ((fields.Detached(), "detached"), (fields.Nothing(), "none")):
        found = Contraction().run(simulator(field), Evidence(lorenz))
        assert found.verdict == "fail"
        assert words in found.summary


@pytest.mark.parametrize(
    "given",
    [
        {"rate": -0.5},
        {"rate": math.nan},
        {"rate": math.inf},
        {"states": 0},
        {"metric": []},
        {"metric": [[1.0, 0.0]]},
        {"metric": [[1.0, 1.0], [1.0, 1.0]]},  # singular
        {"metric": [[1.0, 0.0], [0.0, -1.0]]},  # indefinite
        {"metric": [[1.0, 0.5], [0.0, 1.0]]},  # not symmetric
        {"metric": [[math.nan, 0.0], [0.0, 1.0]]},
        {"metric": [[-1.0, 0.0], [0.0, -1.0]]},
    ],
)
def test_senseless_arguments_are_refused(given):
    with pytest.raises(ConfigError):
        Contraction(**given)


class Driven(VectorField):
    """dx/dt = (u − 1) x, or (t − 1) x where nothing drives it."""

    dim = 1

    def forward(self, t, x, topology):
        return ((t if topology.inputs is None else topology.inputs) - 1) * x


def late(values=None, steps=41, dt=0.1):
    """One track over a time of four; ``values`` of the input, each for a fourth of it."""
    t = simlearn.sample_times(steps, dt)
    x = torch.linspace(1, 2, steps, dtype=torch.float64)[:, None, None]
    inputs = None
    if values:
        held = torch.tensor(values, dtype=torch.float64).repeat_interleave(steps // len(values) + 1)
        inputs = held[:steps, None, None]
    return Trajectory(t, x, Topology.isolated(1), inputs=inputs)


def test_every_state_has_its_own_input(simulator, metric):
    evidence, one = Evidence((late([0.0, 3.0, 0.0, 0.0]),)), simulator(Driven())
    found = Contraction().run(one, evidence)
    assert found.verdict == "fail"
    assert found.metrics[1].value == pytest.approx(2.0)
    assert metric(found, "median rate").value == pytest.approx(-1.0)
    (curve,) = found.curves.values()
    assert max(curve.lines[0].y) == pytest.approx(2.0)  # along the rollout, which is driven alike
    assert Contraction(rate=0.9).run(one, Evidence((late([0.0, 0.1]),))).verdict == "pass"


def test_every_state_has_its_own_time(simulator, metric):
    one, evidence = simulator(Driven()), Evidence((late(),), truth=Driven())
    found = Contraction().run(one, evidence)
    assert found.verdict == "fail"
    assert found.metrics[1].value == pytest.approx(3.0)  # at t = 4
    mine, _, true = found.curves["Contraction along a rollout"].lines
    assert mine.y[100] == pytest.approx(0.0, abs=1e-9)  # at t = 1
    assert true.y[-1] == pytest.approx(3.0)


def test_systems_side_by_side_keep_their_times_and_inputs(simulator):
    both = torch.cat([late([0.0, 0.5]).inputs, late([2.0, 4.0]).inputs], 1)
    x = late().x.expand(-1, 2, -1).clone()
    t = torch.stack([late().t, late().t + 1], 1)
    many = Trajectory(t, x, Topology.isolated(2), inputs=both)
    where = setting(Evidence((many,)), 1000)
    assert where.t[:4].tolist() == pytest.approx([0.0, 1.0, 0.1, 1.1])
    assert where.inputs.flatten()[:4].tolist() == [0.0, 2.0, 0.0, 2.0]
    mixed = Evidence((late([0.0, 1.0]), late()))
    with pytest.raises(DataError, match="some do not"):
        setting(mixed, 4)


@pytest.mark.parametrize("most", [1, 10])
def test_anchors_in_pieces_are_the_same_anchors(fields, tracks, simulator, monkeypatch, most):
    def judged(field, held):
        return Contraction(states=7).run(simulator(field), Evidence(held)).metrics

    cases = [(fields.Linear(SHEARED), tracks(3, 2)), (Driven(), (late([0.0, 3.0]),))]
    whole = [judged(*case) for case in cases]
    monkeypatch.setattr(tangent, "NUMBERS", most)
    seen = []
    real = tangent.Setting.some
    monkeypatch.setattr(
        tangent.Setting, "some", lambda self, which: seen.append(1) or real(self, which)
    )
    for case, before in zip(cases, whole, strict=True):
        for one, other in zip(judged(*case), before, strict=True):
            assert one.value == pytest.approx(other.value, abs=1e-12)
    assert len(seen) > 10
