"""What is asked of checks."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from simlearn.component import SimlearnError
from simlearn.dynamics.neural import MLPField
from simlearn.simulator import Simulator
from simlearn.stability.check import Check
from simlearn.stability.evidence import Evidence
from simlearn.stability.finding import Finding
from simlearn.testing.cases import SEED, examples, simulator_of, wave
from simlearn.testing.fields import TrialRunaway, TrialSpring

STEPS = 1200  # states of the evidence: enough for the horizon of a thousand that is usual


@dataclass(frozen=True)
class Heard:
    """What a check said of a simulator, asked twice, and what it did to it.

    Attributes:
        first: Its finding, or its refusal.
        second: The same, asked again with fresh evidence.
        before: The weights before, and whether they are trained.
        after: The same afterwards.
        drew: Whether the global generator moved.
    """

    first: Finding | SimlearnError
    second: Finding | SimlearnError
    before: dict[str, Tensor]
    after: dict[str, Tensor]
    drew: bool


@functools.cache
def _heard(cls: type[Check]) -> list[Heard]:
    """Each example on small sound simulators; long rollouts, so done once for all aspects."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        fields = [TrialSpring(), MLPField(dim=2, width=4)]
    sound = [simulator_of(field.double().requires_grad_(False), 0.1) for field in fields]
    return [_ask(one, simulator) for one in examples(cls) for simulator in sound]


def _ask(one: Check, simulator: Simulator) -> Heard:
    before, state = _state(simulator), torch.random.get_rng_state()
    first, second = _run(one, simulator), _run(one, simulator)
    drew = not torch.equal(state, torch.random.get_rng_state())
    return Heard(first, second, before, _state(simulator), drew)


def _run(one: Check, simulator: Simulator) -> Finding | SimlearnError:
    track = wave(STEPS)
    try:
        return one.run(simulator, Evidence((track,), (track.slice(0, 400),)))
    except SimlearnError as refusal:  # it asks for evidence that this small case does not have
        return refusal


def _state(simulator: Simulator) -> dict[str, Tensor]:
    state = {name: value.clone() for name, value in simulator.state_dict().items()}
    flags = [simulator.training, *(p.requires_grad for p in simulator.parameters())]
    return {**state, "flags": torch.tensor(flags), "dt": torch.tensor(simulator.dt)}


def judges_or_declines(cls: type[Check]) -> None:
    """It finds something on a small sound simulator, or says why it does not apply."""
    for heard in _heard(cls):
        if isinstance(heard.first, Finding):
            assert heard.first.verdict in ("pass", "fail", "not_applicable")
            assert heard.first.summary, "a finding says in a paragraph what was found"
        else:
            assert str(heard.first), "a refusal says what is missing"


def leaves_the_simulator_alone(cls: type[Check]) -> None:
    """After `run` the weights, their flags and the step are what they were; nothing was drawn."""
    for heard in _heard(cls):
        assert heard.before.keys() == heard.after.keys()
        for name, value in heard.before.items():
            assert torch.equal(value, heard.after[name]), f"run changed {name} of the simulator"
        assert not heard.drew, "run drew from the global generator; use evidence.seed"


def is_repeatable(cls: type[Check]) -> None:
    """Asked twice with the same evidence, it says the same."""
    for heard in _heard(cls):
        assert _words(heard.first) == _words(heard.second)


def _words(said: Finding | SimlearnError) -> str:
    if isinstance(said, Finding):
        return repr((said.verdict, said.metrics, said.summary))
    return str(said)


def names_its_metrics(cls: type[Check]) -> None:
    """Metrics have names of their own, and one that fails or is no number forbids a pass."""
    for heard in _heard(cls):
        if not isinstance(heard.first, Finding):
            continue
        names = [metric.name for metric in heard.first.metrics]
        assert all(names), "a metric without a name"
        assert len(set(names)) == len(names), f"metrics share a name: {names}"
        if heard.first.verdict == "pass":
            assert names, "a pass without a single metric shows nothing"
            for metric in heard.first.metrics:
                assert metric.passed, f"passed, although {metric.name} is {metric.value}"


def never_passes_a_broken_simulator(cls: type[Check]) -> None:
    """A rollout of NaN, or one that blows up, is never a pass; only a SimlearnError is raised."""
    track = wave(STEPS)
    for force in (50.0, math.nan):
        simulator = simulator_of(TrialRunaway(force), 0.1)
        for one in examples(cls):
            try:
                finding = one.run(simulator, Evidence((track,), (track.slice(0, 400),)))
            except SimlearnError:
                continue
            assert finding.verdict != "pass", (
                f"{cls.__name__} passes a simulator whose rollout "
                f"{'is NaN' if math.isnan(force) else 'blows up'}: {finding.summary}"
            )
