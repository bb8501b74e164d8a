"""Samples of copy_. Of its kernels, families have them for devices alone."""

from collections.abc import Iterator
from typing import Any

import torch
from samples import BF16, F32, F64, TAKEN, Args, Make, Sample, args

OTHER_TYPES = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool, torch.complex64)
OTHER_TYPES += (torch.float8_e4m3fn, torch.uint16)
RUN, MIXED = "one run of memory", "mixed dtypes or devices"

# Tensors that are copied, by their sizes and their order, into contiguous ones.
ORDERS: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((67, 131), (1, 0)),
    ((128, 64), (1, 0)),
    ((5, 3), (1, 0)),
    ((3, 40, 33), (0, 2, 1)),
    ((3, 40, 33), (1, 0, 2)),
    ((3, 40, 33), (2, 1, 0)),
    ((2, 9, 4, 32), (0, 2, 1, 3)),
    ((2, 9, 4, 32), (0, 2, 3, 1)),
    ((2, 33, 7, 7), (0, 2, 3, 1)),
    ((2, 3, 20, 20), (0, 2, 3, 1)),
    ((2, 20, 20, 3), (0, 3, 1, 2)),
    ((2, 4, 2, 2, 5, 9), (0, 1, 4, 2, 5, 3)),
    ((2, 3, 2, 3, 2, 3, 2, 3), (7, 6, 5, 4, 3, 2, 1, 0)),
]
# Layouts of the source, into a contiguous tensor of the same sizes.
SOURCES = {
    "contiguous": RUN,
    "offset": RUN,
    "transposed": "hit",
    "reversed": "hit",
    "strided": "hit",
    "padded": "hit",
    "expanded": "hit",
    "expanded_last": "hit",
    "overlapping": "hit",
    "channels_last": "hit",
}
# Layouts of what is written, from a contiguous tensor.
RESULTS = {
    "transposed": "hit",
    "reversed": "hit",
    "strided": "layout",
    "padded": "hit",
    "expanded": "error",
    "expanded_last": "error",
    "overlapping": "out overlaps itself",
    "channels_last": "hit",
}


def sample(what: str, expect: str, make: Any, dtypes: Any = TAKEN) -> Sample:
    return Sample("copy_", what, make, expect, dtypes)


def turned(m: Make, sizes: tuple[int, ...], order: tuple[int, ...]) -> Args:
    src = m(*sizes).permute(order)
    return args(m(*src.shape), src)


def of_layouts() -> Iterator[Sample]:
    for sizes, order in ORDERS:
        yield sample(f"{sizes} {order}", "hit", lambda m, s=sizes, o=order: turned(m, s, o))
    for layout, expect in SOURCES.items():
        yield sample(
            f"of {layout}",
            expect,
            lambda m, la=layout: args(m(2, 9, 8, 33), m(2, 9, 8, 33, layout=la)),
        )
    for layout, expect in RESULTS.items():
        yield sample(
            f"to {layout}",
            expect,
            lambda m, la=layout: args(m(2, 9, 8, 33, layout=la), m(2, 9, 8, 33)),
        )
        if expect == "hit":
            same = RUN if layout != "padded" else "hit"
            yield sample(
                f"{layout} both",
                same,
                lambda m, la=layout: args(*(m(2, 9, 8, 33, layout=la) for _ in range(2))),
            )
    yield sample("rank 9", "rank", lambda m: turned(m, (2,) * 9, tuple(range(8, -1, -1))))
    yield sample("shifted rows", "hit", lambda m: args(m(9, 127), m(9, 128)[:, 1:]))
    yield sample("not blocking", "hit", lambda m: args(m(9, 12), m(12, 9).t(), True))


def of_values() -> Iterator[Sample]:
    yield sample("special", "hit", lambda m: args(m(9, 12), m(12, 9, special=True).t()))
    for dtype in OTHER_TYPES:
        yield sample(
            "other types", "hit", lambda m: args(m(9, 20), m(20, 9, scale=9).t()), (dtype,)
        )
    yield sample("complex128", "dtype", lambda m: args(m(9, 5), m(5, 9).t()), (torch.complex128,))
    yield sample(
        "conjugate",
        "lazy negation, conjugation or zeros",
        lambda m: args(m(9, 5), m(5, 9).mH),
        (torch.complex64,),
    )
    yield sample(
        "negative",
        "lazy negation, conjugation or zeros",
        lambda m: args(m(9, 5), torch._neg_view(m(5, 9).t())),
        (F32,),
    )


def squares(m: Make) -> Args:
    tensor = m(12, 12)
    return args(tensor, tensor.t())


def halves(m: Make) -> Args:
    tensor = m(24, 12)
    return args(tensor[:12], tensor[12:].t())


def itself(m: Make) -> Args:
    tensor = m(12, 9).t()
    return args(tensor, tensor)


def of_memory() -> Iterator[Sample]:
    yield sample("itself", RUN, itself)
    yield sample("itself, turned over", "any", squares)
    yield sample("another part of its memory", "hit", halves)
    yield sample(
        "copied on write", "hit", lambda m: args(m(9, 12), torch._lazy_clone(m(12, 9)).t())
    )
    yield sample(
        "written on write", "hit", lambda m: args(torch._lazy_clone(m(9, 12)), m(12, 9).t())
    )


def of_gradients() -> Iterator[Sample]:
    yield sample("gradient", "hit", lambda m: args(m(9, 12), m(12, 9).requires_grad_().t()), (F32,))
    yield sample(
        "into a leaf", "error", lambda m: args(m(9, 12).requires_grad_(), m(12, 9).t()), (F32,)
    )


def of_others() -> Iterator[Sample]:
    yield sample("empty", RUN, lambda m: args(m(0, 3), m(3, 0).t()))
    yield sample("scalar", RUN, lambda m: args(m(), m()))
    yield sample("broadcast", "broadcast", lambda m: args(m(5, 9), m(9)))
    yield sample("wrong sizes", "error", lambda m: args(m(5, 9), m(5, 8)))
    yield sample("other dtype", MIXED, lambda m: args(m(5, 9), m(9, 5, dtype=BF16).t()), (F32, F64))
    yield sample("to meta", "any", lambda m: args(m(5, 9).to("meta"), m(9, 5).t()), (F32,))
    yield sample("of meta", "any", lambda m: args(m(5, 9), m(9, 5).t().to("meta")), (F32,))


def samples() -> Iterator[Sample]:
    for part in (of_layouts, of_values, of_memory, of_gradients, of_others):
        yield from part()
