"""Do trajectories keep an energy? One least-squares problem tells, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from simlearn.state import Trajectory

ENOUGH = 200  # trajectories that are looked at
LOSS = 0.03  # of the energy from start to end: more is friction
# of the variance of v²/2 that no potential explains: with several degrees of freedom a small rest
# is already the mark of a kinetic energy that depends on the position
UNEXPLAINED = {1: 0.1, 2: 0.02}


def conserved(trajectories: Sequence[Trajectory]) -> tuple[bool, str]:
    """Whether some v²/2 + V(q) is constant along every trajectory, and the sentence that says so.

    V is a polynomial of degree 6 (of degree 4 or 2 where positions have many components), with
    1/|q| and log|q| beside it in the plane and in space; squares of the other velocities have free
    weights. V and the energies of the trajectories (200 at most) are one least-squares problem.
    Energy is lost if its mean over the last fifth lies significantly below that over the first.
    """
    usable = [one for one in trajectories if one.steps >= 10][:ENOUGH]
    if not usable:
        return False, "The trajectories are too short to see whether energy is kept."
    half = torch.cat([one.x[:, 0] for one in usable]).double()
    q, v = half.chunk(2, dim=-1)
    lengths = [one.steps for one in usable]
    kinetic = v[:, :1].square() / 2
    # the energy of a trajectory is its mean: taken off, no unknown is left for it
    design = _without_means(torch.cat([v[:, 1:].square() / 2, _shapes(q)], dim=1), lengths)
    target = _without_means(kinetic, lengths)
    solution = torch.linalg.lstsq(design, -target, driver="gelsd").solution
    left = (target + design @ solution)[:, 0]
    unexplained = float(left.var() / target.var().clamp_min(1e-300))
    loss, error = _trend(left, kinetic[:, 0], lengths)
    if loss < -LOSS and loss < -2 * error:
        told = f"falls along a trajectory by {-loss:.1%} ± {error:.1%} of its mean size"
        return False, f"The energy v²/2 + V(q) that fits best {told}: there is friction."
    if unexplained > UNEXPLAINED[min(q.shape[1], 2)]:
        return False, (
            f"No v²/2 + V(q) is constant along the trajectories ({unexplained:.0%} of the variance "
            "of v²/2 is left): forces depend on velocity or time, or the data are noisy."
        )
    return True, (
        f"v²/2 + V(q) is constant along every trajectory ({unexplained:.2%} of the variance left, "
        f"trend {loss:+.2%} ± {error:.2%}): no friction seen."
    )


def _shapes(q: Tensor) -> Tensor:
    """What a potential may be made of ``[samples, shapes]``."""
    dim = q.shape[1]
    z = (q - q.mean(0)) / q.std(0).clamp_min(1e-300)
    degree = 6 if dim <= 2 else 4 if dim <= 4 else 2
    powers = [
        torch.stack([z[:, k] for k in chosen]).prod(0)
        for order in range(1, degree + 1)
        for chosen in combinations_with_replacement(range(dim), order)
    ]
    far = q.norm(dim=1)
    if dim in (2, 3) and float(far.min()) > 1e-3 * float(far.max()):
        powers += [far.mean() / far, (far / far.mean()).log()]
    return torch.stack(powers, dim=1)


def _without_means(columns: Tensor, lengths: Sequence[int]) -> Tensor:
    """Every trajectory's mean taken off."""
    return torch.cat([part - part.mean(0) for part in columns.split(list(lengths))])


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
