"""Contraction: closed forms of the logarithmic norm, metrics that help, senseless ones refused."""

import math

import pytest

from simlearn import ConfigError, Evidence
from simlearn.integrators import Euler
from simlearn_checks.contraction import Contraction

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
    import simlearn
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
