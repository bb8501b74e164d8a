"""The ways in which PyTorch calls an op beside the plain one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses import FakeTensorMode

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


def tensors(dtype: torch.dtype = torch.float32, grad: bool = False) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = [(24, 40), (40, 56), (56,), (56,), (56,)]
    made = [torch.randn(s, generator=generator).to(dtype) for s in shapes]
    return [t.requires_grad_(grad) for t in made]


def program(
    x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
) -> torch.Tensor:
    """addmm, mm, bmm, baddbmm, gelu, relu, layer_norm, softmax."""
    h = F.gelu(torch.addmm(b, x, w))
    h = F.layer_norm(h, (56,), scale, shift) + F.relu(x @ w)
    cube = h.reshape(2, 12, 56)
    scores = torch.bmm(cube, cube.transpose(1, 2))
    mixed = torch.baddbmm(cube, torch.softmax(scores * 0.1, -1), cube)
    return mixed.reshape(24, 56)


FORWARD_OPS = {"addmm", "mm", "bmm", "baddbmm", "gelu", "relu", "layer_norm", "softmax"}
MEMORY_BOUND = {"gelu", "relu", "layer_norm", "softmax"}


def hit_ops() -> set[str]:
    return {op for op, stats in polyops.stats().items() if stats["hits"]}


def all_hits() -> int:
    return sum(stats["hits"] for stats in polyops.stats().values())


def all_declined() -> dict[str, int]:
    total: dict[str, int] = {}
    for stats in polyops.stats().values():
        for reason, n in stats["declined"].items():
            total[reason] = total.get(reason, 0) + n
    return total


def close(ours: torch.Tensor, stock: torch.Tensor) -> None:
    """Of a program of several ops: 100 units in the last place of the largest value."""
    assert ours.dtype == stock.dtype
    assert ours.stride() == stock.stride()
    limit = 100 * torch.finfo(stock.dtype).eps * stock.abs().max().item()
    assert (ours.double() - stock.double()).abs().max().item() <= limit


@contextmanager
def nothing() -> Iterator[None]:
    yield


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad, torch.enable_grad, nothing])
def test_grad_modes(mode: Callable[..., object]) -> None:
    with polyops.disable(), mode():
        stock = program(*tensors(grad=mode is torch.enable_grad))
    with mode():
        ours = program(*tensors(grad=mode is torch.enable_grad))
    close(ours.detach(), stock.detach())
    assert ours.is_inference() == stock.is_inference() == (mode is torch.inference_mode)
    assert ours.requires_grad == stock.requires_grad
    assert hit_ops() == FORWARD_OPS


def test_inference_tensors_in_place() -> None:
    with torch.inference_mode():
        x = torch.randn(5, 7)
        assert F.relu(x, inplace=True) is x
        assert torch.ops.aten.gelu_(x) is x
    assert hit_ops() == {"relu", "gelu"}


def test_backward() -> None:
    def gradients() -> list[torch.Tensor]:
        inputs = tensors(grad=True)
        program(*inputs).square().mean().backward()
        return [t.grad for t in inputs]

    with polyops.disable():
        stock = gradients()
    polyops.reset_stats()
    calls = polyops.explain(gradients)
    for ours, theirs in zip(calls.result, stock, strict=True):
        close(ours, theirs)
    backward = {"gelu_backward", "threshold_backward", "native_layer_norm_backward"}
    backward.add("_softmax_backward_data")
    assert {f"aten::{b}" for b in backward} <= {c.overload for c in calls.calls if c.kernel}


def test_autocast() -> None:
    def run() -> torch.Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return program(*tensors())

    with polyops.disable():
        stock = run()
    ours = run()
    assert ours.dtype == stock.dtype
    close(ours.float().bfloat16(), stock.float().bfloat16())
    assert hit_ops() >= MEMORY_BOUND


def test_deterministic_algorithms_repeat_bit_for_bit() -> None:
    def run() -> list[torch.Tensor]:
        inputs = tensors(grad=True)
        out = program(*inputs)
        out.square().mean().backward()
        return [out.detach(), *(t.grad for t in inputs)]

    torch.use_deterministic_algorithms(True)
    try:
        first = run()
        for _ in range(5):
            assert all(map(torch.equal, first, run()))
    finally:
        torch.use_deterministic_algorithms(False)
    assert hit_ops() == FORWARD_OPS


@pytest.mark.parametrize("threads", [1, 2])
def test_threads(threads: int) -> None:
    """Large enough to be divided. At a fixed number of threads results repeat bit for bit."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(700, 300, generator=generator)
    w = torch.randn(300, 400, generator=generator)

    def run() -> list[torch.Tensor]:
        h = x @ w * 0.05  # about 1: softmax would magnify the last places of large values
        return [h, torch.softmax(h, 0), torch.softmax(h, 1), F.layer_norm(h, (400,)), F.gelu(h)]

    with polyops.disable():
        stock = run()
    ours = run()
    for mine, theirs in zip(ours, stock, strict=True):
        close(mine, theirs)
    for _ in range(3):
        assert all(map(torch.equal, ours, run()))
    assert hit_ops() == {"mm", "softmax", "layer_norm", "gelu"}


def test_parallel_region_of_backward_threads() -> None:
    """Two Python threads at once: each has its own scratch and counters; counts add up."""
    import threading

    x = torch.randn(200, 200)
    right = x @ x
    polyops.reset_stats()
    wrong: list[float] = []

    def work() -> None:
        for _ in range(50):
            if not torch.equal(x @ x, right):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert polyops.stats()["mm"]["hits"] == 200


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


def test_medium_precision_is_left_to_stock() -> None:
    a, b = torch.randn(32, 32), torch.randn(32, 32)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with polyops.disable():
            stock = a @ b
        polyops.reset_stats()
        assert torch.equal(a @ b, stock)
    finally:
        torch.set_float32_matmul_precision(before)
    assert polyops.stats()["mm"] == {
        "hits": 0,
        "declined": {"bfloat16 products are allowed": 1},
        "kernels": {},
    }
    torch.mm(a, b)
    assert polyops.stats()["mm"]["hits"] == 1


def test_mkldnn_precision_setting_is_left_to_stock() -> None:
    a, b = torch.randn(32, 32), torch.randn(32, 32)
    matmul = torch.backends.mkldnn.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "bf16"
    try:
        torch.mm(a, b)
    finally:
        matmul.fp32_precision = before
    assert polyops.stats()["mm"]["declined"] == {"bfloat16 products are allowed": 1}


def is_shared(tensor: torch.Tensor) -> bool:
    return bool(torch._C._is_cow_tensor(tensor))


def test_copy_on_write_inputs_stay_shared() -> None:
    inputs = tensors()
    lazy = [torch._lazy_clone(t) for t in inputs]
    program(*lazy)
    F.relu(lazy[0])
    assert hit_ops() == FORWARD_OPS
    assert all(map(is_shared, lazy))


def test_copy_on_write_output_gets_its_own_memory() -> None:
    x = torch.randn(8, 8)
    kept = x.clone()
    lazy = torch._lazy_clone(x)
    with polyops.disable():
        right = F.relu(kept)
    F.relu(lazy, inplace=True)
    assert hit_ops() == {"relu"}
    assert torch.equal(lazy, right)
    assert torch.equal(x, kept)


def test_version_counters_and_saved_tensors() -> None:
    x = torch.randn(4, 5, requires_grad=True)
    y = x * 2
    before = y._version
    z = F.relu(y, inplace=True)
    assert z is y
    assert y._version == before + 1
    z.sum().backward()
    assert torch.equal(x.grad, (x > 0) * 2.0)
    a = torch.randn(4, 4, requires_grad=True)
    s = torch.softmax(a, -1)
    s.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        s.sum().backward()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        F.relu(x, inplace=True)


def test_views_written_in_place() -> None:
    def run() -> list[torch.Tensor]:
        base = torch.linspace(-1, 1, 24).reshape(4, 6).requires_grad_(True)
        copy = base.clone()
        view = copy[1:3, ::2]
        torch.relu_(view)
        copy.sum().backward()
        return [copy.detach(), base.grad]

    with polyops.disable():
        stock = run()
    assert all(map(torch.equal, run(), stock))
    assert hit_ops() == {"relu"}


def test_fork_with_one_thread() -> None:
    """A child forked after work on one thread: it must compute, not hang."""
    torch.set_num_threads(1)
    inputs = tensors()
    right = program(*inputs)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        same = torch.equal(program(*inputs), right)
        os.write(write, b"1" if same and hit_ops() == FORWARD_OPS else b"0")
        os._exit(0)
    os.close(write)
    assert os.read(read, 1) == b"1"
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.skipif(not hasattr(torch.Tensor, "rename"), reason="no named tensors in this torch")
def test_named_tensors_are_left_to_stock() -> None:
    named = torch.randn(3, 4).rename("a", "b")
    assert torch.softmax(named, "b").names == ("a", "b")
    assert all_hits() == 0


def test_zeros_without_memory_are_left_to_stock() -> None:
    """Forward mode makes them of undefined tangents; dot is called with them as they are."""
    x, zeros = torch.randn(5), torch._efficientzerotensor((5,))
    for a, b in ((x, zeros), (zeros, x)):
        explained = polyops.explain(torch.dot, a, b)
        assert explained.result._is_zerotensor()
        assert [call.kernel for call in explained.calls] == [None]
