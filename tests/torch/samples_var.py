"""Samples of var, std, var_mean and std_mean.

Of their kernels, families have them for devices alone.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F16, F32, F64, LAYOUTS, TAKEN, Args, Make, Sample, args
from samples_elementwise import RANK_9
from samples_norms import without_infinity
from samples_reductions import SHAPES

PLAIN = ("var.correction", "std.correction")
ALL = (*PLAIN, "var_mean.correction", "std_mean.correction")
FEW = "degrees of freedom"


def each(
    what: str, make: Any, expect: str = "hit", ops: tuple[str, ...] = ALL, dtypes: Any = TAKEN
) -> Iterator[Sample]:
    for op in ops:
        yield Sample(op, what, make, expect, dtypes)


def reduced(shape: tuple[int, ...], dims: list[int]) -> int:
    """How many elements a result has."""
    count = 1
    for dim in {dim % len(shape) for dim in dims} if shape and dims else range(len(shape)):
        count *= shape[dim]
    return count


def of_shapes() -> Iterator[Sample]:
    for shape, all_dims in SHAPES.items():
        for index, dims in enumerate(all_dims):
            correction = (None, 1, 0, 0.5)[index % 4]
            few = reduced(shape, dims) <= (1 if correction is None else correction)
            yield from each(
                f"{shape} over {dims}",
                lambda m, s=shape, d=dims, c=correction, k=index % 2 == 1: args(
                    m(*s), d, correction=c, keepdim=k
                ),
                FEW if few else "hit",
                ALL[index % 2 :: 2],
            )
    yield from each("over all", lambda m: args(m(5, 13), None))
    yield from each("far from 0", lambda m: args(m(64, 384) + 100, [1]), dtypes=(F32,))
    yield from each("rank 9", lambda m: args(m(*RANK_9), [8]), "rank")


def of_layouts() -> Iterator[Sample]:
    for layout, dims in product([*LAYOUTS, "channels_last"], ([0], [3], [0, 2, 3])):
        dense = layout in ("contiguous", "padded", "offset", "channels_last")
        yield from each(
            f"{layout} over {dims}",
            lambda m, la=layout, d=dims: args(m(4, 9, 10, 8, layout=la), d),
            "hit" if dense and not (layout == "padded" and len(dims) == 3) else "any",
            ALL[::3],
            (F32, BF16),
        )


def squarable(x: torch.Tensor) -> torch.Tensor:
    """In float32, in which devices have the squares: stock's CPU has them in float64."""
    most = min(1e15, torch.finfo(x.dtype).max)
    return torch.where(x.isfinite(), x.clamp(-most, most), x)


def of_values() -> Iterator[Sample]:
    for dims in ([0], [1], [0, 1]):
        yield from each(
            f"special over {dims}",
            lambda m, d=dims: args(without_infinity(squarable(m(90, 30, special=True))), d),
        )
        yield from each(
            f"infinite over {dims}",
            lambda m, d=dims: args(squarable(m(90, 30, special=True)), d),
            ops=PLAIN,
        )
    for correction in (2, -1, 0.5, 4.5):
        yield from each(
            f"correction {correction}", lambda m, c=correction: args(m(6, 5), [1], correction=c)
        )
    for correction in (5, 5.0, 1000):
        yield from each(
            f"correction {correction!r}",
            lambda m, c=correction: args(m(6, 5), [1], correction=c),
            FEW,
        )


def of_others() -> Iterator[Sample]:
    yield from each("empty", lambda m: args(m(0, 5), [1]), "empty")
    yield from each("wrong dimension", lambda m: args(m(4, 5), [2]), "error")
    yield from each("twice", lambda m: args(m(4, 5), [1, -1]), "error")
    yield from each("meta", lambda m: args(m(6, 5).to("meta"), [1]), "any", dtypes=(F32,))
    yield from each(
        "of integers", lambda m: args((m(4, 5) > 0).to(torch.int64), [1]), "error", dtypes=(F32,)
    )


def of_out() -> Iterator[Sample]:
    def into(m: Make, out: Any, dims: Any = (1,), keep: bool = False) -> Args:
        return args(m(6, 50), list(dims), keepdim=keep, out=out(m))

    for plain in PLAIN:
        op = f"{plain}_out"
        yield Sample(op, "out", lambda m: into(m, lambda m: m(6)))
        yield Sample(op, "out kept", lambda m: into(m, lambda m: m(6, 1), keep=True))
        yield Sample(op, "strided", lambda m: into(m, lambda m: m(6, layout="strided")))
        yield Sample(
            op, "strided columns", lambda m: into(m, lambda m: m(50, layout="strided"), (0,))
        )
        yield Sample(op, "to be resized", lambda m: into(m, lambda m: m(0)), "out must be resized")
        for dtype, other in ((F32, F64), (BF16, F32), (F16, F32)):
            yield Sample(
                op,
                f"into {other}",
                lambda m, o=other: into(m, lambda m: m(6, dtype=o)),
                "any",
                (dtype,),
            )


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_layouts, of_values, of_others, of_out):
        yield from part()
