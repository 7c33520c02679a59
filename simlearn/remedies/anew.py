"""Remedies as changes of the config that trained a simulator."""

from __future__ import annotations

from collections.abc import Callable

from simlearn.component import arguments, class_path
from simlearn.dynamics.base import Dynamics, HamiltonianField, Map, SplitField
from simlearn.integrators import RK4, ImplicitMidpoint, Leapfrog
from simlearn.integrators.base import Integrator
from simlearn.remedies.at_once import FINER
from simlearn.remedies.config import Config, arguments_of, name_of, part, spec
from simlearn.remedies.subject import Subject, Untried
from simlearn.stability.failure import Remedy
from simlearn.training.objective import Objective
from simlearn.training.stabilizer import Stabilizer

STRONGER = 3  # times as strong, as long, as many
STRENGTHS = ("scale", "kappa", "weight")  # arguments by which stabilizers are made stronger
ADAPTIVE = ("Adam", "AdamW", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta")
HORIZON, EPOCHS = 8, 100  # what a config takes that says nothing
OF_DESCENT = ("StableInitialization",)  # stabilizers whose work an adaptive optimizer undoes
DESCENT = 10  # times the step of an adaptive optimizer, for one that is not


def anew(remedy: Remedy, subject: Subject) -> tuple[str, Config]:
    """What the remedy changes, in words, and the changed config.

    Raises:
        ConfigError: It does not suit the config.
        Untried: It cannot be done by changing it.
    """
    change = CHANGES.get(remedy.action)
    if change is None:
        raise Untried(f"nobody knows how to change a config by {remedy.action!r}")
    config = subject.changed()
    return change(remedy.component, subject, config), config


def _stabilizer(name: str, subject: Subject, config: Config) -> str:
    """Add it; or make it stronger where it is there."""
    used = list(config["model"].get("stabilizers") or ())
    path = class_path(subject.find(name, Stabilizer))
    if name not in map(name_of, used):
        config["model"]["stabilizers"] = [*used, spec(path)]
        present = name_of(config["model"].get("optimizer")) or "Adam"
        if name in OF_DESCENT and present in ADAPTIVE:
            return f"add {name}, {_optimizer('SGD', subject, config)}"
        return f"add {name}"
    number = [name_of(one) for one in used].index(name)
    given = arguments_of(used[number])
    raised = {
        one: STRONGER * value
        for one in STRENGTHS
        if isinstance(value := given.get(one), int | float) and value > 0
    }
    if not raised:
        raise Untried("it is in the config already, with no strength given that could be raised")
    used[number] = spec(part(used[number]), {**given, **raised})
    config["model"]["stabilizers"] = used
    return f"{name}: " + ", ".join(f"{one} {value:g}" for one, value in raised.items())


def _integrator(name: str, subject: Subject, config: Config) -> str:
    """Put it in the place of the present one."""
    config["model"]["simulator"]["integrator"] = spec(class_path(subject.find(name, Integrator)))
    return f"integrator: {name}"


def _dynamics(name: str, subject: Subject, config: Config) -> str:
    """Put them in the place of the present ones, of the same size, with a scheme that suits."""
    simulator = config["model"]["simulator"]
    cls, old = subject.find(name, Dynamics), arguments_of(simulator["dynamics"])
    if config["model"].get("start") is not None:
        subject.needs_epochs()
        config["model"]["start"] = None
    takes = arguments(cls)
    given = {one: old[one] for one in ("width", "depth") if one in takes and old.get(one)}
    if "dim" in takes:
        given["dim"] = subject.dim
    simulator["dynamics"] = spec(class_path(cls), given)
    scheme = _scheme_for(cls, subject)
    simulator["integrator"] = None if scheme is None else spec(class_path(scheme))
    return f"dynamics: {name}" + ("" if scheme is None else f" with {scheme.__name__}")


def _scheme_for(cls: type[Dynamics], subject: Subject) -> type[Integrator] | None:
    """The present scheme, if it suits; else one that keeps what the dynamics keep."""
    if issubclass(cls, Map):
        return None
    energetic = issubclass(cls, HamiltonianField | SplitField)
    present = subject.simulator.integrator
    keeps = present is not None and (present.symplectic or not energetic)
    if present is not None and keeps and issubclass(cls, present.needs):
        return type(present)
    if issubclass(cls, SplitField):
        return Leapfrog
    return ImplicitMidpoint if energetic else RK4


def _objective(name: str, subject: Subject, config: Config) -> str:
    """Put it in the place of the present one; the same one looks further ahead."""
    subject.needs_epochs()
    path = class_path(subject.find(name, Objective))
    present = config["model"].get("objective")
    if name != (name_of(present) or "MultiStep"):  # what a config takes that names none
        config["model"]["objective"] = spec(path)
        return f"objective: {name}"
    given = arguments_of(present)
    longest = min(one.steps for one in subject.training()) - 1
    before = given.get("horizon", HORIZON)
    horizon = min(2 * before, longest)
    if horizon <= before:
        raise Untried(f"its horizon of {before} steps is as long as the training data")
    config["model"]["objective"] = spec(path, {**given, "horizon": horizon})
    return f"{name}: horizon {horizon}"


def _optimizer(name: str, subject: Subject, config: Config) -> str:
    """Put it in the place of the present one, with a step of about the same effect."""
    subject.needs_epochs()
    present = config["model"].get("optimizer")
    before, rate = name_of(present) or "Adam", arguments_of(present).get("lr", 1e-3)
    if before == name:
        raise Untried("it is in the config already")
    if (before in ADAPTIVE) != (name in ADAPTIVE):
        rate = rate / DESCENT if name in ADAPTIVE else rate * DESCENT
    config["model"]["optimizer"] = spec(f"torch.optim.{name}", {"lr": rate})
    return f"optimizer: {name}, lr {rate:g}"


def _dt(name: str, subject: Subject, config: Config) -> str:
    """A smaller step; data that are drawn are sampled as often."""
    simulator, data = config["model"]["simulator"], config["data"]
    objective = config["model"].get("objective")
    simulator["dt"] = simulator.get("dt", 1.0) / FINER
    told = f"dt: {simulator['dt']:g}"
    if data.get("generator") is None:
        if name_of(objective) in ("", "MultiStep", "OneStep"):
            raise Untried("steps are compared with samples, and a file has the samples it has")
        return told
    data["dt"] = data.get("dt", 0.1) / FINER
    data["steps"] = (data.get("steps", 200) - 1) * FINER + 1
    if name_of(objective) in ("", "MultiStep"):
        given = arguments_of(objective)
        given["horizon"] = given.get("horizon", HORIZON) * FINER
        config["model"]["objective"] = spec(part(objective) or "MultiStep", given)
    return f"{told}, and of the data"


def _train(name: str, subject: Subject, config: Config) -> str:
    """Train for longer."""
    subject.needs_epochs()
    trainer, told = config["trainer"], []
    if not {"max_epochs", "max_steps", "max_time"} & set(trainer):
        trainer["max_epochs"] = EPOCHS
    for one in ("max_epochs", "max_steps"):
        if trainer.get(one, -1) > 0:
            trainer[one] *= STRONGER
            told.append(f"{one}: {trainer[one]}")
    if not told:
        raise Untried("the config sets no number of epochs or steps")
    if config["model"].get("patience"):
        config["model"]["patience"] *= STRONGER
        told.append(f"patience: {config['model']['patience']}")
    return ", ".join(told)


def _data(name: str, subject: Subject, config: Config) -> str:
    """Draw more of them."""
    data = config["data"]
    if data.get("generator") is None:
        raise Untried("the data are a file: only you can bring more (--data.file)")
    data["count"] = STRONGER * data.get("count", 16)
    return f"{data['count']} trajectories"


CHANGES: dict[str, Callable[[str, Subject, Config], str]] = {
    "stabilizer": _stabilizer,
    "integrator": _integrator,
    "dynamics": _dynamics,
    "objective": _objective,
    "optimizer": _optimizer,
    "dt": _dt,
    "train": _train,
    "data": _data,
}
