"""The published schema of report.json: real reports fit it, and it hides no field."""

import copy
import json
import math
import pathlib
from importlib import resources

import jsonschema
import pytest

import simlearn
from simlearn import Evidence, Finding, Metric, Simulator
from simlearn.integrators import Euler, Leapfrog
from simlearn.stability.report import Item, Regression, Report
from simlearn_checks import Bounded, EnergyDrift, ForceLaw, ForecastError, UnlearnableDirections
from simlearn_mechanics import MassSpring, MassSpringLaw

ROOT = pathlib.Path(__file__).parents[2]
SHIPPED = resources.files("simlearn.stability") / "report.schema.json"
SCHEMA = json.loads(SHIPPED.read_text(encoding="utf-8"))
OPEN = ("arguments", "details", "provenance")  # whatever a check, an archive or a dataset keeps


def strict(schema):
    """The schema that allows no field it does not describe."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: value if key in OPEN else strict(value) for key, value in schema.items()}
    if "properties" in schema and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


def fits(report):
    body = json.loads(report.to_json())
    jsonschema.Draft202012Validator(SCHEMA).validate(body)
    jsonschema.Draft202012Validator(strict(SCHEMA)).validate(body)
    return body


def judged(integrator, checks):
    held = tuple(MassSpring().draw(range(3), simlearn.sample_times(400, 0.1), 0))
    one = Simulator(MassSpringLaw(), integrator, 0.1)
    evidence = Evidence(
        held_out=held,
        training=held,
        truth=MassSpringLaw(),
        references={"coarse": Simulator(MassSpringLaw(), integrator, 0.2)},
    )
    return simlearn.check(one, evidence, checks, provenance={"held_out": {"digest": "d" * 64}})


def test_the_published_copy_is_the_shipped_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    published = ROOT / "docs/report.schema.json"
    assert published.read_bytes() == SHIPPED.read_bytes()


@pytest.mark.parametrize("integrator", [Leapfrog(), Euler()])
def test_reports_of_real_checks_fit(integrator):
    checks = [
        Bounded(2000, 1.5),
        EnergyDrift(4000),
        ForecastError(300, limit=0.2),
        ForceLaw(),
        UnlearnableDirections(20, anchors=4),
    ]
    report = judged(integrator, checks)
    body = fits(report)
    assert body["checks"][3]["verdict"] == "not_applicable"
    assert set(body["checks"][0]["metrics"][0]["references"]) == {"coarse"}
    values = [m["value"] for c in body["checks"] for m in c["metrics"]]
    assert ("inf" in values) is isinstance(integrator, Euler)


def test_reports_of_numbers_that_are_none_and_of_regressions_fit():
    metrics = (Metric("a", math.nan), Metric("b", -math.inf, math.inf, noise=math.inf))
    found = Item("x", {"limit": math.inf}, Finding.of(metrics, ""))
    worse = Regression("x", {}, "a", math.nan, 1.0, 0.5, "min", "AU", "warning")
    body = fits(Report("s", "t", (found,), regressions=(worse,)))
    assert body["regressions"][0]["value"] == "nan"
    assert fits(Report("s", "t", ()))["verdict"] == "fail"


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("verdict", "passed"), ("schema", 2), ("checks", {}), ("regressions", None), ("suite", 3)],
)
def test_the_schema_refuses_what_is_no_report(field, wrong):
    body = json.loads(Report("s", "t", ()).to_json())
    for broken in ({**body, field: wrong}, {k: v for k, v in body.items() if k != field}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.Draft202012Validator(SCHEMA).validate(broken)


def test_a_field_that_a_later_simlearn_adds_does_not_break_readers():
    body = {**json.loads(Report("s", "t", ()).to_json()), "more": 1}
    jsonschema.Draft202012Validator(SCHEMA).validate(copy.deepcopy(body))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(strict(SCHEMA)).validate(body)
