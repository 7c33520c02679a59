"""A power grid is learned whole, then forecast after it lost a line: each time a graph never seen.

The swing equation on the IEEE 118-bus grid, six disturbances of 0.05 s, learned in closed form.
Then lines are lost one at a time, while the grid stands at its operating point, and the forecast of
the angles is held against the true equation. Needs pandapower: pip install 'simlearn[powergrid]'.

    python examples/line_removal.py [BUS-BUS ...]

prints a line for each loss; about a minute of CPU on one core.
"""

import sys
import time

import torch

import simlearn
from simlearn_networks import PowerGrid

DT, DURATION = 0.025, 3.0
LOST = ("8-30", "26-30", "42-49", "89-90", "5-8")  # from a small disturbance to the largest


@torch.no_grad()
def forecast(simulator, pair):
    """Largest error of an angle, how far angles moved, and whether any left what was seen."""
    grid = PowerGrid(118, without=[pair], angle=0.0, speed=0.0)
    times = simlearn.sample_times(round(DURATION / DT) + 1, DT)
    (truth,) = grid.draw(range(1), times, seed=0)
    rolled = simulator.rollout(truth.x[0], truth.steps - 1, truth.topology)
    error = (rolled.x - truth.x)[..., 0].abs().max()
    moved = (truth.x - truth.x[0])[..., 0].abs().max()
    outside = simulator.dynamics.outside(truth.x.flatten(0, 1), truth.topology.repeat(truth.steps))
    return float(error), float(moved), bool(outside.any())


def main():
    """Learn once, lose one line after another."""
    torch.set_num_threads(1)  # tensors are too small to be shared
    pairs = [[int(bus) for bus in word.split("-")] for word in sys.argv[1:] or LOST]
    began = time.process_time()
    data = list(PowerGrid(118).draw(range(6), simlearn.sample_times(21, 0.0025), seed=0))
    drawn = time.process_time()
    learned = simlearn.network_ladder(data, weight=0, angles=[0], node=[0, 1, 2])
    ladder = learned.provenance["ladder"]
    print(
        f"data {drawn - began:.1f} CPU-s, learned in {time.process_time() - drawn:.1f} CPU-s: "
        f"{ladder['choice']}, rollouts {ladder['rungs'][-1]['error']:.1e} off"
    )
    print(f"{'lost':>8}  {'angles move':>12}  {'largest error':>13}  outside the training")
    for pair in pairs:
        error, moved, outside = forecast(learned.with_step(DT), pair)
        name = "-".join(map(str, pair))
        print(f"{name:>8}  {moved:8.3f} rad  {error:9.1e} rad  {'yes' if outside else 'no'}")


if __name__ == "__main__":
    main()
