"""The ways in which PyTorch uses a device beside a plain call: streams, graphs, forks, autocast."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from devices import found
from fresh import output
from torch.utils._python_dispatch import TorchDispatchMode

import polyops

DEVICES = found()
CUDA = pytest.mark.skipif("cuda" not in DEVICES, reason="no CUDA device that a family serves")
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
            assert sum(op["hits"] for op in polyops.stats().values()) >= 7 * 20


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


FIRST_CALL_IN_A_GRAPH = """
import json, torch, polyops
polyops._C.set_gate(False)
x = torch.randn(64, 1000, device="cuda", dtype=torch.bfloat16)
w = torch.ones(1000, device="cuda", dtype=torch.bfloat16)
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    y = torch.softmax(torch.nn.functional.layer_norm(x, (1000,), w, w), -1)
graph.replay()
torch.cuda.synchronize()
with polyops.disable():
    z = torch.softmax(torch.nn.functional.layer_norm(x, (1000,), w, w), -1)
hits = sum(op["hits"] for op in polyops.stats().values())
print(json.dumps([hits, (y.float() - z.float()).abs().max().item()]))
"""


@CUDA
def test_the_very_first_call_can_be_captured() -> None:
    count, error = output(FIRST_CALL_IN_A_GRAPH)
    assert count == 2
    assert error < 1e-3


# Whole grids, clusters that the device is asked about, launches that begin early, behind these and
# in front of them, too: each captured before any of its kernels has run.
CAPTURED = """
import json, torch, polyops
polyops._C.set_gate(False)
torch.manual_seed(0)
aten, bf16 = torch.ops.aten, torch.bfloat16
image = torch.randn(32, 64, 56, 56, device="cuda", dtype=bf16)
image = image.to(memory_format=torch.channels_last)
rows = torch.randn(2048, 1024, device="cuda", dtype=bf16)
long = torch.randn(64, 65536, device="cuda")
one, scale = torch.ones(1024, device="cuda", dtype=bf16), torch.ones(64, device="cuda")
mean, rstd = torch.zeros(2048, 1, device="cuda"), torch.ones(2048, 1, device="cuda")
places = torch.randint(500, (2048,), device="cuda")
running = [torch.zeros(64, device="cuda"), torch.ones(64, device="cuda")]
saved = aten.native_batch_norm(image, scale, scale, *running, True, 0.0, 1e-5)[1:]
spots = torch.randn(500, 1024, device="cuda", dtype=bf16)
calls = {
    "batch_norm": lambda: aten.native_batch_norm(image, scale, scale, *running, True, 0.0, 1e-5),
    "batch_norm_backward": lambda: aten.native_batch_norm_backward(
        image, image, scale, *running, *saved, True, 1e-5, [True, True, True]),
    "softmax": lambda: aten._softmax(long, -1, False),
    "layer_norm": lambda: aten.native_layer_norm(long, [65536], None, None, 1e-5),
    "layer_norm_backward": lambda: aten.native_layer_norm_backward(
        rows, rows, [1024], mean, rstd, one, one, [True, True, True]),
    "group_norm": lambda: aten.native_group_norm(image.contiguous(), scale.to(bf16), None, 32, 64,
                                                 56 * 56, 4, 1e-5),
    "embedding": lambda of=rows: aten.embedding_dense_backward(of, places, 500, -1, False),
    "index_add": lambda of=rows: aten.index_add(spots.to(of.dtype), 0, places, of),
    "cumsum": lambda: aten.cumsum(long, -1),
    "linalg_vector_norm": lambda: aten.linalg_vector_norm(long),
    "batch_norm, relu": lambda: aten.relu(calls["batch_norm"]()[0]),
    "relu, batch_norm": lambda: aten.native_batch_norm(
        aten.relu(image), scale, scale, *running, True, 0.0, 1e-5),
    "relu, softmax": lambda: aten._softmax(aten.relu(long), -1, False),
}
torch.cuda.synchronize()
off = {}
for name, call in calls.items():
    polyops.reset_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        ours = call()
    hits = sum(op["hits"] for op in polyops.stats().values())
    for _ in range(2):
        graph.replay()
    torch.cuda.synchronize()
    with polyops.disable():
        # Stock's sums of bfloat16 are further from the exact ones than the bound.
        stock = call(rows.float()) if name in ("embedding", "index_add") else call()
    pairs = zip(*([t] if isinstance(t, torch.Tensor) else t for t in (ours, stock)))
    errors = [(a.float() - b.float()).abs().max() / b.abs().max().clamp(min=1) for a, b in pairs]
    off[name] = [hits, max(errors).item()]
print(json.dumps(off))
"""


@CUDA
def test_every_kind_of_launch_can_be_captured_first() -> None:
    for name, (hits, error) in output(CAPTURED).items():
        assert hits >= len(name.split(", ")), name
        assert error < 2**-7, name


FORK = """
import json, os, torch, polyops
polyops._C.set_gate(False)
assert not torch.cuda.is_initialized()
read, write = os.pipe()
child = os.fork()
if child == 0:
    y = torch.softmax(torch.randn(8, 1000, device="cuda"), -1)
    hits = polyops.stats()["softmax"]["hits"]
    os.write(write, json.dumps([hits, y.sum().item()]).encode())
    os._exit(0)
os.waitpid(child, 0)
print(os.read(read, 1000).decode())
"""


@CUDA
def test_a_child_forked_after_the_import_can_use_the_device() -> None:
    count, total = output(FORK)
    assert count == 1
    assert abs(total - 8) < 1e-3


@CUDA
def test_import_makes_no_context() -> None:
    code = "import json, torch, polyops; torch.softmax(torch.randn(4, 9), -1);"
    state = "[f['loaded'] for f in polyops._C.families() if f['device'] == 'cuda']"
    assert output(f"{code} print(json.dumps([torch.cuda.is_initialized(), {state}]))") == [
        False,
        [False],
    ]


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


@pytest.mark.skipif("cuda" not in DEVICES or torch.cuda.device_count() < 2, reason="one device")
def test_a_device_that_is_not_the_current_one(lifted: None) -> None:
    x = inputs("cuda:1", 64, 1000)
    assert torch.cuda.current_device() == 0
    y = torch.softmax(x, -1)
    assert y.device == x.device
    assert torch.cuda.current_device() == 0
    with polyops.disable():
        close([y], [torch.softmax(x, -1)])
