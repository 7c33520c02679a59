"""Hamiltonian Neural Networks (Greydanus et al. 2019, arXiv 1906.01563), written from the paper."""

import math
import time

import torch
from torch import nn

from simlearn.dynamics import HamiltonianField


def seeded(seed, build):
    """Build under a seed; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


class HNN(HamiltonianField):
    """A tanh network for H with orthogonal weights and no last bias; the paper's two layers of 200.

    Args:
        dim: Columns of the state.
        width: Neurons in each of the two hidden layers.
    """

    def __init__(self, dim, width=200):
        super().__init__()
        self.dim, self.width = dim, width
        layers = [nn.Linear(dim, width), nn.Linear(width, width), nn.Linear(width, 1, bias=False)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight)
        self.net = nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])

    def energy(self, x, topology):
        """H, ``[systems]``."""
        return topology.per_system(self.net(x)[:, 0])

    def gradient(self, x, topology):
        """dH/dx by hand, for evaluation only: it halves the time of the long rollouts."""
        first = torch.tanh(self.net[0](x))
        second = torch.tanh(self.net[2](first))
        back = (self.net[4].weight * (1 - second * second)) @ self.net[2].weight
        return (back * (1 - first * first)) @ self.net[0].weight


def time_derivative(net, x):
    """J ∇H by reverse mode with a graph, as the paper trains; x must require its gradient."""
    slope = torch.autograd.grad(net(x).sum(), x, create_graph=True)[0]
    dq, dp = slope.chunk(2, dim=-1)
    return torch.cat([dp, -dq], dim=-1)


def hnn_step(model, optimizer, x, slope):
    """One step of the paper's loop: derivative matching, Adam."""
    loss = (slope - time_derivative(model.net, x)).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss


def train_hnn(x, slope, seed, steps=2001, batch=None, decay=1e-4):
    """The paper's training: Adam 1e-3, weight decay 1e-4, all samples or a random batch a step.

    In the dtype of the samples: the paper's program trains in float32, at 0.6 of the CPU of float64
    and to the same errors. Their loop also evaluates the test set at every step; that is not done
    and not timed here.

    Returns:
        The model in float64 and the CPU seconds of the loop.
    """
    model = seeded(seed, lambda: HNN(x.shape[-1])).to(x)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=decay)
    rng = torch.Generator().manual_seed(seed)
    x = x.detach().requires_grad_()
    began = time.process_time()
    for _ in range(steps):
        if batch is None:
            hnn_step(model, optimizer, x, slope)
        else:
            at = torch.randperm(len(x), generator=rng)[:batch]
            hnn_step(model, optimizer, x[at], slope[at])
    spent = time.process_time() - began
    return model.double().requires_grad_(False), spent


def advance(field, x, dt):
    """One classical Runge-Kutta step of an autonomous field (their rollouts' scheme)."""
    k1 = field(x)
    k2 = field(x + dt / 2 * k1)
    k3 = field(x + dt / 2 * k2)
    k4 = field(x + dt * k3)
    return x + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def rollout_loss(model, windows, dt):
    """Mean square error over windows ``[windows, samples, dim]`` rolled out from their start."""
    x = windows[:, 0].detach().requires_grad_()
    loss = 0.0
    for k in range(1, windows.shape[1]):
        x = advance(lambda y: time_derivative(model.net, y), x, dt)
        loss = loss + (x - windows[:, k]).square().mean()
    return loss / (windows.shape[1] - 1)


def cosine(optimizer, share, top=1e-3):
    """The learning rate at a share of the training."""
    for group in optimizer.param_groups:
        group["lr"] = top * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def train_for(model, loss, budget):
    """Adam with a cosine rate until a budget of CPU seconds is spent.

    Args:
        model: What is trained, in place.
        loss: Loss of the model at a step, a function of the step's number.
        budget: CPU seconds.

    Returns:
        Steps taken and CPU seconds.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    began, steps = time.process_time(), 0
    while (spent := time.process_time() - began) < budget:
        cosine(optimizer, spent / budget)
        loss(steps).backward()
        optimizer.step()
        optimizer.zero_grad()
        steps += 1
    return steps, spent
