"""Samples of linalg_vector_norm.

Of its kernels, families have them for devices alone.
"""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F16, F32, F64, LAYOUTS, TAKEN, Args, Make, Sample, args
from samples_elementwise import RANK_9
from samples_reductions import SHAPES
from samples_var import reduced, squarable

ORDERS = (2, 1, math.inf, 0, -math.inf, 3.0, 0.5, -1)
HALVES = (BF16, F16)


def norm(what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN, **named: Any) -> Sample:
    return Sample("linalg_vector_norm", what, make, expect, dtypes, **named)


def of_shapes() -> Iterator[Sample]:
    index = 0
    for shape, all_dims in SHAPES.items():
        for dims in all_dims:
            index += 1
            order = ORDERS[index % len(ORDERS)]
            yield norm(
                f"{order} of {shape} over {dims}",
                lambda m, s=shape, d=dims, o=order, k=index % 3 == 1: args(m(*s), o, d, k),
                "hit" if reduced(shape, dims) > 1 else "one element",
            )
    for order in ORDERS:
        yield norm(f"{order} of all", lambda m, o=order: args(m(5, 130), o))
    yield norm("rank 9", lambda m: args(m(*RANK_9), 2, [8]), "rank")


def of_layouts() -> Iterator[Sample]:
    for layout, dims in product([*LAYOUTS, "channels_last"], ([0], [3], [0, 2, 3])):
        dense = layout in ("contiguous", "padded", "offset", "channels_last")
        yield norm(
            f"{layout} over {dims}",
            lambda m, la=layout, d=dims: args(m(4, 9, 10, 8, layout=la), 2, d),
            "hit" if dense and not (layout == "padded" and len(dims) == 3) else "any",
            (F32, BF16),
        )


def of_values() -> Iterator[Sample]:
    """Powers are float32's on devices, and those of squarable() are within its range."""
    for order, dims in product((2, 1, math.inf, -math.inf, 0), ([0], [1], [0, 1])):
        yield norm(
            f"{order} of special over {dims}",
            lambda m, o=order, d=dims: args(squarable(m(90, 30, special=True)), o, d),
        )
    for order in (2, 1, math.inf, -math.inf, 0, 0.5):
        yield norm(
            f"{order} of zeros", lambda m, o=order: args(m(6, 50) * 0, o, [1]), dtypes=(F32, F16)
        )
    for order, dtype in product((2, math.inf), HALVES):
        yield norm(
            f"{order} into float32",
            lambda m, o=order: args(m(30, 50), o, [1], dtype=F32),
            dtypes=(dtype,),
            result_dtype=F32,
        )
    for order in (math.nan, 1e300):
        yield norm(f"of order {order}", lambda m, o=order: args(m(4, 5), o, [1]), "order")


def of_others() -> Iterator[Sample]:
    yield norm("into float64", lambda m: args(m(4, 5), 2, [1], dtype=F64), "any", (F32,))
    yield norm("narrowed", lambda m: args(m(4, 5), 2, [1], dtype=F16), "error", (F32, BF16))
    yield norm("of a complex order", lambda m: args(m(4, 5), 2j, [1]), "error")
    yield norm("empty", lambda m: args(m(0, 5), 2, [1]), "empty")
    yield norm("of nothing", lambda m: args(m(3, 0), 2, [1]), "empty")
    yield norm("largest of nothing", lambda m: args(m(3, 0), math.inf, [1]), "error")
    yield norm("wrong dimension", lambda m: args(m(4, 5), 2, [2]), "error")
    yield norm("twice", lambda m: args(m(4, 5), 2, [1, -1]), "error")
    yield norm("meta", lambda m: args(m(6, 5).to("meta"), 2, [1]), "any", (F32,))
    yield norm("of integers", lambda m: args(m(4, 5).to(torch.int64), 2, [1]), "error", (F32,))
    yield norm(
        "of complex numbers", lambda m: args(m(4, 5).to(torch.complex64), 2, [1]), "any", (F32,)
    )


def of_out() -> Iterator[Sample]:
    def into(m: Make, out: Any, dims: Any = (1,), keep: bool = False, **named: Any) -> Args:
        return args(m(6, 50), 2, list(dims), keep, **named, out=out(m))

    def out(what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN, **named: Any) -> Sample:
        return Sample("linalg_vector_norm.out", what, make, expect, dtypes, **named)

    yield out("out", lambda m: into(m, lambda m: m(6)))
    yield out("out kept", lambda m: into(m, lambda m: m(6, 1), keep=True))
    yield out("strided", lambda m: into(m, lambda m: m(6, layout="strided")))
    yield out("strided columns", lambda m: into(m, lambda m: m(50, layout="strided"), (0,)))
    yield out("to be resized", lambda m: into(m, lambda m: m(0)), "out must be resized")
    yield out("of another dtype", lambda m: into(m, lambda m: m(6, dtype=F64)), "any", (F32,))
    for dtype in HALVES:
        yield out(
            "out of float32",
            lambda m: into(m, lambda m: m(6, dtype=F32), dtype=F32),
            dtypes=(dtype,),
            result_dtype=F32,
        )


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_layouts, of_values, of_others, of_out):
        yield from part()
