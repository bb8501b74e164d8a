"""Samples of dot, and of addmv with its in-place and .out overloads, which torch.mv calls with beta
0."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, F64, PRODUCTS, Args, Make, Sample, args
from samples_elementwise import OUT_EXPECT, outputs

SIZES = [(1, 1), (3, 7), (16, 16), (17, 65), (1, 30), (40, 1), (64, 128), (6, 500), (130, 9)]
EMPTY = [(0, 5), (3, 0)]
MATRICES = ["contiguous", "transposed", "strided", "padded", "offset", "expanded", "expanded_last"]
VECTORS = ["contiguous", "strided", "offset", "expanded"]


def call(
    m: Make,
    sizes: tuple[int, int],
    a: str = "contiguous",
    x: str = "contiguous",
    addend: Callable[[Make], torch.Tensor] | None = None,
    **named: Any,
) -> Args:
    rows, depth = sizes
    c = m(rows) if addend is None else addend(m)
    return args(c, m(rows, depth, layout=a), m(depth, layout=x), **named)


def every_form(
    what: str, sizes: tuple[int, int], expect: str = "hit", dtypes: Any = PRODUCTS, **how: Any
) -> Iterator[Sample]:
    def out(m: Make) -> Args:
        positional, named = call(m, sizes, **how)
        return args(*positional, **named, out=m(sizes[0]))

    yield Sample("addmv", what, lambda m: call(m, sizes, **how), expect, dtypes)
    yield Sample("addmv.out", what, out, expect, dtypes)
    yield Sample("addmv_", what, lambda m: call(m, sizes, **how), expect, dtypes)


def shapes_and_layouts() -> Iterator[Sample]:
    for sizes in SIZES:
        yield from every_form(f"{sizes}", sizes)
    for sizes in EMPTY:
        yield from every_form(f"{sizes}", sizes, "empty")
    for a, x in product(MATRICES, VECTORS):
        yield from every_form(f"{a} {x}", (17, 19), a=a, x=x)
    yield from every_form("integers", (8, 8), "dtype", (torch.int64,))


def special() -> Iterator[Sample]:
    for which in (1, 2):

        def make(m: Make, which: int = which) -> Args:
            positional, named = call(m, (12, 40))
            flat = positional[which].view(-1)
            flat[5], flat[17], flat[31] = float("nan"), float("inf"), -float("inf")
            return args(*positional, **named)

        yield Sample("addmv", f"special {which}", make, dtypes=PRODUCTS)


def addends_and_scalars() -> Iterator[Sample]:
    nan = float("nan")
    for shape in ((), (1,), (6,)):
        for sample in every_form(f"addend {shape}", (6, 5), addend=lambda m, s=shape: m(*s)):
            # In place the addend is the result, so nothing else than its size will do.
            expect = "any" if sample.overload == "addmv_" and shape != (6,) else "hit"
            yield Sample(sample.overload, sample.title, sample.make, expect, PRODUCTS)
    for layout in VECTORS:
        for sample in every_form(
            f"addend {layout}", (6, 5), addend=lambda m, la=layout: m(6, layout=la)
        ):
            # In place, several threads of stock's add to one element in float16.
            inplace = sample.overload == "addmv_" and layout == "expanded"
            expect = "undefined" if inplace else "hit"
            yield Sample(sample.overload, sample.title, sample.make, expect, PRODUCTS)
    for shape in ((5,), (1, 6), (6, 1)):
        yield Sample(
            "addmv",
            f"addend {shape}",
            lambda m, s=shape: call(m, (6, 5), addend=lambda m: m(*s)),
            "any",
            PRODUCTS,
        )
    for beta, alpha in ((0, 1), (0, 2.5), (1, -1), (-0.5, 0.3), (1e-3, 1e3), (True, 1)):
        yield from every_form(f"beta {beta} alpha {alpha}", (6, 5), beta=beta, alpha=alpha)
    nans = {"addend": lambda m: torch.full((6,), nan, dtype=m.dtype)}
    yield from every_form("beta 0 of nan", (6, 5), beta=0, **nans)
    yield from every_form("beta 1 of nan", (6, 5), **nans)
    for beta, alpha in ((1, 0), (nan, 1), (1, nan), (1j, 1), (1, 1j)):
        yield from every_form(f"beta {beta} alpha {alpha}", (6, 5), "any", beta=beta, alpha=alpha)
    yield from every_form("fractions of integers", (6, 5), "any", (torch.int64,), alpha=0.5)


def wrong() -> Iterator[Sample]:
    def replaced(place: int, tensor: Callable[[Make], Any]) -> Callable[[Make], Args]:
        def make(m: Make) -> Args:
            positional = list(call(m, (6, 5))[0])
            positional[place] = tensor(m)
            return args(*positional)

        return make

    yield Sample("addmv", "inner sizes differ", replaced(2, lambda m: m(6)), "error")
    yield Sample("addmv", "a column", replaced(2, lambda m: m(5, 1)), "error")
    yield Sample("addmv", "a scalar", replaced(2, lambda m: m()), "error")
    yield Sample("addmv", "a vector for the matrix", replaced(1, lambda m: m(5)), "error")
    yield Sample("addmv", "a batch", replaced(1, lambda m: m(2, 6, 5)), "error")
    yield Sample("addmv", "mixed", replaced(2, lambda m: m(5, dtype=F64)), "error", (F32, BF16))
    yield Sample("addmv", "addend dtype", replaced(0, lambda m: m(6, dtype=F64)), "any", (F32,))
    yield Sample("addmv", "bool", lambda m: call(m, (6, 5)), "any", (torch.bool,))
    yield Sample("addmv", "complex", lambda m: call(m, (6, 5)), "any", (torch.complex64,))


def out_forms() -> Iterator[Sample]:
    of_matrices = ("transposed", "overlapping")
    for kind, expected in OUT_EXPECT.items():
        # An operand that is overwritten while it is read: stock's result is its own affair.
        if kind in ("last input", "shifted input", "view of input", *of_matrices):
            continue

        def make(m: Make, kind: str = kind) -> Args:
            positional, named = call(m, (6, 6))
            return args(*positional, **named, out=outputs(kind, m, [positional[0]]))

        yield Sample("addmv.out", f"out: {kind}", make, expected, PRODUCTS)
    for named in ({}, {"beta": 0}):  # the second is what torch.mv(out=) calls
        yield Sample(
            "addmv.out",
            f"out: addend {named}",
            lambda m, n=named: (lambda p: args(*p, **n, out=p[0]))(call(m, (6, 6))[0]),
            "hit",
            PRODUCTS,
        )


def dots() -> Iterator[Sample]:
    for length in (1, 3, 16, 17, 65, 500, 4099, 70_001):
        yield Sample("dot", f"{length}", lambda m, n=length: args(m(n), m(n)), dtypes=PRODUCTS)
    for x, y in product(VECTORS, VECTORS):
        dense = {x, y} <= {"contiguous", "offset"}
        yield Sample(
            "dot",
            f"{x} {y}",
            lambda m, x=x, y=y: args(m(97, layout=x), m(97, layout=y)),
            "hit" if dense else "layout",
            PRODUCTS,
        )
    for special in (float("nan"), float("inf")):

        def make(m: Make, special: float = special) -> Args:
            x, y = m(40), m(40)
            x[17] = special
            return args(x, y)

        yield Sample("dot", f"{special}", make, dtypes=PRODUCTS)
    yield Sample("dot", "with itself", lambda m: (lambda x: args(x, x))(m(97)), dtypes=PRODUCTS)
    yield Sample("dot", "empty", lambda m: args(m(0), m(0)), "empty", PRODUCTS)
    for dtype, reason in ((torch.int64, "dtype"), (torch.complex64, "any")):
        yield Sample("dot", f"{dtype}", lambda m: args(m(97), m(97)), reason, (dtype,))
    yield Sample("dot", "of matrices", lambda m: args(m(3, 4), m(3, 4)), "error")
    yield Sample("dot", "lengths differ", lambda m: args(m(3), m(4)), "error")
    yield Sample("dot", "mixed", lambda m: args(m(4), m(4, dtype=F64)), "error", (F32, BF16))


def samples() -> Iterator[Sample]:
    for part in (dots, shapes_and_layouts, special, addends_and_scalars, wrong, out_forms):
        yield from part()
