"""What ends in copy_ on a device: as stock's, whether a kernel of ours takes it or not."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from both import tensors_of
from devices import found, served_ops
from torch.func import functionalize, vmap

import polyops

DEVICES = [device for device in found() if "copy" in served_ops(device)]


@pytest.fixture(params=DEVICES)
def device(request: Any, lifted: None) -> str:
    return str(request.param)


def table(device: str, *sizes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randn(sizes or (40, 66), generator=generator).to(device, dtype)


def outcome(call: Callable[[str], Any], device: str) -> tuple[str, list[torch.Tensor]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "", tensors_of(call(device))
    except Exception as error:  # whatever stock raises
        return f"{type(error).__name__}: {str(error).splitlines()[0]}", []


def taken() -> int:
    return int(polyops.stats().get("copy", {"hits": 0})["hits"])


def image(device: str) -> torch.Tensor:
    return table(device, 2, 33, 7, 9)


def gradient(device: str) -> list[torch.Tensor]:
    x = table(device).requires_grad_()
    y = torch.zeros(66, 40, device=device)
    y.copy_(x.t())
    y.square().sum().backward()
    assert x.grad is not None
    return [y.detach(), x.grad]


def written_slices(device: str) -> torch.Tensor:
    cache = torch.zeros(4, 100, 64, device=device)
    cache[:, 10:43] = table(device, 33, 4, 64).transpose(0, 1)
    return cache


def autocast(device: str) -> torch.Tensor:
    with torch.autocast(device, dtype=torch.bfloat16):
        return table(device).t().contiguous()


def inference(device: str) -> torch.Tensor:
    with torch.inference_mode():
        return table(device).t().contiguous().clone()


def deterministic(device: str) -> torch.Tensor:
    torch.use_deterministic_algorithms(True)
    try:
        return table(device).t().contiguous()
    finally:
        torch.use_deterministic_algorithms(False)


TAKEN: dict[str, Callable[[str], Any]] = {
    "contiguous": lambda d: table(d).t().contiguous(),
    "clone": lambda d: table(d).t().clone(memory_format=torch.contiguous_format),
    "reshape": lambda d: table(d).t().reshape(-1),
    "flatten": lambda d: image(d).permute(0, 2, 3, 1).flatten(),
    "to channels_last": lambda d: image(d).contiguous(memory_format=torch.channels_last),
    "of channels_last": lambda d: (
        image(d).to(memory_format=torch.channels_last).contiguous(),
        image(d)
        .contiguous(memory_format=torch.channels_last)
        .clone(memory_format=torch.contiguous_format),
    ),
    "to, copied": lambda d: table(d).t().to(copy=True, memory_format=torch.contiguous_format),
    "slices": written_slices,
    "gradient": gradient,
    "autocast": autocast,
    "inference": inference,
    "deterministic": deterministic,
    "functionalized": lambda d: functionalize(lambda x: x.t().contiguous())(table(d)),
    "in a vmap": lambda d: vmap(lambda x: x.t().contiguous())(table(d, 3, 20, 33)),
    "written on write": lambda d: torch._lazy_clone(table(d)).copy_(table(d, 66, 40).t()),
}
OTHERS: dict[str, Callable[[str], Any]] = {
    "itself": lambda d: (x := table(d)).copy_(x),
    "itself, turned": lambda d: (x := table(d, 20, 20)).t().contiguous().copy_(x),
    "a part of itself": lambda d: (x := table(d))[:20].copy_(x[10:30]),
    "an expanded result": lambda d: table(d, 1, 9).expand(5, 9).copy_(table(d, 5, 9)),
    "broadcast": lambda d: table(d).copy_(table(d, 66)),
    "scalars": lambda d: table(d).copy_(torch.tensor(3.0)),
    "wrong sizes": lambda d: table(d).copy_(table(d, 3)),
    "other types": lambda d: table(d, dtype=torch.float16).t().float(),
    "booleans": lambda d: (table(d) > 0).t().float().contiguous(),
    "conjugate": lambda d: table(d, dtype=torch.complex64).mH.resolve_conj(),
    "to conjugate": lambda d: (
        table(d, 8, 8, dtype=torch.complex64)
        .conj()
        .copy_(table(d, 8, 8, dtype=torch.complex64).t())
    ),
    "negative": lambda d: torch._neg_view(table(d).t()).contiguous(),
    "zeros without memory": lambda d: table(d).copy_(
        torch._efficientzerotensor((40, 66), device=d)
    ),
    "from the host": lambda d: torch.zeros(66, 40, device=d).copy_(
        table("cpu").t(), non_blocking=True
    ),
    "to the host": lambda d: torch.zeros(66, 40).copy_(table(d).t()),
    "sparse": lambda d: table(d).to_sparse().clone().to_dense(),
    "compressed": lambda d: table(d).to_sparse_csr().clone().to_dense(),
    "nested": lambda d: torch.nested.nested_tensor([table(d), table(d)]).clone().unbind(),
    "quantized": lambda d: (
        torch.quantize_per_tensor(table(d), 0.1, 0, torch.qint8).t().contiguous().dequantize()
    ),
    "to meta": lambda d: list(torch.zeros(66, 40, device="meta").copy_(table(d).t()).shape),
    "a leaf": lambda d: table(d).requires_grad_().copy_(table(d, 66, 40).t()),
    "empty": lambda d: table(d, 1, 4)[:0].t().contiguous(),
}


@pytest.mark.parametrize("name", [*TAKEN, *OTHERS])
def test_as_stock(device: str, name: str) -> None:
    call = {**TAKEN, **OTHERS}[name]
    with polyops.disable():
        error, expected = outcome(call, device)
    polyops.reset_stats()
    ours, results = outcome(call, device)
    assert ours == error
    if name in TAKEN:
        assert error == ""
        assert taken() > 0
    for mine, theirs in zip(results, expected, strict=True):
        assert mine.stride() == theirs.stride()
        assert mine.is_conj() == theirs.is_conj()
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_declined_at_once_is_counted(device: str) -> None:
    x, y, half = table(device), table(device), table(device).half()
    polyops.reset_stats()
    y.copy_(x)
    y.copy_(half)
    y.copy_(x[0])
    reasons = polyops.stats()["copy"]["declined"]
    assert reasons == {"one run of memory": 1, "mixed dtypes or devices": 1, "broadcast": 1}
    assert taken() == 0


def test_switched_off(device: str) -> None:
    with polyops.disable("copy"):
        polyops.reset_stats()
        table(device).t().contiguous()
        assert taken() == 0
    table(device).t().contiguous()
    assert taken() == 1
