"""Causes of a failure follow from what was looked at, and remedies from causes."""

import copy
import json
import pickle
import re
from dataclasses import replace

import pytest
import torch

import simlearn
from simlearn import Evidence, Finding, Metric, Place, Remedy, Simulator, Topology, Trajectory
from simlearn.dynamics import HenonMap, MLPField
from simlearn.integrators import RK4, DormandPrince, Euler, ImplicitMidpoint, Leapfrog
from simlearn_checks import Bounded, Divergence, EnergyDrift, ForecastError, StepHalving, remedies
from simlearn_checks.causes import box_of, first_outside
from simlearn_mechanics import DoublePendulum, MassSpring, MassSpringLaw


def held(steps=200, count=2, dt=0.1, **more):
    data = tuple(MassSpring().draw(range(count), simlearn.sample_times(steps, dt), 0))
    return Evidence(data, **more)


def spring(scheme, dt=0.1):
    return Simulator(MassSpringLaw(), scheme, dt)


def flat(columns, steps=60, dt=0.1):
    """A circle in the first two of some columns."""
    t = dt * torch.arange(steps, dtype=torch.float64)
    x = torch.zeros(steps, 1, columns, dtype=torch.float64)
    x[:, 0, 0], x[:, 0, 1] = t.sin(), t.cos()
    return Trajectory(t, x, Topology.isolated(1))


def test_a_step_that_is_too_large_is_found_by_half_of_it():
    """Leapfrog of a spring is stable for steps below 2."""
    found = Bounded(200, 3.0).run(spring(Leapfrog(), 2.5), held())
    assert found.verdict == "fail"
    assert found.causes[0].startswith("The step is too large: with half of it")
    assert "beyond all bounds" in found.causes[0]
    assert found.remedies[:2] == (
        "Take a scheme of higher order (Yoshida4), and train with it.",
        remedies.SMALLER_STEP,
    )


def test_a_step_that_does_not_matter_is_ruled_out_and_advised_last(fields, simulator):
    escaping = simulator(fields.Escaping(-0.5), 0.1)
    found = Bounded(100, 3.0).run(escaping, Evidence((flat(2),)))
    assert found.verdict == "fail"
    assert found.causes == (
        "It left the range of the held-out data, and every bound, at once after t = 0.",
        "The step is not the cause: with half of it the largest component over data is 5 instead "
        "of beyond all bounds.",
    )
    assert found.remedies[0] == remedies.NOISE
    assert found.remedies[-1] == remedies.SMALLER_STEP


def test_where_it_leaves_the_training_data_is_told_by_step_and_column():
    class Drifting(simlearn.VectorField):
        def forward(self, t, x, topology):
            return torch.tensor([0.0, 0.2], dtype=torch.float64).expand_as(x)

    drifting = Simulator(Drifting(), RK4(), 0.1)
    drifting.provenance = {"training": {"low": [-2.0, -2.0], "high": [2.0, 2.0]}}
    found = Bounded(200, 2.0).run(drifting, Evidence((flat(2),)))
    # 1 + 0.02 k passes 2 + 5 % of 4, within rounding, at step 60
    assert "left the range of the training data at step 60 (t = 6), first in column 1" in str(
        found.causes
    )
    assert found.worst.column == 1


def test_a_start_outside_of_the_training_data_is_extrapolation_at_once():
    far = replace(flat(2), x=3 * flat(2).x)
    data = Evidence((far,), training=(flat(2),))
    found = ForecastError(50, limit=1e-9).run(spring(Euler()), data)
    assert any("its start lies outside the range of the training data" in c for c in found.causes)
    assert remedies.WIDER_DATA in found.remedies


def test_inside_the_training_data_it_is_no_extrapolation():
    data = Evidence((flat(2),), training=(replace(flat(2), x=5 * flat(2).x),))
    found = ForecastError(50, limit=1e-9).run(spring(Euler()), data)
    assert found.causes[-1] == (
        "It never left the range of the training data, so this is no extrapolation."
    )


@pytest.mark.parametrize("known", ["training", "second moment"])
def test_directions_without_data_are_found_behind_a_failure(known):
    """The third column is zero in the data, and grows."""

    class Lifting(simlearn.VectorField):
        def forward(self, t, x, topology):
            return torch.stack([x[..., 1], -x[..., 0], 0.3 + 0 * x[..., 2]], -1)

    lifting, one = Simulator(Lifting(), RK4(), 0.1), flat(3)
    moment = (one.x[:, 0].T @ one.x[:, 0] / one.steps).tolist()
    data = Evidence((one,), training=(one,) if known == "training" else ())
    if known == "second moment":
        lifting.provenance = {"training": {"second_moment": moment}}
    found = Bounded(200, 2.0).run(lifting, data)
    assert found.causes[0].startswith("The training data carry no energy in 1 of 3 directions")
    assert "lies in these" in found.causes[0]
    assert found.remedies[0] == remedies.PROJECTION


def test_noise_of_the_data_is_told():
    rng = torch.Generator().manual_seed(0)
    one = flat(2, 400)
    dirty = replace(one, x=one.x + 0.05 * torch.randn(one.x.shape, generator=rng).double())
    found = ForecastError(50, limit=1e-6).run(spring(Leapfrog()), Evidence((one,), (dirty,)))
    told = re.search("training data carry noise of about ([0-9.]+)", " ".join(found.causes))
    assert float(told[1]) == pytest.approx(0.05 / 0.5**0.5, rel=0.15)


@pytest.mark.parametrize(
    ("scheme", "component"), [(RK4(), "Leapfrog"), (Leapfrog(), ""), (ImplicitMidpoint(), "")]
)
def test_a_scheme_that_loses_energy_is_named(scheme, component):
    found = EnergyDrift(8000).run(spring(scheme, 0.5), held(truth=MassSpringLaw()))
    named = [one.component for one in found.remedies if isinstance(one, Remedy)]
    assert ("Leapfrog" in named) is (component == "Leapfrog")
    assert any("is not symplectic" in cause for cause in found.causes) is bool(component)


def test_a_field_without_energy_of_its_own_is_named():
    plain = Simulator(MLPField(dim=2, width=4).double(), RK4(), 0.1)
    found = EnergyDrift(400).run(plain, held(truth=MassSpringLaw()))
    assert found.verdict == "fail"
    assert found.causes == (
        "MLPField has no energy of its own: nothing in it keeps the one that the truth has.",
    )
    assert found.remedies[0].component == "SeparableEnergy"


def test_the_worst_start_is_named_drawn_and_explained():
    good, bad = flat(2), replace(flat(2), x=flat(2).x.roll(7, 0))
    data = Evidence((good, bad, good))
    found = ForecastError(40, limit=0.01, starts=3, at="max").run(spring(RK4()), data)
    turned = spring(RK4()).rollout(bad.x[0], 40)
    apart = (turned.x - bad.x[:41])[:, 0, :1].norm(dim=-1)
    assert found.worst.trajectory == 1
    assert found.worst.step == int(apart.argmax())
    assert found.metrics[0].value == pytest.approx(float(apart.max()), rel=1e-9)
    growth = found.curves["Growth of the error"].lines[0]
    assert max(growth.y) == pytest.approx(found.metrics[0].value, rel=1e-9)


def test_the_first_start_to_be_lost_is_named(fields, simulator):
    x = torch.zeros(40, 1, 2, dtype=torch.float64)
    tracks = [flat(2), Trajectory(flat(2).t[:40], x + 0.45, Topology.isolated(1))]
    slow = simulator(fields.Escaping(0.4), 0.1)
    found = Divergence(60, starts=80, factor=2.0, noise=0.0, limit=0.1).run(slow, Evidence(tracks))
    assert found.verdict == "fail"
    assert found.worst.step == 1, "what begins beyond the border is gone in a step"


def test_a_map_has_no_step_to_take_smaller():
    found = Bounded(50, 1.01).run(Simulator(HenonMap()), Evidence((flat(2),)))
    assert found.verdict == "fail"
    assert not any("step" in cause[:10] for cause in found.causes)
    assert remedies.SMALLER_STEP not in found.remedies


def test_a_scheme_with_steps_of_its_own_has_tolerances():
    simulator = Simulator(MassSpringLaw(), DormandPrince(rtol=1e-1, atol=1e-1), 0.5)
    found = StepHalving(100, limit=1e-12).run(simulator, held())
    assert found.causes == ("DormandPrince chooses its own steps: its tolerance is too wide.",)
    assert found.remedies == ("Give DormandPrince smaller tolerances (rtol, atol).",)


def test_a_passing_check_looks_for_no_cause():
    for check in (Bounded(50), ForecastError(50, limit=9.0), EnergyDrift(500)):
        found = check.run(spring(Leapfrog()), held(truth=MassSpringLaw()))
        assert found.verdict == "pass"
        assert found.causes == ()


def test_rows_are_named_where_there_are_several():
    (one,) = DoublePendulum().draw(range(1), simlearn.sample_times(40, 0.05), 0)
    x = torch.cat([one.x, 2 * one.x], 1)
    two = Trajectory(one.t, x, Topology.complete(2, ("inner", "outer")))

    class Still(simlearn.VectorField):
        def forward(self, t, x, topology):
            return 0 * x

    found = ForecastError(30, limit=1e-3).run(Simulator(Still(), RK4(), 0.05), Evidence((two,)))
    assert found.worst.row == "outer"


def test_the_first_state_outside_a_box():
    low, high = torch.zeros(2), torch.tensor([1.0, 0.0])
    x = torch.tensor([[[0.5, 0.0]], [[1.04, 0.04]], [[1.2, 0.9]]])
    assert first_outside(x, low, high) == (2, 0, 1)
    assert first_outside(x[:2], low, high) is None
    assert first_outside(x[:1] * torch.nan, low, high) == (0, 0, 0)
    assert box_of(Simulator(HenonMap()), Evidence((flat(2),)))[2] == "the held-out data"


def test_a_remedy_is_a_sentence_with_what_a_program_can_do():
    one = Remedy("Inject noise.", "stabilizer", "NoiseInjection")
    assert one == "Inject noise."
    assert json.dumps([one]) == '["Inject noise."]'
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert (other, other.action, other.component) == (one, "stabilizer", "NoiseInjection")
    assert one.told() == {
        "action": "stabilizer",
        "component": "NoiseInjection",
        "remedy": "Inject noise.",
    }
    assert Finding.of([Metric("a", 2.0, 1.0)], "", None, ("do", one)).remedies == ("do", one)


def test_remedies_are_ranked_and_none_is_given_twice():
    again = Remedy("Add NoiseInjection.", "stabilizer", "NoiseInjection")
    found = remedies.ranked([again, "Look."], [remedies.NOISE, "Look.", remedies.LONGER])
    assert found == (again, "Look.", remedies.LONGER)


def test_a_place_says_what_applies_only():
    assert (
        str(Place(2, 31, 3.1, "sun", 1)) == "held-out trajectory 2, step 31, t = 3.1, sun, column 1"
    )
    assert str(Place(time=0.0)) == "t = 0"
    assert Place(0, 0, column=0).told() == {"trajectory": 0, "step": 0, "column": 0}
    assert Place().told() == {}


def test_every_remedy_of_the_plugin_names_what_there_is():
    """Actions by program need a component that the catalog, or torch, knows."""
    known = {cls.__name__ for cls in simlearn.components()} | set(dir(torch.optim))
    schemes = (RK4(), Leapfrog(), Euler(), None)
    fields = (MassSpringLaw(), MLPField(dim=2, width=2))
    advised = [one for one in vars(remedies).values() if isinstance(one, Remedy)]
    for scheme in schemes:
        for field in fields:
            if scheme is None or isinstance(field, scheme.needs):
                made = Simulator(HenonMap()) if scheme is None else Simulator(field, scheme, 0.1)
                advised += [*remedies.symplectic(made), *remedies.finer(made)]
    asked = {one.component for one in advised if isinstance(one, Remedy) and one.component}
    assert asked <= known
    assert {"Leapfrog", "SeparableEnergy", "Yoshida4", "NoiseInjection", "HenonNet"} <= asked
