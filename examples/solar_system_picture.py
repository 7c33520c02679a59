"""The picture of the README, from the runs that `make demo` leaves behind.

python examples/solar_system_picture.py RUN NEWTON NEURAL_ODE docs/img/solar-system.png
"""

import sys

from matplotlib.figure import Figure

import simlearn
from simlearn.archive import estimates
from simlearn.stability.draw import draw
from simlearn_checks import EnergyDrift, ForceLaw, ForecastError, MassEstimates

KNOWN = {
    "mercury": 6023600.0,
    "venus": 408523.71,
    "earth-moon-barycenter": 328900.56,
    "mars": 3098708.0,
    "jupiter": 1047.3486,
    "saturn": 3497.898,
    "uranus": 22902.98,
    "neptune": 19412.24,
}


def main(run: str, newton: str, neural_ode: str, out: str) -> None:
    """Judge once more and draw six pictures side by side."""
    simulator = simlearn.load(run)
    evidence = simlearn.Evidence(
        held_out=simlearn.read("runs/data/solar-system-test.h5").trajectories,
        training=simlearn.read("runs/data/solar-system-train.h5").trajectories,
        references={
            "Newton, published masses": simlearn.load(newton),
            "neural ODE": simlearn.load(neural_ode),
        },
        estimates=estimates(simulator),
        units={"time": "days", "position": "AU"},
        processes=2,
    )
    checks = [
        ForecastError(3652, limit=1.0, origin="sun"),
        EnergyDrift(365_250),
        ForceLaw(),
        MassEstimates(KNOWN),
    ]
    report = simlearn.check(simulator, evidence, checks, tell=print)
    curves = {t: c for item in report.items for t, c in item.finding.curves.items()}
    figure = Figure(figsize=(21, 10), layout="constrained")
    for axes, (title, curve) in zip(figure.subplots(2, 3).flat, curves.items(), strict=True):
        draw(curve, axes)
        axes.set_title(title)
    figure.savefig(out, dpi=70)


if __name__ == "__main__":
    main(*sys.argv[1:])
