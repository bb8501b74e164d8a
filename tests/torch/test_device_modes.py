"""The ways in which PyTorch uses a device beside a plain call: streams, graphs, autocast."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from devices import CUDA, found
from programs import all_hits
from torch.utils._python_dispatch import TorchDispatchMode

import polyops

DEVICES = found()
BF16 = torch.bfloat16


class Block(torch.nn.Module):
    """layer_norm, gelu, relu and softmax, around products."""

    def __init__(self, width: int = 256) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.up = torch.nn.Linear(width, 2 * width)
        self.down = torch.nn.Linear(2 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(x)
        mixed = torch.softmax(h @ h.transpose(-1, -2) / 16, -1) @ h
        return torch.relu(x + self.down(F.gelu(self.up(mixed))))


def inputs(
    device: str, *shape: int, dtype: torch.dtype = torch.float32, seed: int = 1
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator).to(device, dtype)


def step(model: torch.nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Result and gradients."""
    model.zero_grad(set_to_none=True)
    y = model(x)
    y.float().square().mean().backward()
    return [y.detach(), *(p.grad.clone() for p in model.parameters())]


def close(ours: list[torch.Tensor], stock: list[torch.Tensor], eps: float = 2**-18) -> None:
    for mine, theirs in zip(ours, stock, strict=True):
        assert mine.dtype == theirs.dtype
        limit = eps * theirs.abs().max().item()
        torch.testing.assert_close(mine, theirs, rtol=0, atol=limit)


def hits() -> int:
    """Of the block's own four ops: autograd and copies call others in between."""
    own = ("layer_norm", "softmax", "gelu", "relu")
    return sum(polyops.stats().get(name, {"hits": 0})["hits"] for name in own)


@pytest.fixture(params=DEVICES)
def device(request: Any, lifted: None) -> str:
    return str(request.param)


@pytest.fixture
def model(device: str) -> Block:
    torch.manual_seed(0)
    return Block().to(device)


def test_training_step(device: str, model: Block) -> None:
    x = inputs(device, 4, 64, 256)
    with polyops.disable():
        stock = step(model, x)
    polyops.reset_stats()
    ours = step(model, x)
    assert hits() == 8  # four ops, each way
    close(ours, stock)


@pytest.mark.parametrize("dtype", [BF16, torch.float16])
def test_autocast(device: str, model: Block, dtype: torch.dtype) -> None:
    x = inputs(device, 4, 64, 256)

    def cast_step() -> list[torch.Tensor]:
        with torch.autocast(device, dtype=dtype):
            return step(model, x)

    with polyops.disable():
        stock = cast_step()
    polyops.reset_stats()
    ours = cast_step()
    assert hits() > 0
    close(ours, stock, 2**-5)


def test_inference_and_deterministic_modes(device: str, model: Block) -> None:
    x = inputs(device, 4, 64, 256)
    with polyops.disable(), torch.inference_mode():
        stock = model(x)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.inference_mode():
            ours = model(x)
    finally:
        torch.use_deterministic_algorithms(False)
    close([ours], [stock])


def test_errors_about_order_are_kept(device: str) -> None:
    """Of ops that stock refuses while deterministic algorithms are wanted."""
    scores, labels = (
        inputs(device, 2, 5, 8, 8),
        torch.zeros(2, 8, 8, dtype=torch.long, device=device),
    )
    refused = {
        "cross_entropy": lambda: F.cross_entropy(scores, labels),
        "nll_loss": lambda: F.nll_loss(scores, labels, reduction="sum"),
        "cumsum": lambda: scores.cumsum(0),
    }
    torch.use_deterministic_algorithms(True)
    try:
        for name, call in refused.items():
            with polyops.disable():
                stock = outcome_of(call)
            assert outcome_of(call) == stock, name
        F.cross_entropy(scores, labels, reduction="none")
    finally:
        torch.use_deterministic_algorithms(False)


def outcome_of(call: Callable[[], Any]) -> str:
    try:
        call()
    except RuntimeError as error:
        return str(error)
    return ""


def test_runs_repeat_bit_for_bit(device: str, model: Block) -> None:
    x = inputs(device, 8, 128, 256, dtype=BF16)
    model = model.to(BF16)
    first = step(model, x)
    for _ in range(5):
        for mine, before in zip(step(model, x), first, strict=True):
            assert torch.equal(mine, before)


@CUDA
@pytest.mark.parametrize("dtype", [torch.float32, BF16])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_large_gradients_repeat_bit_for_bit(
    lifted: None, dtype: torch.dtype, memory_format: torch.memory_format
) -> None:
    """Of rows that are copied ahead while a GPU's memory is busy: read too late they are others."""
    grad, x = (
        inputs("cuda", 32, 144, 56, 56, dtype=dtype, seed=seed).to(memory_format=memory_format)
        for seed in (1, 2)
    )
    weight = inputs("cuda", 144, 1, 3, 3, dtype=dtype, seed=3)

    def gradients() -> list[torch.Tensor]:
        found = torch.ops.aten.convolution_backward(
            grad, x, weight, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 144, [True] * 3
        )
        return list(found)

    polyops.reset_stats()
    first = gradients()
    assert polyops.stats()["convolution"]["hits"] == 1
    for _ in range(100):
        assert all(map(torch.equal, gradients(), first))


def test_compile(device: str, model: Block) -> None:
    x = inputs(device, 4, 64, 256)
    with polyops.disable():
        stock = step(model, x)
    close(step(torch.compile(copy.deepcopy(model)), x), stock)


def test_vmap_and_forward_mode(device: str) -> None:
    x, t = inputs(device, 6, 33), inputs(device, 6, 33, seed=2)
    for fn in (
        F.gelu,
        torch.relu,
        lambda v: torch.softmax(v, -1),
        lambda v: F.layer_norm(v, (33,)),
    ):

        def both(fn: Any = fn) -> list[torch.Tensor]:
            return [torch.func.vmap(fn)(x), *torch.func.jvp(fn, (x,), (t,))]

        with polyops.disable():
            stock = both()
        close(both(), stock)


@CUDA
def test_tensors_of_two_devices_are_stocks_error(lifted: None) -> None:
    x, weight = inputs("cuda", 4, 32), torch.ones(32)
    with pytest.raises(RuntimeError) as ours:
        F.layer_norm(x, (32,), weight, weight)
    with polyops.disable(), pytest.raises(RuntimeError) as stock:
        F.layer_norm(x, (32,), weight, weight)
    assert str(ours.value) == str(stock.value)


@CUDA
def test_work_goes_to_the_current_stream(lifted: None) -> None:
    x = inputs("cuda", 64, 4096)
    side = torch.cuda.Stream()
    expected = torch.softmax(x * 2, -1)
    with torch.cuda.stream(side):
        for _ in range(50):
            torch.cuda._sleep(200_000)
            y = x * 2  # not there yet when the host goes on
            ours = torch.softmax(y, -1)
    side.synchronize()
    assert torch.equal(ours, expected)


class Synchronized(TorchDispatchMode):
    """The device is idle when a call begins."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        torch.cuda.synchronize()
        return func(*args, **kwargs or {})


@CUDA
@pytest.mark.parametrize("rows", [96, 1024])  # of 1024 parameters are copied first
@pytest.mark.parametrize("dtype", [torch.float32, BF16])
def test_kernels_wait_for_those_before_them(lifted: None, dtype: torch.dtype, rows: int) -> None:
    """Theirs and stock's in turn: on some devices ours are there before those have ended.

    Gradients of norms let the kernel behind them begin when they themselves do.
    """
    x = inputs("cuda", rows, 1025, dtype=dtype)
    weight, bias = (inputs("cuda", 1025, dtype=dtype, seed=seed) for seed in (2, 3))

    def steps() -> torch.Tensor:
        y = x
        for _ in range(20):  # an even number of signs
            weight.neg_()
            y = torch.cat([y[:, 512:], y[:, :512]], 1)
            y.neg_()
            normal, mean, rstd = torch.native_layer_norm(y, (1025,), weight, bias, 1e-5)
            bias.neg_()
            gradients = torch.ops.aten.native_layer_norm_backward(
                normal, y, (1025,), mean, rstd, weight, bias, [True] * 3
            )
            y = F.gelu(F.rms_norm(normal, (1025,), bias)) + gradients[0].softmax(-1)
            y += gradients[1].relu() + gradients[2].softmax(0)
        return y

    with torch.no_grad():
        with Synchronized():
            alone = steps()
        for _ in range(5):
            polyops.reset_stats()
            torch.cuda._sleep(50_000_000)  # for the host to be ahead
            assert torch.equal(steps(), alone)
            assert all_hits() >= 7 * 20


@CUDA
def test_graph_replay(lifted: None) -> None:
    torch.manual_seed(0)
    model, x = Block().cuda(), inputs("cuda", 4, 64, 256)
    expected = step(model, x)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        step(model, x)
    torch.cuda.current_stream().wait_stream(side)
    static, graph = torch.zeros_like(x), torch.cuda.CUDAGraph()
    polyops.reset_stats()
    with torch.cuda.graph(graph):
        results = step(model, static)
    assert hits() == 8
    for scale in (1.0, 0.5):
        static.copy_(x * scale)
        graph.replay()
        torch.cuda.synchronize()
        close([results[0]], [model(x * scale).detach()])
    static.copy_(x)
    graph.replay()
    close(results, expected)


@CUDA
@pytest.mark.slow
def test_more_than_two_to_the_31_elements(lifted: None) -> None:
    rows, n = (1 << 31) // 4096 + 8, 4096
    if torch.cuda.mem_get_info()[0] < 6 * rows * n * 2:
        pytest.skip("too little memory")
    x = torch.randn(rows, n, device="cuda", dtype=BF16)
    w = torch.ones(n, device="cuda", dtype=BF16)
    for fn in (F.gelu, lambda v: torch.softmax(v, -1), lambda v: F.layer_norm(v, (n,), w, w)):
        polyops.reset_stats()
        last = fn(x)[-16:].clone()
        assert hits() == 1
        with polyops.disable():
            stock = fn(x[-16:])
        close([last.float()], [stock.float()], 2**-7)
    columns = torch.softmax(x.view(-1, 8, 4096), 1).view(rows, n)[-16:].clone()
    with polyops.disable():
        stock = torch.softmax(x[-16:].view(-1, 8, 4096), 1).view(16, n)
    close([columns.float()], [stock.float()], 2**-7)


@CUDA
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="one device")
def test_a_device_that_is_not_the_current_one(lifted: None) -> None:
    x = inputs("cuda:1", 64, 1000)
    assert torch.cuda.current_device() == 0
    y = torch.softmax(x, -1)
    assert y.device == x.device
    assert torch.cuda.current_device() == 0
    with polyops.disable():
        close([y], [torch.softmax(x, -1)])
