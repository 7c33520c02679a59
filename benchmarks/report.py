"""How long it takes to write a report of five checks, and how large it is.

python benchmarks/report.py
Writes benchmarks/results/report.json and report.md: CPU seconds of this process, all four files,
the import of matplotlib counted with the first report.
"""

import json
import pathlib
import re
import tempfile
import time
from collections.abc import Callable

import simlearn
from simlearn import Evidence, Report, Simulator
from simlearn.integrators import Euler, Leapfrog
from simlearn.stability import gate
from simlearn.training.fit import versions
from simlearn_checks import Bounded, EnergyDrift, ForecastError, MomentumDrift, StepHalving
from simlearn_mechanics import KeplerLaw, KeplerTwoBody, MassSpring, NBody, Pendulum, SpringChain

RESULTS = pathlib.Path(__file__).parent / "results"
ASKED, GIF_ASKED = 10.0, 600.0


def main() -> None:
    """Judge, write each report, and keep the numbers."""
    kept = [measured(name, make()) for name, make in CASES.items()]
    found = {"asked_cpu_seconds": ASKED, "versions": versions(), "reports": kept}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "report.json").write_text(json.dumps(found, indent=2) + "\n")
    (RESULTS / "report.md").write_text(table(found))
    print(table(found))


def judged(system: simlearn.System, simulator: Simulator, steps: int = 400) -> Report:
    """Five checks of a simulator against the truth of its system."""
    held = tuple(system.draw(range(2), simlearn.sample_times(steps, simulator.dt), 0))
    beside = {"the truth": Simulator(system.truth(), Leapfrog(), simulator.dt)}
    evidence = Evidence(held, held, truth=system.truth(), references=beside)
    checks = [
        ForecastError(steps - 2, limit=0.05),
        Bounded(2000, 3.0),
        EnergyDrift(2000),
        MomentumDrift(500),
        StepHalving(steps - 2),
    ]
    return simlearn.check(simulator, evidence, checks)


CASES: dict[str, Callable[[], Report]] = {
    "mass-spring, explicit Euler": lambda: judged(
        MassSpring(), Simulator(MassSpring().truth(), Euler(), 0.02)
    ),
    "pendulum, 5 % too long": lambda: judged(
        Pendulum(), Simulator(Pendulum(length=1.05).truth(), Leapfrog(), 0.05)
    ),
    "Kepler, 5 % too heavy": lambda: judged(
        KeplerTwoBody(), Simulator(KeplerLaw(1.05), Leapfrog(), 0.02)
    ),
    "spring chain, truth": lambda: judged(
        SpringChain(), Simulator(SpringChain().truth(), Leapfrog(), 0.05)
    ),
    "five bodies, truth": lambda: judged(NBody(), Simulator(NBody().truth(), Leapfrog(), 0.005)),
}


def measured(name: str, report: Report) -> dict:
    """CPU seconds and sizes of one report."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        files = gate.write(report, folder)
        spent = time.process_time() - began
        page = files["report.html"].read_text()
    gifs = [len(text) * 3 / 4e3 for text in re.findall(r"image/gif;base64,([^\"]+)", page)]
    return {
        "report": name,
        "cpu_seconds": round(spent, 2),
        "pictures": page.count("<figure>"),
        "html_kilobytes": round(len(page.encode()) / 1e3),
        "gif_kilobytes": round(max(gifs, default=0.0)),
    }


def table(found: dict) -> str:
    """The numbers as Markdown."""
    lines = [
        "# Writing a report of five checks",
        "",
        f"Asked: {ASKED:g} s, a GIF of at most {GIF_ASKED:g} kB. Without the checks.",
        "",
        "| report | CPU s | pictures | report.html / kB | GIF / kB |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in found["reports"]:
        lines.append("| " + " | ".join(str(value) for value in row.values()) + " |")
    told = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return "\n".join([*lines, "", f"Versions: {told}.", ""])


if __name__ == "__main__":
    main()
