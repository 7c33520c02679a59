"""A process started by "spawn", to which components are sent and where they are used.

The workers are started once and shared by all cases of a test run: a start costs as much as
importing torch. Each job brings the present import path along.
"""

from __future__ import annotations

import functools
import io
import multiprocessing
import pickle
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from typing import Any

import torch

from simlearn.component import Component, SimlearnError, describe
from simlearn.data.generate import DatasetGenerator, sample_times
from simlearn.dynamics.base import Dynamics
from simlearn.integrators.base import Integrator
from simlearn.stability.check import Check
from simlearn.stability.evidence import Evidence
from simlearn.state import Trajectory
from simlearn.testing.cases import SEED, derivative, rng, sample, simulator_of, wave
from simlearn.testing.fields import TrialOscillator, TrialRunaway
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer
from simlearn.training.start import Start

PATIENCE = 120.0  # seconds that a worker may take, its start included


def here(component: Component) -> bytes:
    """What the component answers when it is used in a small case of its kind, as bytes."""
    return _bytes(_used(pickle.loads(_pickled(component))))


def elsewhere(component: Component) -> bytes:
    """The same in another process."""
    return _result(_send(0, _use, _pickled(component)))


def drawn_elsewhere(generator: DatasetGenerator, parts: Iterable[range], steps: int) -> list[bytes]:
    """Trajectories of ranges of indices, each range drawn in a process of its own."""
    payload = _pickled(generator)
    jobs = [_send(k, _draw, payload, part, steps) for k, part in enumerate(parts)]
    return [_result(job) for job in jobs]


def drawn_here(generator: DatasetGenerator, part: range, steps: int) -> bytes:
    """Trajectories of a range of indices as bytes."""
    return b"".join(map(_told, generator.draw(part, sample_times(steps, 0.05), SEED)))


@functools.cache
def _worker(number: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _pickled(component: Component) -> bytes:
    try:
        return pickle.dumps(component)
    except Exception as error:
        raise AssertionError(
            f"{type(component).__name__} cannot be sent to another process: {error}. Keep lambdas, "
            "open files and locks out of its attributes."
        ) from error


def _send(number: int, job: Callable[..., bytes], payload: bytes, *rest: Any) -> Future[Any]:
    try:
        return _worker(number).submit(
            _answer, sys.path, torch.get_num_threads(), job, payload, rest
        )
    except BrokenExecutor:
        _worker.cache_clear()
        raise


def _result(job: Future[Any]) -> bytes:
    try:
        good, answer = job.result(PATIENCE)
    except (BrokenExecutor, TimeoutError) as error:
        _worker.cache_clear()
        raise AssertionError(f"the other process died or hung: {type(error).__name__}") from error
    assert good, answer
    return answer


def _answer(
    path: list[str], threads: int, job: Callable[..., bytes], payload: bytes, rest: tuple[Any, ...]
) -> tuple[bool, Any]:
    """Runs in the other process; whatever goes wrong there comes back as a message."""
    sys.path[:] = path
    torch.set_num_threads(threads)
    try:
        component = pickle.loads(payload)
    except (ImportError, AttributeError) as error:
        return False, (
            f"another process cannot import it: {error}. Put the class at the top level of a "
            "module on the import path; a test file is none under pytest's importlib mode."
        )
    except Exception as error:
        return False, f"it does not unpickle elsewhere: {type(error).__name__}: {error}"
    try:
        return True, job(component, *rest)
    except Exception as error:
        return False, f"it failed in another process: {type(error).__name__}: {error}"


def _use(component: Component) -> bytes:
    return _bytes(_used(component))


def _draw(generator: DatasetGenerator, part: range, steps: int) -> bytes:
    return drawn_here(generator, part, steps)


def _bytes(values: Iterable[Any]) -> bytes:
    """Tensors by their bytes, anything else by its text."""
    told = io.BytesIO()
    for value in values:
        is_tensor = isinstance(value, torch.Tensor)
        told.write(value.detach().numpy().tobytes() if is_tensor else repr(value).encode())
    return told.getvalue()


def _told(one: Trajectory) -> bytes:
    found = [one.t, one.x, one.derivative, one.inputs, one.topology.graph.edge_index]
    return _bytes([*found, one.topology.edge_attr, one.topology.node_attr])


def _used(component: Component) -> Iterable[Any]:
    """Use the component as its kind is used."""
    use = next(use for kind, use in _USES if isinstance(component, kind))
    try:
        return use(component)
    except SimlearnError as refusal:
        return [str(refusal)]


def _moves(one: Dynamics) -> Iterable[Any]:
    return [derivative(one.double(), *sample(one))]


def _steps(one: Integrator) -> Iterable[Any]:
    from simlearn.testing.integrators import field_for

    field = field_for(one)
    x, topology = sample(field)
    return [one.step(field, 0.0, x, 0.1, topology, one.start(field, 0.0, x, topology))[0]]


def _draws(one: DatasetGenerator) -> Iterable[Any]:
    """What it is; what it draws elsewhere `workers_draw_the_same_bytes` compares."""
    return [describe(one)]


def _loses(one: Objective) -> Iterable[Any]:
    track = wave(40)
    one.prepare([track])
    simulator = simulator_of(TrialOscillator(), 0.1)
    return [one.loss(simulator, track.slice(0, one.length([track])))]


def _solves(one: Start) -> Iterable[Any]:
    """Six digits of how it moves afterwards: solvers round as their memory happens to lie."""
    from simlearn.testing.starts import CASES, learner, moved

    for make in CASES:
        simulator, training = learner(make)
        try:
            one.solve(simulator, training)
        except SimlearnError as refusal:
            yield str(refusal)
        else:
            yield describe(simulator.dynamics)
            yield [f"{value:.5e}" for value in moved(simulator, training[0]).flatten().tolist()]


def _perturbs(one: Stabilizer) -> Iterable[Any]:
    return [one.bias, one.perturb(wave(9), simulator_of(TrialOscillator(), 0.1), rng()).x]


def _judges(one: Check) -> Iterable[Any]:
    finding = one.run(simulator_of(TrialRunaway(), 0.1), Evidence((wave(40),), (wave(40),)))
    return [finding.verdict, finding.summary, *finding.metrics]


_USES: tuple[tuple[type, Callable[[Any], Iterable[Any]]], ...] = (
    (Dynamics, _moves),
    (Integrator, _steps),
    (DatasetGenerator, _draws),
    (Objective, _loses),
    (Start, _solves),
    (Stabilizer, _perturbs),
    (Check, _judges),
)
