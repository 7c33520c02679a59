"""Trainings that are killed at random moments, resumed, and compared to the last bit.

``python -m tests.faults --kills 40`` prints how many deaths changed nothing.
"""

import collections
import csv
import hashlib
import random
import sys

from tests.faults.forks import served

ADAM = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 8}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4}}
  stabilizers: [Standardize, {class_path: NoiseInjection, init_args: {scale: 0.01}}]
  clip: 1.0
  patience: 20
  steps_per_call: 2
data: {generator: Pendulum, count: 8, steps: 41, dt: 0.1, batch_size: 8, held_out: 0.2}
trainer:
  max_epochs: 5
  callbacks: [{class_path: Checkpoints, init_args: {every_steps: EVERY}}]
"""
LBFGS = """
model:
  simulator:
    dynamics: {class_path: MLPField, init_args: {dim: 2, width: 4}}
    integrator: RK4
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4, optimize_starts: true}}
  stabilizers: [Standardize]
  optimizer: {class_path: torch.optim.LBFGS, init_args: {max_iter: 4, line_search_fn: strong_wolfe}}
  scheduler: {class_path: torch.optim.lr_scheduler.ReduceLROnPlateau, init_args: {patience: 0}}
  patience: 3
  steps_per_call: 2
data: {generator: Pendulum, count: 6, steps: 41, dt: 0.1, batch_size: 12, held_out: 0.2}
trainer:
  max_epochs: 5
  check_val_every_n_epoch: 2
  callbacks: [{class_path: Checkpoints, init_args: {every_steps: EVERY}}]
"""
CURRICULUM = """
model:
  simulator:
    dynamics: {class_path: SeparableEnergy, init_args: {dim: 2, width: 8}}
    integrator: Leapfrog
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 8, start: 1, grow_over: 4}}
  stabilizers: [{class_path: NoiseInjection, init_args: {scale: 0.01, epochs: 3}}]
  scheduler: {class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {T_max: 5}}
  steps_per_call: 2
data: {generator: Pendulum, count: 6, steps: 41, dt: 0.1, batch_size: 8, held_out: 0.2}
trainer:
  max_epochs: -1
  max_steps: 19
  val_check_interval: 0.5
  callbacks: [{class_path: Checkpoints, init_args: {every_steps: EVERY}}]
"""
# found in closed form, then trained: what the start found is not looked for again
LADDER = """
model:
  simulator:
    dynamics: {class_path: SeparableEnergy, init_args: {dim: 2, width: 8}}
    integrator: Leapfrog
    dt: 0.1
  objective: {class_path: MultiStep, init_args: {horizon: 4}}
  start: Ladder
  steps_per_call: 2
data: {generator: Pendulum, count: 8, steps: 41, dt: 0.1, batch_size: 16, held_out: 0.2}
trainer:
  max_epochs: 4
  callbacks: [{class_path: Checkpoints, init_args: {every_steps: EVERY}}]
"""
CONFIGS = {"adam": ADAM, "lbfgs": LBFGS, "curriculum": CURRICULUM, "ladder": LADDER}
PHASES = ("saving", "validation", "epoch end", "step", "metrics", "archive", "start", "anywhere")
WEIGHTS, METRICS = "runs/x/simulator/weights.safetensors", "runs/x/metrics.csv"
FIT = ("fit", "-c", "x.yaml")


def folder(path, name, every=1):
    path.mkdir()
    (path / "x.yaml").write_text(CONFIGS[name].replace("EVERY", str(every)))
    return path


def table(path):
    """metrics.csv to the last byte, less how long a closed form took."""
    text = (path / METRICS).read_text()
    if "seconds" not in text:
        return text
    return [
        {name: value for name, value in row.items() if "seconds" not in name}
        for row in csv.DictReader(text.splitlines())
    ]


def moment(rng, phase, whole):
    """The number of a random event of a phase."""
    spans = [(first, last) for name, first, last in whole["spans"] if name == phase]
    if phase == "start":
        spans = [(1, next(first for name, first, _ in whole["spans"] if name == "saving"))]
    return rng.randint(*(rng.choice(spans) if spans else (1, whole["events"])))


def trials(forks, place, name, kills, seed, phases):
    """Kill so often; after each death resume, perhaps die again. Each life is compared at its end.

    Yields:
        Where each death was, and what differs from a training that nobody killed: "" for nothing.
    """
    rng, number, died = random.Random(seed), 0, 0
    code, process = forks.run(folder(place / "whole", name), *FIT, counted=True)
    assert code == 0, process.said()
    whole = process.seen()
    while died < kills:
        here = folder(place / str(number), name, every=rng.choice([1, 1, 3]) if number else 1)
        phase = phases[number % len(phases)]
        number += 1
        deaths = []
        code, process = forks.run(here, *FIT, kill=moment(rng, phase, whole))
        while code == -9 and len(deaths) < 20:
            deaths.append(process.seen()["inside"])
            again = moment(rng, "anywhere", whole) if rng.random() < 0.4 else None
            code, process = forks.run(here, *FIT, "--resume", kill=again)
        died += len(deaths)
        yield deaths, differences(here, place / "whole") if code == 0 else process.said()


def differences(here, whole):
    """What a resumed training has in another way than the one that ran through."""
    if sha256(here / WEIGHTS) != sha256(whole / WEIGHTS):
        return "other weights"
    left = [path.name for path in (here / "runs/x").rglob(".*")]
    if left:
        return f"half-written files stayed: {left}"
    return "" if table(here) == table(whole) else "another metrics.csv"


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def count(kills, place):
    """Kill trainings of every config, say how many deaths changed no bit; 1 where one did."""
    total, same, phases = 0, 0, collections.Counter()
    with served() as forks:
        for number, name in enumerate(CONFIGS):
            share = kills // len(CONFIGS) + (number < kills % len(CONFIGS))
            (place / name).mkdir()
            for deaths, wrong in trials(forks, place / name, name, share, kills + number, PHASES):
                total += len(deaths)
                same += 0 if wrong else len(deaths)
                phases.update(inside[-1] if inside else "elsewhere" for inside in deaths)
                if wrong:
                    say(f"{name}, killed in {deaths}: {wrong}")
            say(f"{name}: {same} of {total} so far")
    say("killed in: " + ", ".join(f"{name} {n}" for name, n in phases.most_common()))
    say(f"{same} of {total} kills: bit-identical after simlearn fit --resume")
    return 0 if same == total >= kills else 1


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
