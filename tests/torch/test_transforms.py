"""Calls that torch.compile, functorch, fake tensors and subclasses make of a program."""

from collections.abc import Callable

import pytest
import torch
from programs import FORWARD_OPS, all_declined, all_hits, close, hit_ops, program, tensors
from torch._subclasses import FakeTensorMode

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


def test_compile_default_mode() -> None:
    """Inductor lowers the rest itself and calls matrix products through aten, which is ours."""
    torch._dynamo.reset()
    inputs = tensors()
    with polyops.disable():
        stock = program(*inputs)
    compiled = torch.compile(program)
    close(compiled(*inputs), stock)
    polyops.reset_stats()
    close(compiled(*inputs), stock)
    assert hit_ops() >= {"mm", "addmm", "bmm"}
    with polyops.disable():
        polyops.reset_stats()
        close(compiled(*inputs), stock)
        assert all_hits() == 0


def test_compile_aot_eager_and_backward() -> None:
    torch._dynamo.reset()
    compiled = torch.compile(program, backend="aot_eager")

    def gradients(fn: Callable[..., torch.Tensor]) -> list[torch.Tensor]:
        inputs = tensors(grad=True)
        fn(*inputs).square().mean().backward()
        return [t.grad for t in inputs]

    with polyops.disable():
        stock = gradients(program)
    for mine, theirs in zip(gradients(compiled), stock, strict=True):
        close(mine, theirs)
    assert hit_ops() >= {"mm", "addmm", "bmm", "softmax", "layer_norm"}


def test_vmap() -> None:
    x, w, b, scale, shift = tensors()
    batch = torch.stack([x, x + 1, x * 2])
    polyops.reset_stats()
    mapped = torch.vmap(program, in_dims=(0, None, None, None, None))(batch, w, b, scale, shift)
    assert all_hits() > 0
    for i, one in enumerate(batch):
        close(mapped[i].contiguous(), program(one, w, b, scale, shift))


@pytest.mark.parametrize("transform", ["grad", "vjp", "jvp", "jacrev", "jacfwd", "hessian"])
def test_functorch(transform: str) -> None:
    rest = [t.double() for t in tensors()[1:]]
    x = tensors()[0].double()

    def loss(v: torch.Tensor) -> torch.Tensor:
        return program(x * v, *rest).square().mean()

    def run() -> list[torch.Tensor]:
        one = torch.ones(40, dtype=torch.float64)[:1].clone()
        if transform == "vjp":
            value, pull = torch.func.vjp(loss, one)
            return [value, *pull(torch.ones_like(value))]
        if transform == "jvp":
            return list(torch.func.jvp(loss, (one,), (one,)))
        return [getattr(torch.func, transform)(loss)(one)]

    with polyops.disable():
        stock = run()
    polyops.reset_stats()
    for mine, theirs in zip(run(), stock, strict=True):
        close(mine, theirs)
    assert hit_ops() == FORWARD_OPS


def test_functional_call_with_per_sample_gradients() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.GELU(), torch.nn.Linear(5, 1))
    parameters = {k: v.detach() for k, v in model.named_parameters()}
    data = torch.randn(4, 6)

    def loss(parameters: dict[str, torch.Tensor], row: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(model, parameters, (row[None],)).square().sum()

    per_sample = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))
    with polyops.disable():
        stock = per_sample(parameters, data)
    polyops.reset_stats()
    ours = per_sample(parameters, data)
    for name, theirs in stock.items():
        close(ours[name], theirs)
    assert all_hits() > 0


def test_meta_and_fake_tensors_do_not_reach_us() -> None:
    meta = program(*(t.to("meta") for t in tensors()))
    assert meta.shape == (24, 56)
    with FakeTensorMode():
        fake = program(*(torch.empty(t.shape) for t in tensors()))
    assert fake.shape == (24, 56)
    assert all_hits() == 0
    assert all_declined() == {}


def test_subclass_reaches_us_through_torch_dispatch() -> None:
    from torch.testing._internal.logging_tensor import LoggingTensor

    a = LoggingTensor(torch.randn(3, 4))
    out = torch.softmax(a, -1)
    assert isinstance(out, LoggingTensor)
    assert hit_ops() == {"softmax"}
