"""Samples of sum, mean, amax, amin and logsumexp.

Of their kernels, families have them for devices alone.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F16, F32, F64, LAYOUTS, TAKEN, Args, Make, Sample, args
from samples_elementwise import RANK_9

SUMS = ("sum.dim_IntList", "mean.dim")
LARGEST = ("amax", "amin")
ALL = (*SUMS, *LARGEST, "logsumexp")
OUT = {"sum.dim_IntList": "sum.IntList_out", "mean.dim": "mean.out"}
OUT |= {name: f"{name}.out" for name in (*LARGEST, "logsumexp")}
HALVES = (BF16, F16)


def each(
    what: str, make: Any, expect: str = "hit", ops: tuple[str, ...] = ALL, dtypes: Any = TAKEN
) -> Iterator[Sample]:
    for op in ops:
        yield Sample(op, what, make, expect, dtypes)


SHAPES: dict[tuple[int, ...], list[list[int]]] = {
    (): [[], [0], [-1]],
    (1,): [[0]],
    (7,): [[], [-1]],
    (5, 13): [[0], [1], [0, 1], [-1, 0], []],
    (3, 1, 17): [[1], [0], [2], [0, 2]],
    (300, 33): [[0], [1]],
    (2, 3, 8, 9): [[0, 2, 3], [1], [2, 3], [0, 1], [-2], [1, 2]],
    (2, 3, 40, 24): [[0, 2], [2], [0, 1, 2], [1, 3]],
    (2, 5, 9, 3, 4): [[0, 2], [1, 3, 4]],
    (1, 2, 1, 2, 2, 1, 3, 2): [[1, 2], [7], [0, 1, 2, 3]],
    (4, 9000): [[1], [0]],
    (1, 40000): [[1]],
}


def of_shapes() -> Iterator[Sample]:
    for shape, all_dims in SHAPES.items():
        for index, dims in enumerate(all_dims):
            yield from each(
                f"{shape} over {dims}",
                lambda m, s=shape, d=dims, k=index % 2 == 1: args(m(*s), d, k),
                ops=ALL if dims else (*SUMS, *LARGEST),
            )
    for op in SUMS:
        yield Sample(op, "over all", lambda m: args(m(5, 13), None))
    yield Sample("logsumexp", "of no dimensions", lambda m: args(m(), []), "no dimensions")
    yield from each("rank 9", lambda m: args(m(*RANK_9), [8]), "rank")


def of_layouts() -> Iterator[Sample]:
    for layout, dims in product([*LAYOUTS, "channels_last"], ([0], [1], [3], [0, 2, 3], [2, 3])):
        dense = layout in ("contiguous", "padded", "offset", "channels_last")
        yield from each(
            f"{layout} over {dims}",
            lambda m, la=layout, d=dims: args(m(4, 9, 10, 8, layout=la), d),
            "hit" if dense and not (layout == "padded" and len(dims) == 3) else "any",
            ("mean.dim", "amax", "logsumexp"),
        )
    yield from each("of two runs of few rows", lambda m: args(m(2, 5, 2, 3, 4), [0, 2]), "layout")


def of_values() -> Iterator[Sample]:
    for dims in ([0], [1], [0, 1]):
        yield from each(
            f"special over {dims}", lambda m, d=dims: args(m(90, 30, special=True), d), "hit"
        )
    for dtype in HALVES:
        for op in SUMS:
            yield Sample(
                op,
                "into float32",
                lambda m: args(m(30, 50), [1], dtype=F32),
                dtypes=(dtype,),
                result_dtype=F32,
            )
    for op in SUMS:
        yield Sample(op, "into float64", lambda m: args(m(4, 5), [1], dtype=F64), "any", (F32,))
        yield Sample(op, "into float16", lambda m: args(m(4, 5), [1], dtype=F16), "any", (F32,))


def of_others() -> Iterator[Sample]:
    yield from each("empty", lambda m: args(m(0, 5), [1]), "empty")
    yield from each("wrong dimension", lambda m: args(m(4, 5), [2]), "error")
    yield from each("twice", lambda m: args(m(4, 5), [1, -1]), "error")
    yield from each("meta", lambda m: args(m(6, 5).to("meta"), [1]), "any", dtypes=(F32,))
    for dtype in (torch.int64, torch.bool):
        yield Sample(
            "sum.dim_IntList",
            f"of {dtype}",
            lambda m, t=dtype: args((m(4, 5) > 0).to(t), [1]),
            "any",
            (F32,),
        )


def of_out() -> Iterator[Sample]:
    def into(m: Make, out: Any, dims: Any = (1,), keep: bool = False, **named: Any) -> Args:
        return args(m(6, 50), list(dims), keep, **named, out=out(m))

    for op in ALL:
        yield Sample(OUT[op], "out", lambda m: into(m, lambda m: m(6)))
        yield Sample(OUT[op], "out kept", lambda m: into(m, lambda m: m(6, 1), keep=True))
        yield Sample(OUT[op], "strided", lambda m: into(m, lambda m: m(6, layout="strided")))
        yield Sample(
            OUT[op], "strided columns", lambda m: into(m, lambda m: m(50, layout="strided"), (0,))
        )
        yield Sample(
            OUT[op], "to be resized", lambda m: into(m, lambda m: m(0)), "out must be resized"
        )
        yield Sample(
            OUT[op], "of another dtype", lambda m: into(m, lambda m: m(6, dtype=F64)), "any", (F32,)
        )
    for op, dtype in product(SUMS, HALVES):
        yield Sample(
            OUT[op],
            "out of float32",
            lambda m: into(m, lambda m: m(6, dtype=F32), dtype=F32),
            dtypes=(dtype,),
            result_dtype=F32,
        )


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_layouts, of_values, of_others, of_out):
        yield from part()
