"""Samples of argmax, argmin, max.dim and min.dim, whose kernels are for devices alone."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F16, F32, F64, LAYOUTS, TAKEN, Args, Make, Sample, args
from samples_elementwise import RANK_9

PLACES = ("argmax", "argmin")
VALUES = ("max.dim", "min.dim")
ALL = (*PLACES, *VALUES)
OUT = {name: f"{name}.out" for name in PLACES}
OUT |= {"max.dim": "max.dim_max", "min.dim": "min.dim_min"}
ONE_OF = ((F32,), (BF16,), (F16,))  # in turn: the kernels' own tests try each
NAMES = {"max.dim_max": ("max", "max_values"), "min.dim_min": ("min", "min_indices")}


def each(
    what: str, make: Any, expect: str = "hit", ops: tuple[str, ...] = ALL, dtypes: Any = TAKEN
) -> Iterator[Sample]:
    for op in ops:
        yield Sample(op, what, make, expect, dtypes)


def ties(m: Make, *shape: int, layout: str = "contiguous") -> torch.Tensor:
    """Whole numbers, of which there are few."""
    return m(*shape, layout=layout).round()


def of_shapes() -> Iterator[Sample]:
    shapes: dict[tuple[int, ...], list[int]] = {
        (): [0, -1],
        (1,): [0],
        (7,): [-1],
        (5, 13): [0, 1],
        (3, 1, 17): [1, 0, 2],
        (300, 33): [0, 1],
        (300, 19): [1],
        (2, 3, 8, 9): [0, 1, -2, 3],
        (1, 2, 1, 2, 2, 1, 3, 2): [1, 7, 2],
        (4, 9000): [1, 0],
        (1, 40000): [1],
    }
    for number, (shape, dims) in enumerate(shapes.items()):
        for index, dim in enumerate(dims):
            yield from each(
                f"{shape} over {dim}",
                lambda m, s=shape, d=dim, k=index % 2 == 1: args(ties(m, *s), d, k),
                dtypes=ONE_OF[(number + index) % 3],
            )
        for keep in (False, True):
            yield from each(
                f"{shape} over all{' kept' if keep else ''}",
                lambda m, s=shape, k=keep: args(ties(m, *s), None, k),
                ops=PLACES,
                dtypes=ONE_OF[number % 3],
            )
    yield from each("rank 9", lambda m: args(m(*RANK_9), 8), "rank")


def of_layouts() -> Iterator[Sample]:
    for number, (layout, dim) in enumerate(product([*LAYOUTS, "channels_last"], (0, 1, 3))):
        dense = layout in ("contiguous", "padded", "offset", "channels_last")
        yield from each(
            f"{layout} over {dim}",
            lambda m, la=layout, d=dim: args(ties(m, 4, 9, 10, 8, layout=la), d),
            "hit" if dense else "any",
            ("argmin", "max.dim"),
            ONE_OF[number % 3],
        )
    for layout in ("transposed", "padded", "channels_last"):
        yield from each(
            f"{layout} over all",
            lambda m, la=layout: args(ties(m, 4, 9, 10, 8, layout=la), None),
            "layout",
            PLACES,
            (F32,),
        )


def of_values() -> Iterator[Sample]:
    for dim in (0, 1):
        yield from each(
            f"special over {dim}", lambda m, d=dim: args(m(90, 30, special=True), d), "hit"
        )
    for value in (float("nan"), float("inf"), -float("inf"), 0.0):
        yield from each(
            f"nothing but {value}", lambda m, v=value: args(torch.full_like(m(3, 50), v), 1)
        )


def of_others() -> Iterator[Sample]:
    yield from each("empty", lambda m: args(m(0, 5), 1), "empty")
    yield from each("of an empty dimension", lambda m: args(m(5, 0), 1), "error")
    yield from each("of nothing", lambda m: args(m(0), None), "error", PLACES)
    yield from each("wrong dimension", lambda m: args(m(4, 5), 2), "error")
    yield from each("meta", lambda m: args(m(6, 5).to("meta"), 1), "any", dtypes=(F32,))
    for dtype in (torch.int64, torch.uint8):
        yield from each(
            f"of {dtype}", lambda m, t=dtype: args((m(4, 5) > 0).to(t), 1), "any", dtypes=(F32,)
        )
    yield from each("of bool", lambda m: args(m(4, 5) > 0, 1), "any", VALUES, (F32,))


def of_out() -> Iterator[Sample]:
    def into(
        m: Make,
        op: str,
        sizes: tuple[int, ...],
        dim: int | None = 1,
        keep: bool = False,
        **how: Any,
    ) -> Args:
        x = ties(m, 6, 50)
        values = m(*sizes, **how)
        indices = m(*sizes, layout=how.get("layout", "contiguous")).long()
        if op in NAMES:
            return args(x, dim, keep, **dict(zip(NAMES[op], (values, indices), strict=True)))
        if how.get("layout") == "strided":
            indices = torch.stack((indices, indices), -1)[..., 0]
        return args(x, dim, keep, out=indices)

    for op in OUT.values():
        yield Sample(op, "out", lambda m, o=op: into(m, o, (6,)))
        yield Sample(op, "out kept", lambda m, o=op: into(m, o, (6, 1), keep=True))
        yield Sample(op, "out columns", lambda m, o=op: into(m, o, (50,), 0))
        yield Sample(op, "to be resized", lambda m, o=op: into(m, o, (0,)), "out must be resized")
        if op not in NAMES:
            yield Sample(op, "strided", lambda m, o=op: into(m, o, (6,), layout="strided"))
            yield Sample(op, "out over all", lambda m, o=op: into(m, o, (), None))
            continue
        yield Sample(
            op,
            "values strided, indices not",
            lambda m, o=op: into(m, o, (6,), layout="strided"),
            "layout",
        )
        yield Sample(
            op, "of another dtype", lambda m, o=op: into(m, o, (6,), dtype=F64), "any", (F32,)
        )


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_layouts, of_values, of_others, of_out):
        yield from part()
