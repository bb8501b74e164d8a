"""Calls of cross_entropy on devices, what ran of them, and what they are held against."""

from typing import Any

import torch
import torch.nn.functional as F
from devices import found, served_ops

import polyops

DEVICES = [d for d in found() if "cross_entropy" in served_ops(d)]
F32, BF16, F16 = torch.float32, torch.bfloat16, torch.float16


def scores(device: str, *shape: int, dtype: torch.dtype = F32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, generator=generator) * 2
    return x.to(device, dtype).requires_grad_()


def labels(device: str, samples: int, classes: int, *pixels: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    target = torch.randint(classes, (samples, *pixels), generator=generator)
    target.view(-1)[1::4] = -100
    return target.to(device)


def kernels() -> dict[str, int]:
    return polyops.stats()["cross_entropy"]["kernels"]


def reasons() -> dict[str, int]:
    return polyops.stats()["cross_entropy"]["declined"]


def ran(direction: str) -> int:
    """How often a kernel of that direction did."""
    name = "cross_entropy" if direction == "forward" else "cross_entropy_backward"
    names = (name, name.replace("cross_entropy", "cross_entropy_pixels"))
    return sum(n for kernel, n in kernels().items() if kernel.partition("__")[0] in names)


def both_ways(x: torch.Tensor, target: torch.Tensor, **options: Any) -> list[torch.Tensor]:
    loss = F.cross_entropy(x, target, **options)
    grad = torch.linspace(0.5, 2, loss.numel(), device=loss.device).view_as(loss).to(loss.dtype)
    return [loss.detach(), *torch.autograd.grad(loss, x, grad)]


def by_stock(fn: Any, *args: Any, **options: Any) -> Any:
    with polyops.disable():
        return fn(*args, **options)


def close(ours: Any, stock: Any, eps: float = 2**-20) -> None:
    for mine, theirs in zip(ours, stock, strict=True):
        assert (mine.dtype, mine.shape, mine.stride()) == (
            theirs.dtype,
            theirs.shape,
            theirs.stride(),
        )
        torch.testing.assert_close(
            mine, theirs, rtol=0, atol=eps * max(theirs.abs().max().item(), 1e-3)
        )
