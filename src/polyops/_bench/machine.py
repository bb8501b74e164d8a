"""The machine: what it is, and the limits that rows are held against, measured in this process.

Bandwidths are of torch's own loops with all threads, into memory that is mapped already, the best
of several runs: a copy counts bytes read and written, a read is a sum. Peak rates are the largest
that any product reached, on stock or on polyops: what this process has seen, not arithmetic.
"""

import math
import os
import platform
import re
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

import polyops
from polyops import _C
from polyops._bench.measure import batch_ns, patched

LARGE = 256 << 20  # bytes moved by the copy that machine.copy_gbs names; beyond any cache
_peaks: dict[str, float] = {}
SIZES = [64 << 10, 512 << 10, 4 << 20, 16 << 20, 64 << 20, LARGE]


def best_ns(fn: Callable[[], Any], budget_ns: int = 30_000_000) -> float:
    """The quickest of several batches."""
    fn()
    once = max(batch_ns(fn, 1), 1.0)
    calls = max(1, round(200_000 / once))
    repeats = max(3, min(30, round(budget_ns / (once * calls))))
    return min(batch_ns(fn, calls) for _ in range(repeats))


@cache
def copy_gbs(moved: int) -> float:
    """Of a copy that moves that many bytes, half of them read."""
    src = torch.randn(moved // 8)
    dst = torch.empty_like(src)
    return moved / best_ns(lambda: dst.copy_(src))


@cache
def read_gbs(moved: int) -> float:
    src = torch.randn(moved // 4)
    return moved / best_ns(src.sum)


def bandwidth(moved: int, of: Callable[[int], float]) -> float:
    """Of the measured size nearest to the bytes that a row moves."""
    return of(min(SIZES, key=lambda size: abs(math.log(size / max(moved, 1)))))


def peak_gflops(dtype: str) -> float:
    """The largest rate of a product that this process has seen; of a square one at least."""
    if dtype not in _peaks:
        _peaks[dtype] = max(_square_gflops(dtype, on) for on in (False, True))
    return _peaks[dtype]


def saw_gflops(dtype: str, rate: float) -> None:
    _peaks[dtype] = max(rate, peak_gflops(dtype))


def _square_gflops(dtype: str, on: bool) -> float:
    size = 1024
    lhs, rhs = (torch.randn(size, size).to(getattr(torch, dtype)) for _ in range(2))
    with patched(on):
        return 2 * size**3 / best_ns(partial(torch.mm, lhs, rhs), 60_000_000)


def chip(device: str = "cpu") -> str:
    """As gate files name it; "unknown" until a family of that device is loaded."""
    for family in _C.families():
        if family["device"] == device and family["loaded"]:
            return family["chip"]
    return "unknown"


def model_name() -> str:
    """What the processor calls itself."""
    try:
        with open("/proc/cpuinfo") as file:  # noqa: PTH123
            match = re.search(r"^model name\s*:\s*(.+)$", file.read(), re.MULTILINE)
    except OSError:
        match = None
    return match.group(1) if match else platform.processor() or platform.machine()


def libraries() -> dict[str, str]:
    """The libraries behind stock's kernels, from torch's own description of itself."""
    text = torch.__config__.show()
    patterns = {
        "mkl": r"Math Kernel Library Version ([\d.]+(?: Update \d+)?)",
        "onednn": r"MKL-DNN v([\d.]+)",
        "openmp": r"OpenMP (\d+)",
        "capability": r"CPU capability usage: (\S+)",
    }
    found = {name: re.search(pattern, text) for name, pattern in patterns.items()}
    return {name: match.group(1) for name, match in found.items() if match}


def listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    return {
        "chip": chip(),
        "cores": cores(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "polyops": polyops.__version__,
        "libraries": libraries(),
        "copy_gbs": round(copy_gbs(LARGE), 1),
        "read_gbs": round(read_gbs(LARGE), 1),
        "peak_gflops": round(peak_gflops("float32"), 1),
    }
