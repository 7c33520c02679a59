"""The hand-written gradient of a tanh network: value, and derivatives of every kind."""

import pytest
import torch

from simlearn.dynamics.neural import TanhNet
from simlearn.dynamics.slopes import input_gradient


def parts(depth):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(depth)
        net = TanhNet([3] + [5] * depth + [1], constant=False).double()
        x = torch.randn(4, 3, dtype=torch.float64)
    *hidden, last = net.layers
    own = [tensor for layer in hidden for tensor in (layer.weight, layer.bias)]
    return net, x.requires_grad_(), [last.weight, *own]


def applied(x, last, *hidden):
    return input_gradient(x, last, hidden)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_value_and_weight_gradients_are_those_of_autograd(depth):
    net, x, weights = parts(depth)
    ours = net.gradient(x)
    theirs = torch.autograd.grad(net(x).sum(), x, create_graph=True)[0]
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    push = torch.linspace(-1, 2, 12, dtype=torch.float64).reshape(4, 3)
    found, wanted = (
        torch.autograd.grad((one * push).sum(), [x, *weights], retain_graph=True)
        for one in (ours, theirs)
    )
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("depth", [1, 2])
def test_first_and_second_derivatives_pass_a_numerical_check(depth):
    _, x, weights = parts(depth)
    assert torch.autograd.gradcheck(applied, (x, *weights))
    assert torch.autograd.gradgradcheck(applied, (x, *weights))


def test_a_gradient_through_several_steps_is_the_same_with_a_graph_for_the_next():
    """The state of a later step comes from the same weights: each counts once."""
    _, x, weights = parts(1)
    for _ in range(4):
        x = x + 0.1 * applied(x, *weights)
    loss = x.square().sum()
    plain = torch.autograd.grad(loss, weights, retain_graph=True)
    graphed = torch.autograd.grad(loss, weights, create_graph=True)
    for a, b in zip(graphed, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("frozen", ["x", "weights"])
def test_what_is_frozen_gets_no_gradient(frozen):
    net, x, weights = parts(2)
    if frozen == "x":
        x = x.detach()
    else:
        net.requires_grad_(False)
    net.gradient(x).square().sum().backward()
    assert all((w.grad is None) == (frozen == "weights") for w in weights)
    assert (x.grad is None) == (frozen == "x")


def test_function_transforms_and_inference_see_the_same():
    net, x, _ = parts(2)
    x = x.detach()
    hessian = torch.func.vmap(torch.func.jacrev(lambda one: net.gradient(one[None])[0]))(x)
    forward = torch.func.jacfwd(net.gradient)(x)
    for k in range(4):
        torch.testing.assert_close(forward[k, :, k], hessian[k])
        torch.testing.assert_close(hessian[k], hessian[k].T)
    with torch.inference_mode():
        quiet = net.gradient(x)
    assert torch.equal(quiet, net.gradient(x).detach())
    weights = {name: w.detach() for name, w in net.named_parameters()}

    def energy(weights):
        return torch.func.functional_call(_Gradient(net), weights, (x,)).square().sum()

    named = {f"net.{name}": w for name, w in weights.items()}
    found = torch.func.grad(energy)(named)
    net.gradient(x).square().sum().backward()
    for name, weight in net.named_parameters():
        torch.testing.assert_close(found[f"net.{name}"], weight.grad)


class _Gradient(torch.nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net.gradient(x)


def test_a_batch_of_backward_passes():
    net, x, _ = parts(2)
    gradient = net.gradient(x)
    pushes = torch.eye(12, dtype=torch.float64).reshape(12, 4, 3)
    (found,) = torch.autograd.grad(gradient, x, pushes, is_grads_batched=True, retain_graph=True)
    wanted = [torch.autograd.grad(gradient, x, one, retain_graph=True)[0] for one in pushes]
    torch.testing.assert_close(found, torch.stack(wanted))
