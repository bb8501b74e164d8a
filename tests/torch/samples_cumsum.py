"""Samples of cumsum. Of its kernels, families have them for devices alone."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F16, F32, F64, LAYOUTS, TAKEN, Args, Make, Sample, args
from samples_elementwise import RANK_9

HALVES = (BF16, F16)


def sample(what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Sample:
    return Sample("cumsum", what, make, expect, dtypes)


def of_shapes() -> Iterator[Sample]:
    shapes = [(), (1,), (7,), (5, 13), (3, 1, 17), (300, 33), (600, 8), (2, 3, 8, 9), (2, 9001)]
    for shape in (*shapes, (1, 2, 1, 2, 2, 1, 3, 2)):
        for dim in {*range(len(shape)), -1}:
            yield sample(f"{shape} dim {dim}", lambda m, s=shape, d=dim: args(m(*s), d))
    yield sample("rank 9", lambda m: args(m(*RANK_9), 8), "rank")


def of_layouts() -> Iterator[Sample]:
    for layout, dim in product([*LAYOUTS, "channels_last"], range(4)):
        dense = layout in ("contiguous", "padded", "offset")
        yield sample(
            f"{layout} dim {dim}",
            lambda m, la=layout, d=dim: args(m(4, 9, 10, 8, layout=la), d),
            "hit" if dense else "any",
        )


def of_values() -> Iterator[Sample]:
    for dim in (0, 1):
        yield sample(f"special dim {dim}", lambda m, d=dim: args(m(90, 30, special=True), d))
    yield Sample(
        "cumsum",
        "into float32",
        lambda m: args(m(30, 50), 1, dtype=F32),
        dtypes=HALVES,
        result_dtype=F32,
    )
    yield sample("into float64", lambda m: args(m(4, 5), 1, dtype=F64), "any", (F32,))
    for dtype in (torch.int64, torch.bool):
        yield sample(f"of {dtype}", lambda m, t=dtype: args((m(4, 5) > 0).to(t), 1), "any", (F32,))
    yield sample("empty", lambda m: args(m(0, 5), 1), "empty")
    yield sample("wrong dimension", lambda m: args(m(4, 5), 2), "error")
    yield sample("meta", lambda m: args(m(6, 5).to("meta"), 1), "any", (F32,))


def of_out() -> Iterator[Sample]:
    def into(m: Make, out: Any, dim: int = 1, **named: Any) -> Args:
        return args(m(6, 50), dim, **named, out=out(m))

    for dim in (0, 1):
        yield Sample("cumsum.out", f"dim {dim}", lambda m, d=dim: into(m, lambda m: m(6, 50), d))
        yield Sample("cumsum_", f"dim {dim}", lambda m, d=dim: args(m(6, 50), d))
        yield Sample(
            "cumsum_", f"padded dim {dim}", lambda m, d=dim: args(m(6, 50, layout="padded"), d)
        )
    yield Sample(
        "cumsum.out", "to be resized", lambda m: into(m, lambda m: m(0)), "out must be resized"
    )
    yield Sample(
        "cumsum.out",
        "of float32",
        lambda m: into(m, lambda m: m(6, 50, dtype=F32), dtype=F32),
        dtypes=HALVES,
        result_dtype=F32,
    )


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_layouts, of_values, of_out):
        yield from part()
