"""Programs of several ops, what they hit, and how near results are."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F

import polyops


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
