"""What kept memory is worth by itself.

Stock's kernels on both sides, results in memory from the system or from what was freed before. The
rows of kernels do not show it: both their sides have memory that is kept.
"""

from collections.abc import Callable
from functools import partial
from typing import TypedDict

import torch
import torch.nn.functional as F
from torch import Tensor

import polyops
from polyops._bench.measure import interleaved

GROUP = "memory"  # as `polyops bench --op` names it


class MemoryRow(TypedDict):
    """ratio: time with memory from the system / time with kept memory, above 1 is faster."""

    call: str
    shape: str
    result_mb: float
    stock_us: float
    kept_us: float
    ratio: float
    p20: float
    p80: float


def _linear(rows: int, width: int, inner: int) -> Callable[[], Tensor]:
    return partial(F.linear, torch.randn(rows, inner), torch.randn(width, inner))


def _of(fn: Callable[..., Tensor], *sizes: int, copies: int = 1) -> Callable[[], Tensor]:
    return partial(fn, *(torch.randn(sizes) for _ in range(copies)))


def _halves(*sizes: int) -> Callable[[], Tensor]:
    return partial(torch.cat, [torch.randn(sizes) for _ in range(2)])


CALLS: list[tuple[str, str, Callable[[], Callable[[], Tensor]]]] = [
    ("relu", "8x256x56x56", lambda: _of(torch.relu, 8, 256, 56, 56)),
    ("relu", "32x256x56x56", lambda: _of(torch.relu, 32, 256, 56, 56)),
    ("add", "4096x4096", lambda: _of(torch.add, 4096, 4096, copies=2)),
    ("cat", "2 of 2048x4096", lambda: _halves(2048, 4096)),
    ("gelu", "2048x1536", lambda: _of(F.gelu, 2048, 1536)),
    ("softmax", "4096x1024", lambda: _of(partial(torch.softmax, dim=-1), 4096, 1024)),
    ("linear", "2048x1536x384", lambda: _linear(2048, 1536, 384)),
    ("add", "512x768", lambda: _of(torch.add, 512, 768, copies=2)),
    ("add", "128x384", lambda: _of(torch.add, 128, 384, copies=2)),
]
"""Name, shape, and what makes the call with float32 inputs of its own."""


def measure(done: Callable[[], None] = lambda: None) -> list[MemoryRow]:
    """Call it before _C.recycle_tensor_memory(). No rows where memory is not kept at all."""
    before = polyops.memory_stats()
    if not before["keeping"]:
        return []
    try:
        with polyops.disable():
            return [_row(*call, before["limit_bytes"], done) for call in CALLS]
    finally:
        polyops.keep_memory(before["limit_bytes"])


def _row(
    call: str,
    shape: str,
    make: Callable[[], Callable[[], Tensor]],
    limit: int,
    done: Callable[[], None],
) -> MemoryRow:
    fn = make()
    timing = interleaved((fn, fn), lambda on: polyops.keep_memory(limit if on else 0))
    done()
    return MemoryRow(
        call=call,
        shape=shape,
        result_mb=round(fn().nbytes / 1e6, 1),
        stock_us=round(timing.stock_us, 3),
        kept_us=round(timing.polyops_us, 3),
        ratio=round(timing.ratio, 4),
        p20=round(timing.p20, 4),
        p80=round(timing.p80, 4),
    )
