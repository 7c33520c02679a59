"""The training loops of HNN and SRNN, written from the papers and their programs.

Each twice: as published, and lean, which leaves out whatever does not change the numbers.
"""

import torch
from torch import nn

DT = 0.1


class Scalar(nn.Module):
    """A tanh network of two hidden layers; the last of its outputs is the energy.

    Args:
        ours: The network whose weights it takes; a further output keeps weights of its own.
        outputs: HNN's has two, of which the first would make a field that conserves nothing.
    """

    def __init__(self, ours: nn.Module, outputs: int = 1):
        super().__init__()
        (width, dim), (_, last) = (ours.layers[k].weight.shape for k in (0, -1))
        self.net = nn.Sequential(
            nn.Linear(dim, width),
            nn.Tanh(),
            nn.Linear(last, last),
            nn.Tanh(),
            nn.Linear(last, outputs, bias=False),
        )
        with torch.no_grad():
            for mine, theirs in zip(self.net.parameters(), ours.parameters(), strict=True):
                mine[-len(theirs) :] = theirs

    def forward(self, x):
        """``[rows, outputs]``."""
        return self.net(x)

    def energy_weights(self):
        """What our network has too."""
        *hidden, last = self.net.parameters()
        return [*(w.grad for w in hidden), last.grad[-1:]]


def slope_of(value, x):
    """A gradient that can be trained through."""
    return torch.autograd.grad(value.sum(), x, create_graph=True)[0]


def form_of(dim):
    """HNN's permutation tensor, transposed: the gradient times it is the field."""
    eye = torch.eye(dim)
    return torch.cat([eye[dim // 2 :], -eye[: dim // 2]]).t()


class PublishedHnn:
    """HNN's loop (Greydanus et al. 2019; spring/train.py), without its look at the test set.

    Two outputs, a zero field added for the unused one, data that ask for a gradient, Adam
    with weight decay. Batches are cut beforehand, where the program of the two-body system draws
    200 of all states at every step: that is to the favour of the rival.
    """

    outputs, decay = 2, 1e-4

    def __init__(self, ours, x, slope, batch):
        self.net, self.form = Scalar(ours, self.outputs), form_of(x.shape[-1])
        self.optimizer = self.adam()
        self.batches = list(zip(self.inputs(x, batch), slope.split(batch), strict=True))

    def adam(self):
        """Their optimizer."""
        return torch.optim.Adam(self.net.parameters(), 1e-3, weight_decay=self.decay)

    def inputs(self, x, batch):
        """Leaves whose gradient is asked for, as the program makes its data."""
        return [one.clone().requires_grad_() for one in x.split(batch)]

    def field(self, x):
        """J ∇F₂."""
        _, energy = self.net(x).split(1, 1)
        return torch.zeros_like(x) + slope_of(energy, x) @ self.form

    def loss(self, x, slope):
        """Mean squared error of the field."""
        return (slope - self.field(x)).pow(2).mean()

    def round(self):
        """As many steps as an epoch of ours has."""
        for x, slope in self.batches:
            self.loss(x, slope).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def gradients(self):
        """Of the weights that ours has too, after a backward pass of the first batch."""
        self.loss(*self.batches[0]).backward()
        found = self.net.energy_weights()
        self.optimizer.zero_grad()
        return found


class LeanHnn(PublishedHnn):
    """One output, no decay, fused Adam, no gradient of the data."""

    outputs, decay = 1, 0.0

    def adam(self):
        """The fastest there is."""
        return torch.optim.Adam(self.net.parameters(), 1e-3, fused=True)

    def inputs(self, x, batch):
        """Plain data."""
        return x.split(batch)

    def field(self, x):
        """J ∇H."""
        x = x.detach().requires_grad_()
        return slope_of(self.net(x), x) @ self.form


class PublishedSrnn:
    """SRNN's training (Chen et al. 2020; src/model.py): leapfrog by autograd with a graph a stage.

    The force is carried from step to step, and each stage evaluates T + V, one half of
    which it does not need.
    """

    def __init__(self, kinetic, potential, windows):
        self.kinetic, self.potential = Scalar(kinetic), Scalar(potential)
        self.weights = [*self.kinetic.parameters(), *self.potential.parameters()]
        self.optimizer, self.batches = self.adam(), windows

    def adam(self):
        """Their optimizer."""
        return torch.optim.Adam(self.weights, 1e-3)

    def energy(self, q, p):
        """T + V."""
        return self.kinetic(p) + self.potential(q)

    def force(self, q, p):
        """−dV/dq."""
        return -slope_of(self.energy(q, p), q)

    def drift(self, q, p):
        """dT/dp."""
        return slope_of(self.energy(q, p), p)

    def loss(self, x):
        """Mean squared error of a rollout."""
        q, p = (part.detach().requires_grad_() for part in x[0].chunk(2, dim=-1))
        force, states = self.force(q, p), []
        for _ in x[1:]:
            p = p + DT / 2 * force
            q = q + DT * self.drift(q, p)
            force = self.force(q, p)
            p = p + DT / 2 * force
            states.append(torch.cat([q, p], dim=-1))
        return (torch.stack(states) - x[1:]).pow(2).mean()

    def round(self):
        """As many steps as an epoch of ours has."""
        for x in self.batches:
            self.loss(x).backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def gradients(self):
        """After a backward pass of the first batch."""
        self.loss(self.batches[0]).backward()
        found = [weight.grad for weight in self.weights]
        self.optimizer.zero_grad()
        return found


class LeanSrnn(PublishedSrnn):
    """Only the network that a stage needs, and fused Adam."""

    def adam(self):
        """The fastest there is."""
        return torch.optim.Adam(self.weights, 1e-3, fused=True)

    def force(self, q, p):
        """−dV/dq."""
        return -slope_of(self.potential(q), q)

    def drift(self, q, p):
        """dT/dp."""
        return slope_of(self.kinetic(p), p)


def rk4_of(field):
    """A step of RK4 as HNN's program takes it: a graph through all four stages."""

    def step(x):
        x = x.detach().requires_grad_()
        k1 = field(x)
        k2 = field(x + DT / 2 * k1)
        k3 = field(x + DT / 2 * k2)
        k4 = field(x + DT * k3)
        return (x + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4)).detach()

    return step
