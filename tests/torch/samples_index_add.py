"""Samples of index_add and gather. Kernels are of devices alone.

None has an index out of range: on a device the process would be lost.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, F64, TAKEN, Args, Make, Sample, args
from samples_index import FEW, KINDS, OTHER_TYPES, indices

ADD, ADD_IN_PLACE, ADD_OUT = "index_add", "index_add_", "index_add.out"
GATHER = "gather"


def addition(
    m: Make,
    shape: tuple[int, ...],
    dim: int,
    count: int,
    kind: torch.dtype = torch.int64,
    skew: float = 1,
    layout: str = "contiguous",
    **named: Any,
) -> Args:
    """skew: beyond 1, small indices are frequent."""
    rows = shape[dim]
    uniform = torch.rand((count,), generator=m.generator)
    index = (uniform**skew * rows).long().clamp(max=rows - 1).to(kind)
    source = list(shape)
    source[dim] = count
    return args(m(*shape, layout=layout), dim, index, m(*source, layout=layout), **named)


def of_additions() -> Iterator[Sample]:
    shapes = [((7,), 0), ((5, 13), 0), ((40, 64), 0), ((300, 8), -2), ((3, 1, 17), 0)]
    shapes += [((1, 9, 16), 1), ((4, 9, 16), 1), ((2, 3, 8, 33), 2), ((5, 300), 0)]
    for (shape, dim), count in product(shapes, (1, 90)):
        for overload in (ADD, ADD_IN_PLACE):
            yield Sample(
                overload,
                f"{count} into {shape} along {dim}",
                lambda m, s=shape, d=dim, n=count: addition(m, s, d, n),
                dtypes=FEW,
            )
    for overload, kind, alpha in product((ADD, ADD_IN_PLACE), KINDS, (1, -2.5, 0, True)):
        yield Sample(
            overload,
            f"{kind}, alpha {alpha}",
            lambda m, k=kind, a=alpha: addition(m, (9, 16), 0, 60, k, alpha=a),
        )
    for overload, skew in product((ADD, ADD_IN_PLACE), (2, 1000)):
        yield Sample(
            overload, f"skew {skew}", lambda m, s=skew: addition(m, (40, 12), 0, 700, skew=s)
        )
    for layout, rows in (("offset", "hit"), ("transposed", "layout"), ("padded", "layout")):
        for overload in (ADD, ADD_IN_PLACE):
            yield Sample(
                overload,
                layout,
                lambda m, la=layout: addition(m, (9, 16), 0, 30, layout=la),
                rows,
                FEW,
            )
    yield Sample(ADD, "last dimension", lambda m: addition(m, (9, 16), 1, 30), "layout", FEW)
    yield Sample(
        ADD,
        "strided index",
        lambda m: args(m(9, 4), 0, indices(m, 9, 20)[::2], m(10, 4)),
        dtypes=FEW,
    )

    def special(m: Make) -> Args:
        return args(m(9, 9), 0, indices(m, 9, 20), m(20, 9, special=True))

    yield Sample(ADD, "special", special)


def of_other_additions() -> Iterator[Sample]:
    def one(what: str, expect: str, make: Any, dtypes: Any = FEW) -> Sample:
        return Sample(ADD, what, make, expect, dtypes)

    def into(what: str, expect: str, make: Any) -> Sample:
        def call(m: Make) -> Args:
            x = m(9, 6)
            return args(x, 0, indices(m, 9, 20), m(20, 6), alpha=0.5, out=make(m, x))

        return Sample(ADD_OUT, what, call, expect, FEW)

    yield into("contiguous", "hit", lambda m, x: m(9, 6))
    yield into("the input", "hit", lambda m, x: x)
    yield into("padded", "layout", lambda m, x: m(9, 6, layout="padded"))
    yield into("of other sizes", "any", lambda m, x: m(5, 6))
    yield into("empty", "any", lambda m, x: m(0))
    yield into("of another dtype", "any", lambda m, x: m(9, 6, dtype=F64))
    for dtype in (torch.int64, torch.uint8, torch.complex64):
        yield one("other types", "dtype", lambda m: addition(m, (9, 4), 0, 5), (dtype,))
    yield one("no index", "empty", lambda m: addition(m, (9, 4), 0, 0))
    yield one("an empty table", "empty", lambda m: args(m(4, 0), 0, indices(m, 4, 3), m(3, 0)))
    yield one("a scalar", "scalar", lambda m: args(m(), 0, indices(m, 1, 1), m(1)))
    yield one("a scalar index", "shape", lambda m: args(m(9, 4), 0, indices(m, 9), m(1, 4)))
    yield one("large alpha", "error", lambda m: addition(m, (9, 4), 0, 5, alpha=1e60), (F32,))
    yield one("complex alpha", "error", lambda m: addition(m, (9, 4), 0, 5, alpha=1j))
    yield one("dim", "error", lambda m: args(m(9, 4), 2, indices(m, 9, 5), m(5, 4)))
    yield one("short index", "error", lambda m: addition(m, (9, 4), 0, 5, torch.int16))
    yield one("few rows", "error", lambda m: args(m(9, 4), 0, indices(m, 9, 5), m(4, 4)))
    yield one("narrow rows", "error", lambda m: args(m(9, 4), 0, indices(m, 9, 5), m(5, 3)))
    yield one(
        "mixed types", "error", lambda m: args(m(9, 4), 0, indices(m, 9, 5), m(5, 4, dtype=F64))
    )

    def itself(m: Make) -> Args:
        x = m(9, 4)
        return args(x, 0, indices(m, 9, 9), x)

    yield Sample(ADD_IN_PLACE, "itself", itself, "error", FEW)


def gathered(what: str, expect: str, make: Any, dtypes: Any = FEW) -> Sample:
    return Sample(GATHER, what, make, expect, dtypes)


def of_gathers() -> Iterator[Sample]:
    shapes = [((7,), (12,), 0), ((50, 37), (50, 1), 1), ((50, 37), (20, 5), -1)]
    shapes += [((50, 37), (9, 37), 0), ((5, 9, 8), (5, 20, 8), 1), ((5, 9, 8), (5, 9, 3), 2)]
    shapes += [((2, 3, 9, 8), (2, 3, 5, 8), 2), ((1, 2, 1, 2, 2, 1, 3, 2),) * 2 + (6,)]
    for kind, (shape, index, dim) in product(KINDS, shapes):
        yield gathered(
            f"{index} of {shape} along {dim}, {kind}",
            "hit",
            lambda m, s=shape, i=index, d=dim, k=kind: args(m(*s), d, indices(m, s[d], *i, kind=k)),
            TAKEN,
        )
    for width in (1, 7, 16, 64):
        yield gathered(
            f"rows of {width}",
            "hit",
            lambda m, w=width: args(m(30, w), 0, indices(m, 30, 90, 1).expand(-1, w)),
        )
        yield gathered(
            f"tokens of {width}",
            "hit",
            lambda m, w=width: args(m(4, 30, w), 1, indices(m, 30, 4, 9, 1).expand(-1, -1, w)),
        )
    yield gathered("transposed", "hit", lambda m: args(m(30, 9).t(), 1, indices(m, 30, 9, 5)))
    yield gathered("special", "hit", lambda m: args(m(9, 9, special=True), 1, indices(m, 9, 9, 9)))
    for dtype in OTHER_TYPES:
        yield gathered(
            "other types",
            "hit",
            lambda m: args(m(9, 17, scale=9), 1, indices(m, 17, 9, 20)),
            (dtype,),
        )


def of_other_gathers() -> Iterator[Sample]:
    yield gathered("fewer rows", "layout", lambda m: args(m(4, 5, 6), 2, indices(m, 6, 4, 3, 2)))
    yield gathered("strided", "layout", lambda m: args(m(4, 12)[:, ::2], 0, indices(m, 4, 3, 6)))
    yield gathered("no index", "empty", lambda m: args(m(4, 5), 1, indices(m, 5, 4, 0)))
    yield gathered("a scalar", "scalar", lambda m: args(m(), 0, indices(m, 1, 1)))
    yield gathered("rank", "error", lambda m: args(m(4, 5), 1, indices(m, 5, 4)))
    yield gathered("wider", "error", lambda m: args(m(4, 5), 0, indices(m, 4, 4, 6)))
    yield gathered("dim", "error", lambda m: args(m(4, 5), 2, indices(m, 4, 4, 5)))
    yield gathered("short index", "error", lambda m: args(m(4, 5), 1, indices(m, 5, 4, 2).short()))

    def into(what: str, expect: str, make: Any) -> Sample:
        def call(m: Make) -> Args:
            x = m(9, 6)
            return args(x, 0, indices(m, 9, 6, 6), out=make(m, x))

        return Sample("gather.out", what, call, expect, (F32, BF16))

    yield into("contiguous", "hit", lambda m, x: m(6, 6))
    yield into("padded", "layout", lambda m, x: m(6, 6, layout="padded"))
    yield into("of other sizes", "any", lambda m, x: m(5, 6))
    yield into("of another dtype", "any", lambda m, x: m(6, 6, dtype=F64))
    yield into("the input", "any", lambda m, x: x[:6])


def samples() -> Iterator[Sample]:
    for part in (of_additions, of_other_additions, of_gathers, of_other_gathers):
        yield from part()
