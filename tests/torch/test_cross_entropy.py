"""cross_entropy as a whole, on devices: its gradients, and what else torch does with a composite.

Under transforms, modes and tracers: test_cross_entropy_modes.py.
"""

import copy
from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cross_entropy_calls import (
    BF16,
    DEVICES,
    F16,
    F32,
    both_ways,
    by_stock,
    close,
    labels,
    ran,
    reasons,
    scores,
)
from devices import CUDA

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


@pytest.fixture(params=DEVICES)
def device(request: Any) -> str:
    return str(request.param)


def options() -> Iterator[dict[str, Any]]:
    ways = ((0.0, False), (0.0, True), (0.1, False), (0.1, True), (1.0, True))
    for reduction, (smoothing, weighted) in product(("none", "mean", "sum"), ways):
        yield {"reduction": reduction, "label_smoothing": smoothing, "weight": weighted}


@pytest.mark.parametrize("dtype", [F32, BF16, F16])
@pytest.mark.parametrize("shape", [(9, 10), (9, 65), (3, 2100), (2, 19, 4, 8), (2, 7, 5, 3)])
def test_gradients(device: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Against float64: as close as stock, or nearly."""
    x, target = scores(device, *shape, dtype=dtype), labels(device, *shape)
    weight = torch.rand(shape[1], generator=torch.Generator().manual_seed(3)).to(device, dtype)
    for given in options():
        polyops.reset_stats()
        w = weight if given.pop("weight") else None
        ours = both_ways(x, target, weight=w, **given)
        assert (ran("forward"), ran("backward")) == (1, 1)
        stock = by_stock(both_ways, x, target, weight=w, **given)
        wide = x.detach().double().requires_grad_()
        exact = both_ways(wide, target, weight=None if w is None else w.double(), **given)
        for mine, theirs, truth in zip(ours, stock, exact, strict=True):
            assert (mine.dtype, mine.stride()) == (theirs.dtype, theirs.stride())
            of_gradient = truth.shape == x.shape
            scale = truth.abs().amax(1, keepdim=True) if of_gradient else truth.abs().max()
            scale = scale.clamp(min=1e-6)
            error, allowed = (((t - truth).abs() / scale).max() for t in (mine, theirs))
            assert error <= 2 * allowed + torch.finfo(dtype).eps, given


def test_rows_of_a_wider_tensor(device: str) -> None:
    wide, target = scores(device, 9, 64), labels(device, 9, 41)

    def step() -> list[torch.Tensor]:
        return [*torch.autograd.grad(F.cross_entropy(wide[:, 3:44], target), wide)]

    close(step(), by_stock(step))
    assert (ran("forward"), ran("backward")) == (1, 1)


def test_pixels_in_channels_last(device: str) -> None:
    """The gradient lies as stock's, which is contiguous."""
    x, target = scores(device, 2, 5, 3, 4), labels(device, 2, 5, 3, 4)
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    for reduction in ("none", "mean", "sum"):
        polyops.reset_stats()
        ours = both_ways(last, target, reduction=reduction, label_smoothing=0.1)
        assert (ran("forward"), ran("backward")) == (1, 1)
        stock = by_stock(both_ways, last, target, reduction=reduction, label_smoothing=0.1)
        close(ours, stock)


def test_special_values_and_gradients(device: str) -> None:
    """NaN where stock has it, ignored samples too."""
    x, target = scores(device, 8, 33), labels(device, 8, 33)
    with torch.no_grad():
        x[0, 3], x[1, 4], x[2, 5], x[3] = float("nan"), float("nan"), float("-inf"), float("-inf")
        x[4, 6] = float("inf")
    for reduction in ("none", "mean", "sum"):
        ours = both_ways(x, target, reduction=reduction)
        stock = by_stock(both_ways, x, target, reduction=reduction)
        for mine, theirs in zip(ours, stock, strict=True):
            torch.testing.assert_close(mine, theirs, equal_nan=True)
    ignored = torch.full_like(target, -100)
    y = scores(device, 8, 33)
    ours, stock = both_ways(y, ignored), by_stock(both_ways, y, ignored)
    for mine, theirs in zip(ours, stock, strict=True):
        torch.testing.assert_close(mine, theirs, equal_nan=True)


# --- what torch does with it ---------------------------------------------------------------------


def test_without_gradients(device: str) -> None:
    x, target = scores(device, 9, 40), labels(device, 9, 40)
    stock = by_stock(F.cross_entropy, x, target)
    with torch.no_grad():
        loss = F.cross_entropy(x, target)
    assert not loss.requires_grad
    with torch.inference_mode():
        inferred = F.cross_entropy(x.detach().clone(), target)
    assert inferred.is_inference()
    assert ran("forward") == 2
    close([loss, inferred.clone()], [stock.detach()] * 2)


def test_inference_tensors_outside_of_inference_mode(device: str) -> None:
    target = labels(device, 9, 40)
    with torch.inference_mode():
        x = scores(device, 9, 40).detach().clone()
    close([F.cross_entropy(x, target)], [by_stock(F.cross_entropy, x, target)])
    assert ran("forward") == 1


@pytest.mark.parametrize("shape", [(6, 7), (2, 7, 3, 2)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_double_backward(
    device: str, reduction: str, smoothing: float, shape: tuple[int, ...]
) -> None:
    x, target = scores(device, *shape), labels(device, *shape)
    weight = torch.linspace(0.5, 2, 7, device=device)

    def penalty(x: torch.Tensor, target: torch.Tensor) -> list[torch.Tensor]:
        loss = F.cross_entropy(
            x,
            target,
            weight.to(x.dtype),
            reduction=reduction,
            label_smoothing=smoothing,
        )
        grad = torch.linspace(0.5, 2, loss.numel(), device=device).view_as(loss).to(x.dtype)
        grad.requires_grad_()
        (first,) = torch.autograd.grad(loss, x, grad, create_graph=True)
        return [first.detach(), *torch.autograd.grad(first.square().sum(), (x, grad))]

    exact = penalty(x.detach().double().requires_grad_(), target)
    ours = penalty(x, target)
    assert ran("forward") == 1
    assert "differentiated again" in reasons()
    close([t.double() for t in ours], exact, 2**-18)


def test_retained_and_accumulated(device: str) -> None:
    x, target = scores(device, 6, 7), labels(device, 6, 7)
    loss = F.cross_entropy(x, target)
    loss.backward(retain_graph=True)
    first = x.grad.clone()
    loss.backward()
    close([x.grad], [2 * first])
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_scores_changed_in_between_are_an_error(device: str) -> None:
    """Stock keeps log-probabilities; the scores themselves are what we keep."""
    x, target = scores(device, 6, 7), labels(device, 6, 7)
    y = x * 1
    loss = F.cross_entropy(y, target)
    y.detach().mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_what_else_is_declined(device: str) -> None:
    """Stock's result, of parts."""
    pixels = scores(device, 2, 5, 3, 4)[..., :3], labels(device, 2, 5, 3, 3)
    many = scores(device, 2, 1500, 3), labels(device, 2, 1500, 3)
    calls = {
        "no batch": (scores(device, 5), torch.tensor(3, device=device)),
        "shape": (scores(device, 6, 5), scores(device, 6, 5).detach().flip(-1).softmax(-1)),
        "layout": (scores(device, 5, 6).T, labels(device, 6, 5)),
        "dtype": (scores(device, 6, 5).double(), labels(device, 6, 5)),
    }
    for reason, (x, target) in [*calls.items(), ("layout", pixels), ("shape", many)]:
        polyops.reset_stats()
        close(both_ways(x, target), by_stock(both_ways, x, target), 2**-17)
        assert reasons() == {reason: 1}


def test_switched_off_in_between(device: str) -> None:
    x, target = scores(device, 9, 40), labels(device, 9, 40)
    stock = by_stock(both_ways, x, target)
    loss = F.cross_entropy(x, target)
    with polyops.disable("cross_entropy"):
        (grad,) = torch.autograd.grad(loss, x, torch.full_like(loss, 0.5))
    close([grad], stock[1:])
    assert reasons() == {"disabled": 1}


def test_a_weight_that_requires_grad_is_stocks_error(device: str) -> None:
    x, target = scores(device, 6, 7), labels(device, 6, 7)
    weight = torch.ones(7, device=device, requires_grad=True)
    with pytest.raises(RuntimeError) as ours:
        F.cross_entropy(x, target, weight)
    with polyops.disable(), pytest.raises(RuntimeError) as stock:
        F.cross_entropy(x, target, weight)
    assert str(ours.value) == str(stock.value)


@pytest.mark.parametrize("shape", [(300, 33), (2, 9, 700)])
def test_repeats_bit_for_bit(device: str, shape: tuple[int, ...]) -> None:
    x, target = scores(device, *shape), labels(device, *shape)
    first = both_ways(x, target)
    for _ in range(3):
        for mine, before in zip(both_ways(x, target), first, strict=True):
            assert torch.equal(mine, before)


def test_patched_and_unpatched(device: str) -> None:
    x, target = scores(device, 6, 7), labels(device, 6, 7)
    key = {"cuda": "CUDA", "cpu": "CPU"}[device]
    has = torch._C._dispatch_has_kernel_for_dispatch_key
    polyops._C.unpatch()
    try:
        assert not has("aten::cross_entropy_loss", key)
        assert not has("aten::cross_entropy_loss", f"Autograd{key}")
        stock = both_ways(x, target)
        assert ran("forward") == 0
    finally:
        polyops._C.patch()
    assert has("aten::cross_entropy_loss", f"Autograd{key}")
    close(both_ways(x, target), stock)
    assert ran("forward") == 1
    (info,) = [o for o in polyops._C.overloads() if o["name"] == "aten::cross_entropy_loss"]
    assert device in info["device"]
    assert not info["shadowed"]


def test_copies_of_a_model(device: str) -> None:
    model = torch.nn.Linear(5, 7).to(device)
    target = labels(device, 6, 7)
    x = scores(device, 6, 5).detach()
    for one in (model, copy.deepcopy(model)):
        torch.nn.CrossEntropyLoss()(one(x), target).backward()
    assert ran("backward") == 2


@CUDA
def test_graph_replay() -> None:
    x, target = scores("cuda", 33, 1000), labels("cuda", 33, 1000)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        both_ways(x, target)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    polyops.reset_stats()
    with torch.cuda.graph(graph):
        results = both_ways(x, target)
    assert (ran("forward"), ran("backward")) == (1, 1)
    for scale in (1.0, 0.5):
        with torch.no_grad():
            x.mul_(scale)
        graph.replay()
        close(results, both_ways(x, target))
