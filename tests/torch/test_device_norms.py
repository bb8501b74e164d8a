"""Modules with batch_norm and group_norm on devices: what they keep, and steps of training."""

from copy import deepcopy

import pytest
import torch
from devices import found
from torch import nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

DEVICES = found()
F32, BF16, F64 = torch.float32, torch.bfloat16, torch.float64


def train(module: nn.Module, batches: list[torch.Tensor], last: bool) -> list[torch.Tensor]:
    """Outputs, gradients and buffers after a forward and a backward of each batch."""
    seen = []
    for batch in batches:
        x = batch.contiguous(memory_format=torch.channels_last) if last else batch
        x = x.detach().requires_grad_()
        y = module(x)
        weights = torch.linspace(-1, 1, y.numel(), device=y.device).view_as(y)
        (y * weights.to(y.dtype)).sum().backward()
        seen += [y, x.grad]
    seen += [p.grad for p in module.parameters()]
    seen += [b for b in module.buffers() if b.is_floating_point()]
    return [t.detach().double().cpu() for t in seen]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("make", [lambda: nn.BatchNorm2d(16), lambda: nn.GroupNorm(4, 16)])
def test_steps_of_training(device, dtype, last, make):
    """Against float64; as close as stock, or nearly. Running moments too."""
    torch.manual_seed(0)
    exact_module = make().to(F64)
    module = deepcopy(exact_module).to(device, dtype)
    stock_module = deepcopy(module)
    batches = [torch.randn(6, 16, 9, 11, dtype=F64) * 3 + 5 for _ in range(3)]
    batches = [b.to(dtype) for b in batches]
    with polyops.disable():
        exact = train(exact_module, [b.double() for b in batches], last)
        stock = train(stock_module, [b.to(device) for b in batches], last)
    ours = train(module, [b.to(device) for b in batches], last)
    for mine, theirs, truth in zip(ours, stock, exact, strict=True):
        scale = truth.abs().max()
        error, allowed = ((t - truth).abs().max() / scale for t in (mine, theirs))
        assert error <= 2 * allowed + torch.finfo(dtype).eps


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("training", [True, False])
def test_a_backward_without_us_follows_our_forward(device, training):
    """Whoever computes either half: moments and reserve fit both."""
    torch.manual_seed(0)
    results = []
    for ours_forward in (False, True):
        for ours_backward in (False, True):
            torch.manual_seed(1)
            module = nn.BatchNorm2d(8, device=device).train(training)
            x = torch.randn(4, 8, 7, 9, device=device, requires_grad=True)
            with polyops.enable() if ours_forward else polyops.disable():
                y = module(x)
            loss = (y * y.detach().cos()).sum()
            with polyops.enable() if ours_backward else polyops.disable():
                loss.backward()
            results.append((x.grad, module.weight.grad, module.bias.grad))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("device", DEVICES)
def test_they_are_ours(device):
    x = torch.randn(4, 8, 7, 9, device=device)
    for module in (nn.BatchNorm2d(8, device=device), nn.GroupNorm(2, 8, device=device)):
        explained = polyops.explain(module, x)
        assert [call.kernel is not None for call in explained.calls] == [True]
