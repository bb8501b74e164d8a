"""Samples of scatter_add and of x[i]'s gradient. Kernels are of devices alone.

None has an index out of range: on a device the process would be lost.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, F64, Args, Make, Sample, args
from samples_index import FEW, KINDS, indices

PUT = "_index_put_impl_"
ADD, ADD_IN_PLACE, ADD_OUT = "scatter_add", "scatter_add_", "scatter_add.out"


def put(what: str, expect: str, make: Any, dtypes: Any = FEW) -> Sample:
    return Sample(PUT, what, make, expect, dtypes)


def addition(
    m: Make, shape: tuple[int, ...], *count: int, kind: torch.dtype = torch.int64, **named: Any
) -> Args:
    index = indices(m, shape[0], *count, kind=kind)
    return args(m(*shape, **named), [index], m(*count, *shape[1:]), True, False)


def of_puts() -> Iterator[Sample]:
    shapes = [(7,), (5, 13), (40, 64), (300, 8), (3, 1, 17), (1, 33)]
    for shape, count in [*product(shapes, [(1,), (90,)]), ((40, 64), (3, 5)), ((7,), (3, 5))]:
        yield put(f"{count} into {shape}", "hit", lambda m, s=shape, c=count: addition(m, s, *c))
    for kind, unsafe in product(KINDS, (True, False)):
        yield put(
            f"{kind}, from the end, unsafe {unsafe}",
            "hit",
            lambda m, k=kind, u=unsafe: args(
                m(9, 16), [indices(m, 18, 60, kind=k) - 9], m(60, 16), True, u
            ),
        )
    for shape, first, second in (
        ((9, 4), (20,), (20,)),
        ((9, 4, 16), (20,), (20,)),
        ((9, 4, 5), (3, 1), (3, 7)),
        ((9, 4, 2, 3), (1,), (5, 4)),
        ((300, 7), (), (70,)),
    ):
        named = torch.broadcast_shapes(first, second)
        yield put(
            f"{first} and {second} into {shape}",
            "hit",
            lambda m, s=shape, i=first, j=second, n=named: args(
                m(*s),
                [indices(m, s[0], *i), indices(m, 2 * s[1], *j) - s[1]],
                m(*n, *s[2:]),
                True,
            ),
        )
    yield put("one place", "hit", lambda m: args(m(9, 4), [indices(m, 9)], m(4), True))
    yield put("offset", "hit", lambda m: addition(m, (9, 16), 30, layout="offset"))
    yield put("one value", "hit", lambda m: args(m(9, 4), [indices(m, 9, 20)], m(), True))
    yield put("a value", "hit", lambda m: args(m(9, 4), [indices(m, 9, 20)], m(1), True))
    for layout in ("expanded", "expanded_last", "transposed", "padded"):
        yield put(
            f"values {layout}",
            "hit",
            lambda m, la=layout: args(m(9, 4), [indices(m, 9, 20)], m(20, 4, layout=la), True),
        )
    yield put(
        "strided index", "hit", lambda m: args(m(9, 4), [indices(m, 9, 40)[::2]], m(20, 4), True)
    )
    yield put(
        "special",
        "hit",
        lambda m: args(m(9, 9), [indices(m, 9, 20)], m(20, 9, special=True), True),
    )


def of_other_puts() -> Iterator[Sample]:
    def one(what: str, expect: str, index: Any, values: Any, adds: bool = True) -> Sample:
        return put(what, expect, lambda m: args(m(9, 4), index(m), values(m), adds))

    def twenty(m: Make) -> list[torch.Tensor]:
        return [indices(m, 9, 20)]

    yield one("rows", "shape", twenty, lambda m: m(4))
    yield one("columns", "shape", twenty, lambda m: m(20, 1))
    yield one(
        "replaced", "values that replace", lambda m: [torch.arange(5)], lambda m: m(5, 4), False
    )
    yield one("mask", "dtype", lambda m: [torch.arange(9) % 2 == 0], lambda m: m(5, 4))
    yield put(
        "three",
        "several indices",
        lambda m: args(m(9, 4, 2), [*twenty(m), indices(m, 4, 20), indices(m, 2, 20)], m(20), True),
    )
    yield one("apart", "error", lambda m: [*twenty(m), indices(m, 4, 19)], lambda m: m(20))
    yield one("second", "several indices", lambda m: [None, indices(m, 4, 20)], lambda m: m(9, 20))
    yield one("no index", "empty", lambda m: [indices(m, 9, 0)], lambda m: m(0, 4))
    yield one("few rows", "error", twenty, lambda m: m(19, 4))
    yield one("mixed types", "error", twenty, lambda m: m(20, 4, dtype=F64))
    yield put("transposed", "layout", lambda m: addition(m, (9, 16), 30, layout="transposed"))
    yield put("other types", "dtype", lambda m: addition(m, (9, 4), 5), (torch.int64,))

    def itself(m: Make) -> Args:
        x = m(9, 4)
        return args(x, [indices(m, 9, 9)], x, True)

    yield put("itself", "error", itself)


def scattered(
    m: Make,
    shape: tuple[int, ...],
    dim: int,
    index: tuple[int, ...],
    kind: torch.dtype = torch.int64,
    layout: str = "contiguous",
) -> Args:
    """index: 1 where it is expanded to self's size."""
    named = indices(m, shape[dim], *index, kind=kind)
    sizes = [
        s if d != dim % len(shape) else n for d, (s, n) in enumerate(zip(shape, index, strict=True))
    ]
    return args(m(*shape, layout=layout), dim, named.expand(sizes), m(*sizes, layout=layout))


def of_scatters() -> Iterator[Sample]:
    rows: list[Any] = [((9, 16), 0, (60, 1)), ((300, 8), -2, (90, 1)), ((40, 7), 0, (700, 1))]
    rows += [((4, 9, 16), 1, (1, 30, 1)), ((4, 9, 3), 1, (1, 30, 1))]
    rows += [((4, 9, 16), 1, (4, 30, 1)), ((2, 3, 8, 33), 2, (2, 3, 5, 1))]
    elements: list[Any] = [((7,), 0, (12,)), ((1500,), 0, (700,)), ((50, 37), 1, (50, 1))]
    elements += [((50, 37), -1, (50, 90)), ((9, 12), 0, (40, 12)), ((5, 9, 8), 1, (5, 20, 8))]
    elements += [((1, 2, 1, 2, 2, 1, 3, 2), 6, (1, 2, 1, 2, 2, 1, 4, 2))]
    for (shape, dim, index), overload in product(rows + elements, (ADD, ADD_IN_PLACE)):
        yield Sample(
            overload,
            f"{index} into {shape} along {dim}",
            lambda m, s=shape, d=dim, i=index: scattered(m, s, d, i),
            dtypes=FEW,
        )
    for overload, index, layout in product(
        (ADD, ADD_IN_PLACE), ((60, 1), (60, 16)), ("offset", "transposed", "padded")
    ):
        yield Sample(
            overload,
            f"{layout} by {index}",
            lambda m, i=index, la=layout: scattered(m, (9, 16), 0, i, layout=la),
            "hit" if layout == "offset" else "layout",
            FEW,
        )
    for kind in KINDS:
        # Not expanded: a CPU's stock then wants int64.
        yield Sample(ADD, f"{kind}", lambda m, k=kind: scattered(m, (9, 16), 0, (60, 16), k))
    yield Sample(
        ADD,
        "transposed index",
        lambda m: args(m(9, 6), 0, indices(m, 9, 6, 20).t(), m(20, 6)),
        dtypes=FEW,
    )
    yield Sample(
        ADD,
        "special",
        lambda m: args(m(9, 9), 0, indices(m, 9, 20, 1).expand(20, 9), m(20, 9, special=True)),
        dtypes=FEW,
    )


def of_other_scatters() -> Iterator[Sample]:
    def one(what: str, expect: str, make: Any, dtypes: Any = FEW) -> Sample:
        return Sample(ADD, what, make, expect, dtypes)

    def into(what: str, expect: str, make: Any) -> Sample:
        def call(m: Make) -> Args:
            x = m(9, 6)
            return args(x, 0, indices(m, 9, 20, 6), m(20, 6), out=make(m, x))

        return Sample(ADD_OUT, what, call, expect, (F32, BF16))

    yield into("contiguous", "hit", lambda m, x: m(9, 6))
    yield into("the input", "hit", lambda m, x: x)
    yield into("padded", "layout", lambda m, x: m(9, 6, layout="padded"))
    yield into("of other sizes", "any", lambda m, x: m(5, 6))
    yield into("of another dtype", "any", lambda m, x: m(9, 6, dtype=F64))
    for dtype in (torch.int64, torch.uint8, torch.complex64):
        yield one("other types", "dtype", lambda m: scattered(m, (9, 4), 0, (5, 1)), (dtype,))
    yield one("fewer columns", "shape", lambda m: args(m(9, 4), 0, indices(m, 9, 5, 3), m(5, 3)))
    yield one("more values", "shape", lambda m: args(m(9, 4), 0, indices(m, 9, 5, 4), m(7, 4)))
    yield one("no index", "empty", lambda m: args(m(4, 5), 1, indices(m, 5, 4, 0), m(4, 0)))
    yield one("a scalar", "scalar", lambda m: args(m(), 0, indices(m, 1), m()))
    yield one("rank", "error", lambda m: args(m(4, 5), 1, indices(m, 5, 4), m(4)))
    yield one("wider", "error", lambda m: args(m(4, 5), 0, indices(m, 4, 4, 6), m(4, 6)))
    yield one("dim", "error", lambda m: args(m(4, 5), 2, indices(m, 4, 4, 5), m(4, 5)))
    yield one("short", "error", lambda m: scattered(m, (9, 4), 0, (5, 1), torch.int16))
    yield one("few", "error", lambda m: args(m(9, 4), 0, indices(m, 9, 5, 4), m(4, 4)))
    yield one("mixed", "error", lambda m: args(m(9, 4), 0, indices(m, 9, 5, 4), m(5, 4, dtype=F64)))

    def itself(m: Make) -> Args:
        x = m(9, 4)
        return args(x, 0, indices(m, 9, 9, 4), x)

    yield Sample(ADD_IN_PLACE, "itself", itself, "error", FEW)


def samples() -> Iterator[Sample]:
    for part in (of_puts, of_other_puts, of_scatters, of_other_scatters):
        yield from part()
