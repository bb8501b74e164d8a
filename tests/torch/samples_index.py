"""Samples of index_select, x[i] and of embedding's gradient. Kernels are of devices alone.

None has an index out of range: on a device the process would be lost.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, F64, LAYOUTS, TAKEN, Args, Make, Sample, args

SELECT, INDEX, BACKWARD = "index_select", "index.Tensor", "embedding_dense_backward"
OTHER_TYPES = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool, torch.complex64)
FEW = (F32, BF16)
KINDS = (torch.int64, torch.int32)


def indices(m: Make, rows: int, *shape: int, kind: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.randint(rows, shape, generator=m.generator).to(kind)


def select(what: str, expect: str, make: Any, dtypes: Any = TAKEN) -> Sample:
    return Sample(SELECT, what, make, expect, dtypes)


def of_selections() -> Iterator[Sample]:
    shapes = [(7,), (5, 13), (40, 64), (3, 1, 17), (2, 3, 8, 9), (1, 2, 1, 2, 2, 1, 3, 2)]
    for shape in shapes:
        for dim, count in product(sorted({*range(len(shape)), -1}), (1, 30)):
            yield select(
                f"{shape} dim {dim}, {count}",
                "hit",
                lambda m, s=shape, d=dim, n=count: args(m(*s), d, indices(m, s[d], n)),
                FEW,
            )
    for layout in (*LAYOUTS, "channels_last"):
        for dim in range(4):
            yield select(
                f"{layout} dim {dim}",
                "hit" if layout in ("contiguous", "offset") else "any",
                lambda m, la=layout, d=dim: args(
                    m(4, 3, 5, 8, layout=la), d, indices(m, (4, 3, 5, 8)[d], 9)
                ),
                FEW,
            )
    for kind, table in product(KINDS, ((30, 16), (30, 7))):
        yield select(
            f"{kind} of {table}",
            "hit",
            lambda m, k=kind, t=table: args(m(*t), 0, indices(m, 30, 300, kind=k)),
        )
    for layout in ("padded", "expanded"):
        yield select(
            f"rows {layout}",
            "hit",
            lambda m, la=layout: args(m(9, 16, layout=la), 0, indices(m, 9, 5)),
        )
    yield select("special", "hit", lambda m: args(m(9, 9, special=True), 0, indices(m, 9, 20)))
    yield select("strided", "hit", lambda m: args(m(9, 4), 0, indices(m, 9, 20)[::2]))
    yield select("expanded", "hit", lambda m: args(m(9, 4), 0, indices(m, 9, 1).expand(20)))


def of_other_selections() -> Iterator[Sample]:
    for dtype in OTHER_TYPES:
        yield select(
            "other types",
            "hit",
            lambda m: args(m(9, 17, scale=9), 0, indices(m, 9, 20)),
            (dtype,),
        )
    yield select(
        "complex128", "dtype", lambda m: args(m(9, 3), 0, indices(m, 9, 2)), (torch.complex128,)
    )
    yield select(
        "conjugate",
        "lazy negation, conjugation or zeros",
        lambda m: args(m(9, 3).conj(), 0, indices(m, 9, 2)),
        (torch.complex64,),
    )
    yield select("rank 9", "rank", lambda m: args(m(*[2] * 9), 1, indices(m, 2, 3)), (F32,))
    yield select("no indices", "empty", lambda m: args(m(3, 4), 0, indices(m, 3, 0)))
    yield select("empty rows", "empty", lambda m: args(m(3, 0), 0, indices(m, 3, 2)))
    yield select("one index", "shape", lambda m: args(m(3, 4), 0, indices(m, 3)))
    yield select("a scalar", "scalar", lambda m: args(m(), 0, indices(m, 1, 1)))
    yield select("dim", "error", lambda m: args(m(3, 4), 2, indices(m, 3, 2)))
    yield select("rank 2", "error", lambda m: args(m(3, 4), 0, indices(m, 3, 2, 2)))
    yield select("float index", "error", lambda m: args(m(3, 4), 0, indices(m, 3, 2).float()))
    yield select("meta", "any", lambda m: args(m(3, 4).to("meta"), 0, indices(m, 3, 2)))


def of_out() -> Iterator[Sample]:
    def into(what: str, expect: str, out: Any, dtypes: Any = TAKEN) -> Sample:
        def make(m: Make) -> Args:
            x = m(9, 6)
            return args(x, 0, indices(m, 9, 6), out=out(m, x))

        return Sample(f"{SELECT}.out", f"out: {what}", make, expect, dtypes)

    yield into("contiguous", "hit", lambda m, x: m(6, 6))
    yield into("at an offset", "hit", lambda m, x: m(6, 6, layout="offset"))
    yield into("padded", "layout", lambda m, x: m(6, 6, layout="padded"))
    yield into("transposed", "layout", lambda m, x: m(6, 6, layout="transposed"))
    yield into("of other sizes", "any", lambda m, x: m(5, 6))
    yield into("empty", "any", lambda m, x: m(0))
    yield into("of another dtype", "any", lambda m, x: m(6, 6, dtype=F64), (F32, BF16))
    yield into("the input", "any", lambda m, x: x[:6])


def of_indices() -> Iterator[Sample]:
    def one(what: str, expect: str, make: Any, dtypes: Any = FEW) -> Sample:
        return Sample(INDEX, what, make, expect, dtypes)

    def signed(m: Make, rows: int, *shape: int, kind: torch.dtype = torch.int64) -> torch.Tensor:
        return indices(m, 2 * rows, *shape, kind=kind) - rows

    tables = [(9,), (9, 16), (9, 7), (1, 5), (9, 1), (4, 3, 5), (9, 1, 5, 1)]
    for table, shape in product(tables, ((7,), (1,), (2, 3), (), (2, 1, 3))):
        yield one(
            f"{shape} of {table}",
            "hit",
            lambda m, t=table, s=shape: args(m(*t), [signed(m, t[0], *s)]),
        )
    for kind in KINDS:
        yield one(
            f"{kind}", "hit", lambda m, k=kind: args(m(30, 16), [signed(m, 30, 300, kind=k)]), TAKEN
        )
    yield one("and nothing", "hit", lambda m: args(m(4, 3, 5), [indices(m, 4, 7), None]))
    yield one("complex", "hit", lambda m: args(m(4, 3), [indices(m, 4, 7)]), (torch.complex64,))
    for layout in ("transposed", "padded", "expanded", "strided"):
        yield one(
            layout, "layout", lambda m, la=layout: args(m(4, 6, layout=la), [indices(m, 4, 7)])
        )
    yield one("transposed index", "layout", lambda m: args(m(4, 6), [indices(m, 4, 7, 2).t()]))
    several = "several indices"
    yield one("two", several, lambda m: args(m(4, 6), [indices(m, 4, 7), indices(m, 6, 7)]))
    yield one("the second", several, lambda m: args(m(4, 6), [None, indices(m, 6, 7)]))
    yield one("a mask", "dtype", lambda m: args(m(4, 6), [indices(m, 2, 4).bool()]))
    yield one("no index", "empty", lambda m: args(m(4, 6), [indices(m, 4, 0)]))
    yield one("an empty table", "empty", lambda m: args(m(4, 0), [indices(m, 4, 3)]))
    yield one("too many", "error", lambda m: args(m(4), [indices(m, 4, 3), None, None]))
    yield one("a scalar", "error", lambda m: args(m(), [indices(m, 1, 3)]))
    yield one("float index", "error", lambda m: args(m(4, 6), [indices(m, 4, 3).float()]))


def gradient(
    m: Make,
    shape: tuple[int, ...],
    rows: int,
    width: int,
    padding: int = -1,
    by_freq: bool = False,
    kind: torch.dtype = torch.int64,
    skew: float = 1,
    **made: Any,
) -> Args:
    """skew: beyond 1, small indices are frequent, as words are."""
    uniform = torch.rand(shape, generator=m.generator)
    index = (uniform**skew * rows).long().clamp(max=rows - 1).to(kind)
    return args(m(*shape, width, **made), index, rows, padding, by_freq)


def back(what: str, expect: str, make: Any, dtypes: Any = TAKEN) -> Sample:
    return Sample(BACKWARD, what, make, expect, dtypes)


def of_gradients() -> Iterator[Sample]:
    shapes = [(1,), (5,), (3, 7), (64,), (2, 3, 50), (700,), ()]
    tables = [(1, 1), (7, 5), (50, 64), (300, 8), (3, 33), (5, 1100)]
    for shape, (rows, width) in product(shapes, tables):
        if width > 1000 and torch.Size(shape).numel() > 100:  # for the harness's sake
            continue
        yield back(
            f"{shape} of {rows}x{width}",
            "hit",
            lambda m, s=shape, r=rows, w=width: gradient(m, s, r, w),
            FEW,
        )
    for padding, by_freq, kind in product((-1, 0, 3, 100), (False, True), KINDS):
        yield back(
            f"padding {padding}, by frequency {by_freq}, {kind}",
            "hit",
            lambda m, p=padding, f=by_freq, k=kind: gradient(m, (4, 50), 9, 16, p, f, k, 2),
        )
    for skew in (2, 6, 1000):
        yield back(f"skew {skew}", "hit", lambda m, s=skew: gradient(m, (3000,), 40, 12, skew=s))
    yield back("two passes", "hit", lambda m: gradient(m, (300,), 3000, 4))
    yield back("many", "hit", lambda m: gradient(m, (9000,), 30, 2), (F32,))
    yield back("at an offset", "hit", lambda m: gradient(m, (30,), 9, 16, layout="offset"))
    yield back("special", "hit", lambda m: gradient(m, (40,), 9, 16, special=True))


def of_other_gradients() -> Iterator[Sample]:
    for layout in ("expanded", "padded", "transposed"):
        yield back(layout, "layout", lambda m, la=layout: gradient(m, (30,), 9, 16, layout=la), FEW)

    def transposed(m: Make) -> Args:
        (grad, index, *rest), _ = gradient(m, (5, 6), 9, 16)
        return args(grad, index.t().contiguous().t(), *rest)

    yield back("transposed indices", "layout", transposed, FEW)
    yield back("no lookups", "empty", lambda m: gradient(m, (0,), 9, 16))
    # Stock's kernel of CUDA follows a null pointer here.
    none = back("no columns", "empty", lambda m: gradient(m, (3,), 9, 0), (F32,))
    yield replace(none, where="cpu")
    yield back("short indices", "error", lambda m: gradient(m, (3,), 9, 4, kind=torch.int16))


def samples() -> Iterator[Sample]:
    for part in (of_selections, of_other_selections, of_out, of_indices):
        yield from part()
    for part in (of_gradients, of_other_gradients):
        yield from part()
