"""Samples of mm, addmm, bmm and baddbmm with their in-place and .out overloads."""

from collections.abc import Iterator
from typing import Any

import torch
from samples import BF16, BF16_PRODUCTS, F32, F64, PRODUCTS, Args, Make, Sample, args, pairs
from samples_elementwise import OUT_EXPECT, outputs

# (m, n, k): units, odd, tile edges, one row or column, long k, wide.
SIZES = [(1, 1, 1), (3, 5, 7), (16, 16, 16), (17, 33, 65), (1, 40, 30), (40, 1, 30), (2, 3, 1)]
SIZES += [(64, 96, 128), (6, 70, 500), (130, 12, 9)]
EMPTY = [(0, 4, 5), (3, 0, 5), (3, 4, 0)]
LAYOUTS = ["contiguous", "transposed", "strided", "padded", "offset", "expanded", "expanded_last"]
BATCH = {"mm": (), "addmm": (), "bmm": (3,), "baddbmm": (3,)}


def operands(
    m: Make,
    op: str,
    sizes: tuple[int, int, int],
    a: str = "contiguous",
    b: str = "contiguous",
    **named: Any,
) -> list[torch.Tensor]:
    rows, columns, depth = sizes
    batch = BATCH[op]
    return [m(*batch, rows, depth, layout=a, **named), m(*batch, depth, columns, layout=b, **named)]


def result(op: str, sizes: tuple[int, int, int]) -> tuple[int, ...]:
    return (*BATCH[op], *sizes[:2])


def call(
    m: Make,
    op: str,
    sizes: tuple[int, int, int],
    a: str = "contiguous",
    b: str = "contiguous",
    addend: Any = None,
    **named: Any,
) -> Args:
    tensors = operands(m, op, sizes, a, b)
    if op in ("addmm", "baddbmm"):
        c = m(*result(op, sizes)) if addend is None else addend(m)
        tensors.insert(0, c)
    return args(*tensors, **named)


def every_form(
    op: str,
    what: str,
    sizes: tuple[int, int, int],
    expect: str = "hit",
    dtypes: Any = PRODUCTS,
    **how: Any,
) -> Iterator[Sample]:
    """Functional, .out into a fresh tensor, and in place where the op has it."""

    def out(m: Make) -> Args:
        positional, named = call(m, op, sizes, **how)
        return args(*positional, **named, out=m(*result(op, sizes)))

    yield Sample(op, what, lambda m: call(m, op, sizes, **how), expect, dtypes)
    yield Sample(f"{op}.out", what, out, expect, dtypes)
    if op in ("addmm", "baddbmm"):
        yield Sample(f"{op}_", what, lambda m: call(m, op, sizes, **how), expect, dtypes)


def shapes_and_layouts(op: str) -> Iterator[Sample]:
    for sizes in SIZES:
        yield from every_form(op, f"{sizes}", sizes)
    for sizes in EMPTY:
        yield from every_form(op, f"{sizes}", sizes, "empty")
    for a, b in pairs(LAYOUTS):
        yield from every_form(op, f"{a} {b}", (17, 21, 19), a=a, b=b)
    yield from every_form(op, "transposed both wide", (64, 80, 72), a="transposed", b="transposed")
    if not BF16_PRODUCTS:
        yield from every_form(op, "bfloat16", (8, 8, 8), "dtype", (BF16,))
    yield from every_form(op, "integers", (8, 8, 8), "dtype", (torch.int64,))


def special(op: str) -> Iterator[Sample]:
    def make(m: Make, which: int) -> Args:
        tensors = operands(m, op, (12, 14, 10))
        flat = tensors[which].view(-1)
        flat[5], flat[17], flat[31] = float("nan"), float("inf"), -float("inf")
        if op in ("addmm", "baddbmm"):
            tensors.insert(0, m(*result(op, (12, 14, 10))))
        return args(*tensors)

    for which in (0, 1):
        yield Sample(op, f"special {which}", lambda m, w=which: make(m, w), dtypes=PRODUCTS)


def wrong(op: str) -> Iterator[Sample]:
    def made(change: Any) -> Any:
        def make(m: Make) -> Args:
            positional, named = call(m, op, (6, 7, 5))
            positional = list(positional)
            change(m, positional)
            return args(*positional, **named)

        return make

    last = -1

    def replace(shape: tuple[int, ...], **named: Any) -> Any:
        def change(m: Make, positional: list[Any]) -> None:
            positional[last] = m(*shape, **named)

        return made(change)

    batch = BATCH[op]
    yield Sample(op, "inner sizes differ", replace((*batch, 6, 7)), "error")
    yield Sample(op, "a vector", replace((5,)), "error")
    yield Sample(op, "rank 4", replace((2, 2, 5, 7)), "error")
    yield Sample(op, "scalar", replace(()), "error")
    if batch:
        yield Sample(op, "batches differ", replace((4, 5, 7)), "error")
        yield Sample(op, "no batch", replace((5, 7)), "error")
    yield Sample(op, "mixed dtypes", replace((*batch, 5, 7), dtype=F64), "error", (F32,))
    yield Sample(op, "mixed bfloat16", replace((*batch, 5, 7), dtype=BF16), "error", (F32, F64))
    yield Sample(
        op,
        "mixed meta",
        made(lambda m, p: p.__setitem__(-1, p[-1].to("meta"))),
        "undefined",
        (F32,),
    )
    yield Sample(
        op,
        "meta",
        made(lambda m, p: p.__setitem__(slice(None), [t.to("meta") for t in p])),
        "none",
        (F32,),
    )
    yield Sample(op, "bool", made(lambda m, p: None), "any", (torch.bool,))
    yield Sample(op, "complex", made(lambda m, p: None), "any", (torch.complex64,))
    yield Sample(
        op,
        "conjugate",
        made(lambda m, p: p.__setitem__(-1, p[-1].conj())),
        "any",
        (torch.complex64,),
    )


def addends(op: str) -> Iterator[Sample]:
    batch = BATCH[op]
    fits = [(), (1,), (7,), (1, 7), (6, 1), (6, 7), (1, 1)]
    if batch:
        fits += [(3, 1, 7), (1, 6, 7), (3, 6, 7), (3, 1, 1)]
    for shape in fits:
        same = shape == result(op, (6, 7, 5))
        what = f"addend {shape}"
        # in place: the addend is the result, so nothing else than its size will do
        for sample in every_form(op, what, (6, 7, 5), addend=lambda m, s=shape: m(*s), beta=0.7):
            expect = "any" if sample.overload.endswith("_") and not same else sample.expect
            yield Sample(sample.overload, what, sample.make, expect, sample.dtypes)
    for layout in LAYOUTS:
        for sample in every_form(
            op,
            f"addend {layout}",
            (6, 7, 5),
            addend=lambda m, la=layout: m(*result(op, (6, 7, 5)), layout=la),
        ):
            inplace = sample.overload.endswith("_") and layout.startswith("expanded")
            yield Sample(
                sample.overload,
                sample.title,
                sample.make,
                "any" if inplace else "hit",
                sample.dtypes,
            )
    for shape in ((6,), (2, 7), (6, 7, 1, 1), (5, 6, 7)):
        yield Sample(
            op,
            f"addend {shape}",
            lambda m, s=shape: call(m, op, (6, 7, 5), addend=lambda m: m(*s)),
            "any",
            PRODUCTS,
        )
    yield Sample(
        op,
        "addend dtype",
        lambda m: call(m, op, (6, 7, 5), addend=lambda m: m(7, dtype=F64)),
        "any",
        (F32,),
    )
    yield Sample(
        op,
        "addend meta",
        lambda m: call(m, op, (6, 7, 5), addend=lambda m: m(7).to("meta")),
        "any",
        (F32,),
    )


def scalars(op: str) -> Iterator[Sample]:
    nan = float("nan")

    def nans(m: Make) -> torch.Tensor:
        return torch.full(result(op, (6, 7, 5)), nan, dtype=m.dtype)

    for beta, alpha in ((0, 1), (0, 2.5), (1, -1), (-0.5, 0.3), (2, 3), (1e-3, 1e3), (True, 1)):
        yield from every_form(op, f"beta {beta} alpha {alpha}", (6, 7, 5), beta=beta, alpha=alpha)
    yield from every_form(op, "beta 0 of nan", (6, 7, 5), addend=nans, beta=0)
    yield from every_form(op, "beta 1 of nan", (6, 7, 5), addend=nans)
    for beta, alpha in ((1, 0), (0, 0), (nan, 1), (1, nan), (float("inf"), 1), (1e-60, 1)):
        yield from every_form(
            op, f"beta {beta} alpha {alpha}", (6, 7, 5), "any", beta=beta, alpha=alpha
        )
    yield from every_form(op, "beta nan of empty k", (6, 7, 0), "any", beta=nan)
    yield from every_form(op, "complex beta", (6, 7, 5), "any", beta=1j)
    yield from every_form(op, "complex alpha", (6, 7, 5), "any", alpha=1j)
    yield from every_form(op, "fractions of integers", (6, 7, 5), "any", (torch.int64,), alpha=0.5)


def out_forms(op: str) -> Iterator[Sample]:
    for kind, expected in OUT_EXPECT.items():
        if kind in ("last input", "shifted input", "view of input"):
            # An operand that is overwritten while it is read: stock's result is its own affair.
            continue

        def make(m: Make, kind: str = kind) -> Args:
            positional, named = call(m, op, (6, 6, 6))
            return args(*positional, **named, out=outputs(kind, m, list(positional)))

        yield Sample(f"{op}.out", f"out: {kind}", make, expected, PRODUCTS)
    if op in ("addmm", "baddbmm"):
        yield Sample(
            f"{op}.out",
            "out: addend",
            lambda m: (lambda p: args(*p, out=p[0]))(call(m, op, (6, 6, 6))[0]),
            "hit",
            PRODUCTS,
        )
        yield Sample(
            f"{op}_",
            "self is an operand",
            lambda m: (lambda p: args(p[1], p[1], p[2]))(call(m, op, (6, 6, 6))[0]),
            "any",
            PRODUCTS,
        )


def samples() -> Iterator[Sample]:
    for op in BATCH:
        for part in (shapes_and_layouts, special, wrong, out_forms):
            yield from part(op)
    for op in ("addmm", "baddbmm"):
        yield from addends(op)
        yield from scalars(op)
