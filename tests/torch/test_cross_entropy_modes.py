"""cross_entropy under transforms, modes and tracers: the composite that it was, made of parts."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from cross_entropy_calls import (
    BF16,
    DEVICES,
    F16,
    both_ways,
    by_stock,
    close,
    labels,
    ran,
    reasons,
    scores,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import polyops

pytestmark = [pytest.mark.usefixtures("lifted"), pytest.mark.parametrize("device", DEVICES)]


def test_functorch(device: str) -> None:
    x, target = scores(device, 6, 7).detach(), labels(device, 6, 7)
    t = scores(device, 6, 7).detach() + 1

    def loss(v: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(v, target, label_smoothing=0.1)

    def all_of_them() -> list[torch.Tensor]:
        per_sample = torch.func.vmap(
            torch.func.grad(lambda v, t: F.cross_entropy(v[None], t[None]))
        )
        return [
            torch.func.grad(loss)(x),
            *torch.func.jvp(loss, (x,), (t,)),
            torch.func.vmap(lambda v: loss(v))(torch.stack((x, t))),
            per_sample(x, target.clamp(min=0)),
            torch.func.jacrev(torch.func.grad(loss))(x),
        ]

    close(all_of_them(), by_stock(all_of_them))
    assert ran("forward") == 0
    assert set(reasons()) == {"a transform, a mode or a subclass"}


def test_a_batch_of_gradients(device: str) -> None:
    x, target = scores(device, 6, 7), labels(device, 6, 7)
    grads = torch.linspace(0.5, 2, 18, device=device).view(3, 6)

    def batch() -> list[torch.Tensor]:
        loss = F.cross_entropy(x, target, reduction="none")
        return [*torch.autograd.grad(loss, x, grads, is_grads_batched=True)]

    close(batch(), by_stock(batch))
    assert ran("forward") == 1


def test_forward_mode(device: str) -> None:
    x, target = scores(device, 6, 7).detach(), labels(device, 6, 7)

    def tangent() -> list[torch.Tensor]:
        with torch.autograd.forward_ad.dual_level():
            dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x).cumsum(-1))
            return [*torch.autograd.forward_ad.unpack_dual(F.cross_entropy(dual, target))]

    close(tangent(), by_stock(tangent))
    assert reasons() == {"forward mode": 1}


class Names(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func.name())
        return func(*args, **(kwargs or {}))


def test_dispatch_modes_see_the_parts(device: str) -> None:
    def names() -> list[str]:
        x, target = scores(device, 6, 7), labels(device, 6, 7)
        with Names() as mode:
            F.cross_entropy(x, target).backward()
        return mode.seen

    assert names() == by_stock(names)


def test_a_mode_around_the_backward_alone(device: str) -> None:
    x, target = scores(device, 6, 7), labels(device, 6, 7)
    stock = by_stock(both_ways, x, target)
    loss = F.cross_entropy(x, target)
    with Names() as mode:
        (grad,) = torch.autograd.grad(loss, x, torch.full_like(loss, 0.5))
    assert mode.seen
    close([grad], stock[1:])


def test_fake_tensors(device: str) -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode() as mode:
        x = mode.from_tensor(scores(device, 6, 7))
        loss = F.cross_entropy(x, mode.from_tensor(labels(device, 6, 7)))
        loss.backward()
    assert loss.shape == ()
    assert x.grad.shape == (6, 7)
    assert ran("forward") == 0


def test_subclasses(device: str) -> None:
    from torch.testing._internal.two_tensor import TwoTensor

    x, target = scores(device, 6, 7), labels(device, 6, 7)
    two = TwoTensor(x.detach().clone(), x.detach().clone()).requires_grad_()
    loss = F.cross_entropy(two, TwoTensor(target, target.clone()))
    assert isinstance(loss, TwoTensor)
    (grad,) = torch.autograd.grad(loss, two)
    (stock,) = by_stock(lambda: torch.autograd.grad(F.cross_entropy(x, target), x))
    close([grad.a], [stock])


def test_traced_by_jit(device: str) -> None:
    x, target = scores(device, 6, 7), labels(device, 6, 7)

    def traced() -> list[torch.Tensor]:
        fn = torch.jit.trace(lambda x, t: F.cross_entropy(x, t), (x, target))
        y = (x * 2).detach().requires_grad_()
        loss = fn(y, target)
        return [loss.detach(), *torch.autograd.grad(loss, y)]

    close(traced(), by_stock(traced))


def test_made_by_fx(device: str) -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    x, target = scores(device, 6, 7), labels(device, 6, 7)

    def code(mode: str) -> str:
        made = make_fx(lambda x, t: F.cross_entropy(x, t), tracing_mode=mode)
        return str(made(x, target).code)

    for mode in ("real", "fake", "symbolic"):
        assert code(mode) == by_stock(code, mode)


@pytest.mark.slow
def test_compile(device: str) -> None:
    x, target = scores(device, 33, 40), labels(device, 33, 40)
    torch.compiler.reset()
    compiled = torch.compile(lambda: both_ways(x, target), dynamic=True)
    close(compiled(), by_stock(both_ways, x, target))


@pytest.mark.slow
def test_compiled_autograd(device: str) -> None:
    x, target = scores(device, 9, 10), labels(device, 9, 10)
    stock = by_stock(both_ways, x, target)
    loss = F.cross_entropy(x, target)
    with torch._dynamo.compiled_autograd._enable(torch.compile(backend="eager")):
        (loss * 0.5).backward()
    close([x.grad], stock[1:])


@pytest.mark.parametrize("dtype", [BF16, F16])
def test_autocast(device: str, dtype: torch.dtype) -> None:
    """It is float32 there, on a CPU too; its backward may be inside or not."""
    x, target = scores(device, 9, 40, dtype=dtype), labels(device, 9, 40)

    def cast(inside: bool) -> list[torch.Tensor]:
        with torch.autocast(device, dtype=dtype):
            loss = F.cross_entropy(x, target)
            grads = torch.autograd.grad(loss, x) if inside else None
        return [loss.detach(), *(grads or torch.autograd.grad(loss, x))]

    for inside in (False, True):
        polyops.reset_stats()
        ours = cast(inside)
        assert (ran("forward"), ran("backward")) == (1, 1)
        close(ours, by_stock(cast, inside), 2**-6)


def test_saved_tensors_hooks_and_checkpoints(device: str) -> None:
    x, target = scores(device, 9, 40), labels(device, 9, 40)
    stock = by_stock(both_ways, x, target)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        ours = both_ways(x, target)
    close(ours, stock)
    loss = checkpoint(lambda x: F.cross_entropy(x * 1, target), x, use_reentrant=False)
    close(torch.autograd.grad(loss, x, torch.full_like(loss, 0.5)), stock[1:])
