"""Do trajectories keep an energy? One least-squares problem tells, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simlearn.state import Trajectory

LOSS = 0.03  # of the energy from start to end: more is friction


UNEXPLAINED = 0.1  # of the variance of v²/2 that no potential of degree 6 explains


def conserved(trajectories: Sequence[Trajectory]) -> tuple[bool, str]:
    """Whether some v²/2 + V(q) is constant along every trajectory, and the sentence that says so.

    V is a polynomial of degree 6 in every position (and, for several degrees of freedom, the
    squares of the other velocities have free weights); V and the energies of the trajectories are
    one least-squares problem. Energy is lost if its mean over the last fifth lies significantly
    below that over the first fifth.
    """
    usable = [one for one in trajectories if one.steps >= 10]
    if not usable:
        return False, "The trajectories are too short to see whether energy is kept."
    half = torch.cat([one.x[:, 0] for one in usable]).double()
    q, v = half.chunk(2, dim=-1)
    z = (q - q.mean(0)) / q.std(0).clamp_min(1e-300)
    owner = torch.cat([torch.full((one.steps,), k) for k, one in enumerate(usable)])
    energies = torch.nn.functional.one_hot(owner).double()
    kinetic = v[:, :1].square() / 2
    columns = [v[:, 1:].square() / 2, *(z**k for k in range(1, 7)), -energies]
    if z.shape[1] > 1:
        first, second = torch.triu_indices(z.shape[1], z.shape[1], 1)
        columns.insert(0, z[:, first] * z[:, second])
    design = torch.cat(columns, dim=1)
    solution = torch.linalg.lstsq(design, -kinetic, driver="gelsd").solution
    left = (kinetic + design @ solution)[:, 0]
    unexplained = float(left.var() / kinetic.var().clamp_min(1e-300))
    loss, error = _trend(left, kinetic[:, 0], [one.steps for one in usable])
    if loss < -LOSS and loss < -2 * error:
        told = f"loses {-loss:.1%} ± {error:.1%} of it along a trajectory"
        return False, f"The energy v²/2 + V(q) that fits best {told}: there is friction."
    if unexplained > UNEXPLAINED:
        return False, (
            f"No v²/2 + V(q) is constant along the trajectories ({unexplained:.0%} of the variance "
            "of v²/2 is left): forces depend on velocity or time, or the data are noisy."
        )
    return True, (
        f"v²/2 + V(q) is constant along every trajectory ({unexplained:.2%} of the variance left, "
        f"trend {loss:+.2%} ± {error:.2%}): no friction seen."
    )


def _trend(left: Tensor, kinetic: Tensor, lengths: Sequence[int]) -> tuple[float, float]:
    """Relative change of the energy from the first to the last fifth: mean, standard error."""
    found, at = [], 0
    for steps in lengths:
        fifth = max(1, steps // 5)
        part, scale = left[at : at + steps], 2 * kinetic[at : at + steps].mean()
        found.append((part[-fifth:].mean() - part[:fifth].mean()) / scale.clamp_min(1e-300))
        at += steps
    change = torch.stack(found)
    error = change.std() / len(change) ** 0.5 if len(change) > 1 else torch.tensor(0.0)
    return float(change.mean()), float(error)
