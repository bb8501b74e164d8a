"""The ways in which PyTorch calls an op beside the plain one."""

import os
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from programs import FORWARD_OPS, MEMORY_BOUND, close, hit_ops, nothing, program, tensors

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


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
