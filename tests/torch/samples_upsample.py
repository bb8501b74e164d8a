"""Samples of upsample_{nearest,bilinear,bicubic}2d and _upsample_nearest_exact2d, both directions.

No family has kernels of them on the CPU: there the samples are stock's.
"""

from collections.abc import Iterator
from typing import Any

import torch
from samples import BF16, F32, TAKEN, Args, Make, Sample, args

# Each op, and what follows the sizes in its arguments.
OPS: list[tuple[str, tuple[Any, ...]]] = [
    ("upsample_nearest2d", ()),
    ("_upsample_nearest_exact2d", ()),
    ("upsample_bilinear2d", (False,)),
    ("upsample_bilinear2d", (True,)),
    ("upsample_bicubic2d", (False,)),
    ("upsample_bicubic2d", (True,)),
]
# From, to.
IMAGES = [
    ((2, 3, 4, 6), (8, 12)),
    ((1, 5, 5, 7), (15, 28)),
    ((2, 8, 6, 8), (13, 17)),
    ((1, 2, 12, 16), (5, 8)),
    ((2, 3, 1, 1), (5, 4)),
    ((1, 3, 7, 9), (1, 1)),
    ((2, 3, 5, 7), (5, 7)),
    ((2, 3, 5, 7), (5, 14)),
    ((3, 1, 6, 4), (12, 8)),
    ((1, 17, 9, 1), (20, 3)),
]
LAYOUTS = {
    "contiguous": "hit",
    "channels_last": "hit",
    "offset": "hit",
    **dict.fromkeys(["transposed", "reversed", "strided", "padded", "expanded"], "layout"),
    "overlapping": "layout",
}


def forward(m: Make, shape: Any, to: Any, rest: Any, layout: str = "contiguous") -> Args:
    return args(m(*shape, layout=layout), list(to), *rest)


def backward(m: Make, shape: Any, to: Any, rest: Any, layout: str = "contiguous") -> Args:
    return args(m(*shape[:2], *to, layout=layout), list(to), list(shape), *rest)


def title(rest: tuple[Any, ...], *parts: object) -> str:
    aligned = ["align_corners"] if True in rest[:1] else []
    return " ".join(str(p) for p in (*parts, *aligned))


def shapes(op: str, rest: tuple[Any, ...]) -> Iterator[Sample]:
    for shape, to in IMAGES:
        for layout in ("contiguous", "channels_last"):
            what = title(rest, shape, to, layout)
            yield Sample(op, what, lambda m, s=shape, t=to, la=layout: forward(m, s, t, rest, la))
            # Stock's gradient of bicubic is contiguous whatever comes in.
            mixed = "bicubic" in op and layout == "channels_last" and shape[1] > 1
            yield Sample(
                f"{op}_backward",
                what,
                lambda m, s=shape, t=to, la=layout: backward(m, s, t, rest, la),
                "any" if mixed else "hit",
            )
    for factors, shape, to in (
        ((2.0, 2.0), (2, 3, 5, 6), (10, 12)),
        ((1.6, 1.7), (2, 3, 5, 6), (8, 10)),
        ((0.5, 0.75), (2, 3, 8, 12), (4, 9)),
        ((None, 2.0), (2, 3, 8, 12), (12, 24)),
    ):
        what = title(rest, "factors", factors)
        yield Sample(op, what, lambda m, f=factors, s=shape, t=to: forward(m, s, t, (*rest, *f)))
        yield Sample(
            f"{op}_backward",
            what,
            lambda m, f=factors, s=shape, t=to: backward(m, s, t, (*rest, *f)),
        )


def layouts(op: str, rest: tuple[Any, ...]) -> Iterator[Sample]:
    shape, to = (2, 8, 6, 8), (12, 16)
    for layout, expect in LAYOUTS.items():
        what = title(rest, layout)
        yield Sample(op, what, lambda m, la=layout: forward(m, shape, to, rest, la), expect)
        mixed = "bicubic" in op and layout == "channels_last"
        yield Sample(
            f"{op}_backward",
            what,
            lambda m, la=layout: backward(m, shape, to, rest, la),
            "layout" if mixed else expect,
        )
    for layout in ("contiguous", "channels_last"):

        def special(m: Make, layout: str = layout) -> Args:
            return args(m(*shape, layout=layout, special=True), list(to), *rest)

        yield Sample(op, title(rest, "special", layout), special)

    def special_gradient(m: Make) -> Args:
        return args(m(*shape[:2], *to, special=True), list(to), list(shape), *rest)

    yield Sample(f"{op}_backward", title(rest, "special"), special_gradient)


def wrong(op: str, rest: tuple[Any, ...]) -> Iterator[Sample]:
    def both(what: str, expect: str, shape: Any, to: Any, dtypes: Any = (F32, BF16)) -> Any:
        what = title(rest, what)
        yield Sample(op, what, lambda m: forward(m, shape, to, rest), expect, dtypes)
        yield Sample(f"{op}_backward", what, lambda m: backward(m, shape, to, rest), expect, dtypes)

    yield from both("no batch", "empty", (0, 3, 4, 6), (8, 12))
    yield from both("integers", "error", (2, 3, 4, 6), (8, 12), (torch.int64,))
    for what, x, to in (
        ("no channels", (2, 0, 4, 6), (8, 12)),
        ("rank 3", (3, 4, 6), (8, 12)),
        ("no height", (2, 3, 4, 6), (0, 12)),
        ("three sizes", (2, 3, 4, 6), (4, 8, 12)),
    ):
        yield Sample(
            op,
            title(rest, what),
            lambda m, x=x, t=to: args(m(*x), list(t), *rest),
            "error",
            (F32,),
        )
    for what, grad, sizes in (
        ("other channels", (2, 4, 8, 12), [2, 3, 4, 6]),
        ("other height", (2, 3, 9, 12), [2, 3, 4, 6]),
        ("rank 3", (3, 8, 12), [2, 3, 4, 6]),
        ("three input sizes", (2, 3, 8, 12), [3, 4, 6]),
    ):
        yield Sample(
            f"{op}_backward",
            title(rest, what),
            lambda m, g=grad, s=sizes: args(m(*g), [8, 12], s, *rest),
            "error",
            (F32,),
        )
    yield Sample(
        op,
        title(rest, "meta"),
        lambda m: args(m(2, 3, 4, 6).to("meta"), [8, 12], *rest),
        "none",
        (F32,),
    )


def outs(op: str, rest: tuple[Any, ...]) -> Iterator[Sample]:
    small, large = (2, 8, 4, 6), (2, 8, 8, 12)
    for what, expect, form, layout in (
        ("contiguous", "hit", "contiguous", "contiguous"),
        ("channels_last", "hit", "channels_last", "channels_last"),
        ("of another layout", "layout", "contiguous", "channels_last"),
        ("offset", "hit", "contiguous", "offset"),
    ):

        def into(m: Make, form: str = form, layout: str = layout) -> Args:
            return args(m(*small, layout=form), [8, 12], *rest, out=m(*large, layout=layout))

        def gradient(m: Make, form: str = form, layout: str = layout) -> Args:
            return args(
                m(*large, layout=form),
                [8, 12],
                list(small),
                *rest,
                grad_input=m(*small, layout=layout),
            )

        yield Sample(f"{op}.out", title(rest, "out:", what), into, expect, TAKEN)
        yield Sample(
            f"{op}_backward.grad_input", title(rest, "out:", what), gradient, expect, TAKEN
        )
    for what, expect, shape, dtype in (
        ("empty", "out must be resized", (0,), None),
        ("integer", "error", large, torch.int32),
    ):

        def made(m: Make, shape: Any = shape, dtype: Any = dtype) -> Args:
            return args(m(*small), [8, 12], *rest, out=m(*shape).to(dtype or m.dtype))

        yield Sample(f"{op}.out", title(rest, "out:", what), made, expect, (F32, BF16))


def samples() -> list[Sample]:
    found: list[Sample] = []
    for op, rest in OPS:
        for part in (shapes, layouts, wrong, outs):
            found += part(op, rest)
    return found
