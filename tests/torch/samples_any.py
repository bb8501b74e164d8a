"""Samples of any and all.

Of their kernels, families have them for devices alone.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, LAYOUTS, TAKEN, Make, Sample, args
from samples_elementwise import RANK_9

OPS = ("any", "all")
SHAPES: dict[tuple[int, ...], list[list[int]]] = {
    (7,): [[-1]],
    (5, 13): [[0], [1], [-1, 0]],
    (300, 33): [[0], [1]],
    (2, 3, 8, 9): [[0, 2, 3], [2, 3], [-2]],
    (2, 3, 40, 24): [[0, 2], [2], [0, 1, 2], [1, 3]],
    (4, 9000): [[1], [0]],
}


def each(
    overload: str, what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN, **named: Any
) -> Iterator[Sample]:
    for op in OPS:
        name = op if not overload else f"{op}.{overload}"
        yield Sample(name, what, make, expect, dtypes, **named)


def some(m: Make, *shape: int, most: bool = False, **named: Any) -> torch.Tensor:
    """A few of the other kind, so that results are of both."""
    x = m(*shape, **named)
    few = m(*shape, dtype=F32) > 2
    return torch.where(few, 0 if most else x, x if most else 0).to(x.dtype)


def truths(
    m: Make, *shape: int, dtype: torch.dtype = torch.bool, most: bool = False
) -> torch.Tensor:
    x = m(*shape, dtype=F32)
    return (((x < 2) if most else (x > 2)) * 128).to(dtype)


def of_shapes() -> Iterator[Sample]:
    for shape, all_dims in SHAPES.items():
        for (index, dims), most in product(enumerate(all_dims), (False, True)):
            keep = index % 2 == 1
            yield from each(
                "dims",
                f"{shape} over {dims}, {most}",
                lambda m, s=shape, d=dims, k=keep, o=most: args(some(m, *s, most=o), d, k),
            )
            yield from each(
                "dims",
                f"bool {shape} over {dims}, {most}",
                lambda m, s=shape, d=dims, k=keep, o=most: args(truths(m, *s, most=o), d, k),
                "any",
                (F32,),
                result_dtype=torch.bool,
            )
    for dtype, most in product((torch.bool, torch.uint8), (False, True)):
        title = f"{dtype} {most}"
        for name, dims in (("", ()), ("dim", (1, True)), ("dim", (0,)), ("dims", ([0, 1],))):
            yield from each(
                name,
                f"{title} {dims}",
                lambda m, t=dtype, o=most, d=dims: args(truths(m, 60, 40, dtype=t, most=o), *d),
                "hit",
                (F32,),
                result_dtype=dtype,
            )
    for most in (False, True):
        yield from each("", f"all, {most}", lambda m, o=most: args(some(m, 50, 70, most=o)))
        yield from each(
            "dim", f"dimension, {most}", lambda m, o=most: args(some(m, 50, 70, most=o), -1)
        )
    yield from each("", "of one", lambda m: args(m()))
    yield from each("dims", "over all", lambda m: args(some(m, 5, 13), None))
    yield from each("dims", "of no dimensions", lambda m: args(m(5, 6), []), "no dimensions")
    yield from each("dim", "rank 9", lambda m: args(m(*RANK_9), 8), "rank")


def of_layouts() -> Iterator[Sample]:
    for layout, dims in product([*LAYOUTS, "channels_last"], ([0], [3], [0, 2, 3])):
        dense = layout in ("contiguous", "padded", "offset", "channels_last")
        yield from each(
            "dims",
            f"{layout} over {dims}",
            lambda m, la=layout, d=dims: args(m(4, 9, 10, 8, layout=la), d),
            "hit" if dense and not (layout == "padded" and len(dims) == 3) else "any",
            (F32, BF16),
        )
    for name, first in (("a byte", 1), ("a word", 4)):
        yield from each(
            "",
            f"behind {name}",
            lambda m, f=first: args(truths(m, 1004)[f : f + 1000]),
            "hit" if first == 4 else "any",
            (F32,),
            result_dtype=torch.bool,
        )


def of_others() -> Iterator[Sample]:
    for dims in ([0], [1], [0, 1]):
        yield from each(
            "dims", f"special over {dims}", lambda m, d=dims: args(m(90, 30, special=True), d)
        )
    yield from each("dim", "empty", lambda m: args(m(0, 5), 1), "empty")
    yield from each("", "of nothing", lambda m: args(m(0)), "empty")
    yield from each("dim", "wrong dimension", lambda m: args(m(4, 5), 2), "error")
    yield from each("dims", "twice", lambda m: args(m(4, 5), [1, -1]), "error")
    yield from each("", "meta", lambda m: args(m(6, 5).to("meta")), "any", (F32,))
    yield from each("", "of integers", lambda m: args(m(4, 5).to(torch.int64)), "any", (F32,))


def of_out() -> Iterator[Sample]:
    def target(*shape: int, dtype: torch.dtype = torch.bool) -> torch.Tensor:
        return torch.zeros(shape, dtype=dtype)

    for name, rest, shape in (
        ("all_out", (), ()),
        ("out", (1,), (6,)),
        ("out", (1, True), (6, 1)),
        ("dims_out", ([0],), (52,)),
    ):
        yield from each(
            name,
            f"{rest}",
            lambda m, r=rest, s=shape: args(some(m, 6, 52), *r, out=target(*s)),
            result_dtype=torch.bool,
        )
    yield from each(
        "out",
        "to be resized",
        lambda m: args(m(6, 52), 1, out=target(0)),
        "out must be resized",
    )
    yield from each(
        "out",
        "of uint8",
        lambda m: args(m(6, 52), 1, out=target(6, dtype=torch.uint8)),
        "any",
        (F32,),
    )
    yield from each(
        "dims_out",
        "over none",
        lambda m: args(m(6, 52), [], out=target(6, 52)),
        "no dimensions",
        (F32,),
    )


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_layouts, of_others, of_out):
        yield from part()
