"""The family "onednn": forced, because its gates are shut. Skipped where it was not built."""

from collections.abc import Callable, Iterator

import pytest
import torch
from both import CallParts, Outcome, assert_same_but_values, run, run_stock
from fresh import output
from samples import BF16, F32
from torch import Tensor, nn

import polyops

BUILT = any(f["name"] == "onednn" for f in polyops._C.families())
pytestmark = [
    pytest.mark.usefixtures("lifted"),
    pytest.mark.skipif(not BUILT, reason="built without oneDNN"),
]

FORCED = {
    op: f"{op}_onednn"
    for op in (
        "gemm",
        "gemm_pack",
        "gemm_prepacked",
        "convolution",
        "convolution_pack",
        "convolution_prepacked",
    )
}
FORCE = ",".join(f"{op}={kernel}" for op, kernel in FORCED.items())


@pytest.fixture
def forced() -> Iterator[None]:
    for op, kernel in FORCED.items():
        polyops._C.force(op, kernel)
    yield
    for op in FORCED:
        polyops._C.force(op, None)


def kernels(outcome: Outcome) -> list[str | None]:
    return [call.kernel for call in outcome.calls]


def compare(call: Callable[[], CallParts]) -> Outcome:
    """As test_convolution.py: 100 units in the last place of the largest value."""
    stock, ours = run_stock(call), run(call)
    assert_same_but_values(stock, ours)
    for mine, theirs in zip(ours.results, stock.results, strict=True):
        limit = 100 * torch.finfo(theirs.dtype).eps * theirs.abs().max().item()
        assert (mine.double() - theirs.double()).abs().max().item() <= limit
    return ours


def forward(layer: nn.Module, x: Tensor) -> Callable[[], CallParts]:
    def call() -> Tensor:
        with torch.no_grad():
            return layer(x)

    return lambda: (call, (), {})


def randn(*sizes: int, dtype: torch.dtype = F32) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_is_of_the_chip_of_the_cpu_family() -> None:
    families = {f["name"]: f for f in polyops._C.families()}
    cpu, family = families["cpu"], families["onednn"]
    assert family["loaded"]
    assert (family["device"], family["chip"], family["gates"]) == ("cpu", cpu["chip"], cpu["gates"])
    assert family["isas"] == []


def test_comes_after_the_cpu_family() -> None:
    order = [k["family"] for k in polyops._C.kernels() if k["device"] == "cpu"]
    first = order.index("onednn")
    assert "cpu" in order[:first]
    assert "cpu" not in order[first:]


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", [(1, 64), (33, 64), (2, 5, 64), (64,)], ids=str)
def test_linear(sizes: tuple[int, ...], bias: bool, dtype: torch.dtype) -> None:
    layer = nn.Linear(64, 48, bias=bias).to(dtype)
    ours = compare(forward(layer, randn(*sizes, dtype=dtype)))
    assert set(kernels(ours)) == {"gemm_onednn"}


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Conv1d": (lambda: nn.Conv1d(6, 8, 5, stride=2, padding=2), (2, 6, 31)),
    "Conv2d": (lambda: nn.Conv2d(6, 8, 3, padding=1), (2, 6, 12, 13)),
    "Conv2d 1x1": (lambda: nn.Conv2d(16, 24, 1), (2, 16, 9, 9)),
    "Conv2d without bias": (lambda: nn.Conv2d(3, 16, 7, 2, 3, bias=False), (3, 3, 40, 41)),
    "Conv2d dilated": (lambda: nn.Conv2d(6, 8, 3, padding=2, dilation=2), (2, 6, 12, 13)),
    "Conv2d grouped": (lambda: nn.Conv2d(6, 8, 3, groups=2), (2, 6, 12, 13)),
    "Conv2d depthwise": (lambda: nn.Conv2d(32, 32, 3, padding=1, groups=32), (2, 32, 12, 13)),
    "Conv2d, few pixels": (lambda: nn.Conv2d(128, 256, 3, padding=1), (1, 128, 7, 7)),
    "Conv3d": (lambda: nn.Conv3d(3, 4, 3, padding=1), (2, 3, 5, 6, 7)),
}


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
@pytest.mark.parametrize("name", LAYERS)
def test_convolutions(name: str, packed: bool, dtype: torch.dtype) -> None:
    make, sizes = LAYERS[name]
    formats = [torch.contiguous_format]
    if len(sizes) == 4:  # of the others the bindings take contiguous ones alone
        formats.append(torch.channels_last)
    for memory_format in formats:
        torch.manual_seed(0)
        layer = make().to(dtype).to(memory_format=memory_format)
        x = randn(*sizes, dtype=dtype).contiguous(memory_format=memory_format)
        if packed:
            identity, reason = polyops._C.pack_convolution(
                layer.weight,
                stride=layer.stride,
                padding=layer.padding,
                dilation=layer.dilation,
                groups=layer.groups,
                gated=False,
            )
            assert reason is None
        ours = compare(forward(layer, x))
        assert kernels(ours) == [f"convolution_{'prepacked_' if packed else ''}onednn"]
        if packed:
            polyops._C.drop_pack(identity)


@pytest.mark.usefixtures("forced")
@pytest.mark.parametrize("dtype", [F32, BF16])
def test_packed_linear(dtype: torch.dtype) -> None:
    layer = nn.Linear(100, 200).to(dtype)
    identity, reason = polyops._C.pack_matrix(layer.weight, gated=False)
    assert reason is None
    for rows in (1, 7, 64):
        ours = compare(forward(layer, randn(rows, 100, dtype=dtype)))
        assert kernels(ours) == ["gemm_prepacked_onednn"]
    polyops._C.drop_pack(identity)


@pytest.mark.usefixtures("forced")
def test_half_is_stock() -> None:
    ours = compare(forward(nn.Linear(8, 8).half(), randn(4, 8, dtype=torch.float16)))
    assert kernels(ours) == [None]


def test_is_not_chosen_by_itself() -> None:
    polyops._C.set_gate(True)
    shapes = [(nn.Linear(256, 256), (64, 256)), (nn.Conv2d(64, 64, 3), (1, 64, 28, 28))]
    for layer, sizes in shapes:
        for dtype in (F32, BF16):
            ours = run(forward(layer.to(dtype), randn(*sizes, dtype=dtype)))
            assert not any("_onednn" in k for k in kernels(ours) if k and "__torch" not in k)


# Prints what must not change: torch's number of threads as it stands on two threads, and how many
# threads the process has, before and after many calls.
THREADS = """
import json, os, threading
import torch
torch.set_num_threads(2)
from torch import nn
import polyops

layers = [nn.Linear(256, 512), nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 128, 1)]
inputs = [torch.randn(300, 256), torch.randn(3, 64, 28, 28), torch.randn(1, 64, 28, 28)]

def call():
    with torch.no_grad():
        for layer, x in zip(layers, inputs):
            for dtype in (torch.float32, torch.bfloat16):
                layer.to(dtype)(x.to(dtype))

def now():
    return [torch.get_num_threads(), len(os.listdir("/proc/self/task"))]

def elsewhere():
    seen.append(torch.get_num_threads())
    call()
    seen.append(torch.get_num_threads())

seen = []
torch.relu(torch.randn(1 << 20))  # torch's own pool is there from here on
with polyops.disable():
    call()
before = now()
for _ in range(200):
    call()
after = now()
other = threading.Thread(target=elsewhere)
other.start()
other.join()
stats = polyops.stats()
kernels = {**stats["addmm"]["kernels"], **stats["convolution"]["kernels"]}
print(json.dumps({"before": before, "after": after, "elsewhere": seen, "kernels": kernels}))
"""


def test_threads_stay_as_they_were() -> None:
    result = output(THREADS, POLYOPS_FORCE=FORCE)
    assert result["before"] == result["after"]
    assert result["elsewhere"][0] == result["elsewhere"][1]
    assert result["kernels"]["gemm_onednn"] >= 400
    assert result["kernels"]["convolution_onednn"] >= 800


# A worker as DataLoader makes it: forked from a process that has used both pools, with one thread.
FORK = """
import json, os
import torch
from torch import nn
import polyops

layer, x = nn.Conv2d(32, 64, 3, padding=1), torch.randn(2, 32, 20, 20)
linear, y = nn.Linear(256, 256), torch.randn(100, 256)
with torch.no_grad():
    torch.set_num_threads(1)
    wanted = [layer(x), linear(y)]
    torch.set_num_threads(2)
    layer(x), linear(y)
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        same = all(map(torch.equal, [layer(x), linear(y)], wanted))
        os._exit(0 if same else 1)
print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


def test_after_a_fork() -> None:
    assert output(FORK, POLYOPS_FORCE=FORCE) == 0
