"""Samples of max_pool2d_with_indices, avg_pool2d, _adaptive_avg_pool2d and their backwards."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, TAKEN, Args, Make, Sample, args, lay_out

MAX, AVG, ADAPTIVE = "max_pool2d_with_indices", "avg_pool2d", "_adaptive_avg_pool2d"
ROW = (-3, -2, -1)  # an image
FORMATS = ("contiguous", "channels_last")
aten: Any = torch.ops.aten


@dataclass(frozen=True)
class Window:
    size: tuple[int, ...]
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = (0,)
    ceil: bool = False
    dilation: tuple[int, ...] = (1,)
    count: bool = True
    """The padding, in an average."""
    divisor: int | None = None

    def lists(self) -> tuple[list[int], ...]:
        return list(self.size), list(self.stride), list(self.padding)

    def of_max(self) -> tuple[Any, ...]:
        return (*self.lists(), list(self.dilation), self.ceil)

    def of_avg(self) -> tuple[Any, ...]:
        return (*self.lists(), self.ceil, self.count, self.divisor)


WINDOWS = [
    Window((3,), (2,), (1,)),
    Window((3, 3), (2, 2), (0, 0)),
    Window((3,), (2,), (1,), ceil=True),
    Window((3,), (1,), (1,)),
    Window((2,)),
    Window((2, 2), (2, 2), (1, 1), ceil=True),
    Window((5,), (1,), (2,)),
    Window((3, 2), (2, 3), (1, 0)),
    Window((4,), (3,), (2,), ceil=True),
    Window((1,)),
]
FEW = [WINDOWS[0], WINDOWS[3], WINDOWS[4]]
DILATED = [Window((3,), (1,), (0,), dilation=(2,)), Window((2, 3), (2,), (1,), dilation=(3, 1))]
UNCOUNTED = [
    Window((3,), (2,), (1,), ceil=True, count=False),
    Window((3,), (1,), (1,), count=False),
    Window((2,), (2,), (1,), count=False),
    Window((3,), (2,), (1,), divisor=5),
    Window((4, 3), (2,), (2, 1), divisor=-2, count=False),
]
SHAPES = [(2, 3, 9, 10), (1, 16, 12, 13), (3, 8, 8), (2, 8, 7, 7), (1, 1, 7, 9), (2, 20, 30, 8)]
PLAIN = WINDOWS[0]


def forward(
    op: str, m: Make, shape: tuple[int, ...], w: Any, layout: str, special: bool = False
) -> Args:
    """``w``: the window, of an adaptive pool the results' sizes."""
    x = m(*shape, layout=layout, special=special)
    if op == ADAPTIVE:
        return args(x, list(w))
    return args(x, *(w.of_max() if op == MAX else w.of_avg()))


def backward(op: str, m: Make, values: Args, grad: str = "") -> Args:
    """Of a forward's arguments; the gradient in that layout, else in the input's."""
    (x, *parameters), _ = values
    result = getattr(aten, op)(x, *parameters)
    y = result[0] if op == MAX else result
    g = torch.empty_like(y).copy_(m(*y.shape))
    if grad:
        g = lay_out(g.contiguous(), grad)
    if op == ADAPTIVE:
        return args(g, x)
    return args(g, x, *parameters, *([result[1]] if op == MAX else []))


def both(op: str, what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Any:
    yield Sample(op, what, make, expect, dtypes, ROW)
    yield Sample(f"{op}_backward", what, lambda m: backward(op, m, make(m)), expect, dtypes, ROW)


def windows() -> Iterator[Sample]:
    of_op = {MAX: [*WINDOWS, *DILATED], AVG: [*WINDOWS, *UNCOUNTED]}
    for op, shape, layout in product(of_op, SHAPES, FORMATS):
        if len(shape) == 3 and layout == "channels_last":
            continue
        for w in of_op[op] if shape in SHAPES[:2] else FEW:
            yield from both(
                op,
                f"{shape} {layout} {w}",
                lambda m, o=op, s=shape, la=layout, w=w: forward(o, m, s, w, la),
            )
    for shape, layout, results in product(SHAPES, FORMATS, [(7, 7), (1, 3), (5, 4), (2, 14)]):
        if len(shape) == 3 and layout == "channels_last":
            continue
        yield from both(
            ADAPTIVE,
            f"{shape} {layout} {results}",
            lambda m, s=shape, la=layout, r=results: forward(ADAPTIVE, m, s, r, la),
        )


def parameter_of(op: str) -> Any:
    return (3, 2) if op == ADAPTIVE else PLAIN


def layouts() -> Iterator[Sample]:
    """What is neither contiguous nor channels last is stock's; so is a gradient in another one."""
    for op in (MAX, AVG, ADAPTIVE):
        for layout in ("transposed", "strided", "padded", "expanded"):
            yield Sample(
                op,
                layout,
                lambda m, o=op, la=layout: forward(o, m, (2, 3, 8, 9), parameter_of(o), la),
                "layout",
                dims=ROW,
            )
        yield from both(
            op,
            "offset",
            lambda m, o=op: forward(o, m, (2, 3, 8, 9), parameter_of(o), "offset"),
        )
        for layout, grad in (("contiguous", "channels_last"), ("channels_last", "contiguous")):
            yield Sample(
                f"{op}_backward",
                f"{layout}, gradient {grad}",
                lambda m, o=op, la=layout, g=grad: backward(
                    o, m, forward(o, m, (2, 8, 8, 9), parameter_of(o), la), g
                ),
                "layout",
                dims=ROW,
            )
        for shape in ((1, 1, 9, 9), (2, 5, 1, 1), (1, 4, 6, 1), (1, 4, 1, 6)):  # in both formats
            for layout in FORMATS:
                w = (1, 2) if op == ADAPTIVE else Window((3,), (1,), (1,))
                yield from both(
                    op,
                    f"{shape} {layout}",
                    lambda m, o=op, s=shape, w=w, la=layout: forward(o, m, s, w, la),
                )


def special() -> Iterator[Sample]:
    for op, layout in product((MAX, AVG, ADAPTIVE), FORMATS):
        yield Sample(
            op,
            f"special {layout}",
            lambda m, o=op, la=layout: forward(o, m, (2, 8, 9, 9), parameter_of(o), la, True),
            dims=ROW,
        )
    for value, layout in product((-float("inf"), float("nan"), 0.0, 7.0), FORMATS):
        for w in (*WINDOWS, *DILATED):

            def equal(m: Make, v: float = value, la: str = layout, w: Window = w) -> Args:
                (x, *rest), _ = forward(MAX, m, (1, 8, 7, 8), w, la)
                return args(x.fill_(v), *rest)

            yield Sample(MAX, f"all {value} {layout} {w}", equal, dtypes=(F32, BF16))


def wrong() -> Iterator[Sample]:
    def bad(op: str, what: str, make: Any, expect: str = "error", dtypes: Any = (F32,)) -> Any:
        yield Sample(op, what, make, expect, dtypes)

    image = (2, 3, 8, 8)
    for op in (MAX, AVG):
        for what, w in (
            ("padding", Window((2,), (2,), (2,))),
            ("larger than the image", Window((9,))),
            ("stride 0", Window((2,), (0,))),
            ("size 0", Window((0,), (1,))),
            ("three sizes", Window((2, 2, 2))),
            ("negative padding", Window((2,), (2,), (-1,))),
        ):
            yield from bad(op, what, lambda m, o=op, w=w: forward(o, m, image, w, "contiguous"))
        yield from bad(op, "rank", lambda m, o=op: forward(o, m, (4, 4), PLAIN, "contiguous"))
        yield from bad(
            op, "no channels", lambda m, o=op: forward(o, m, (2, 0, 4, 4), PLAIN, "contiguous")
        )
        yield from bad(
            op,
            "no batch",
            lambda m, o=op: forward(o, m, (0, 2, 4, 4), PLAIN, "contiguous"),
            "empty",
        )
        yield from bad(
            op,
            "meta",
            lambda m, o=op: args(
                m(*image).to("meta"), *(PLAIN.of_max() if o == MAX else PLAIN.of_avg())
            ),
            "none",
        )
    yield from bad(
        AVG, "divisor 0", lambda m: forward(AVG, m, image, Window((2,), divisor=0), "contiguous")
    )
    yield from bad(
        MAX,
        "dilation",
        lambda m: forward(MAX, m, image, Window((2,), dilation=(0,)), "contiguous"),
    )
    for results in ((0, 2), (-1, 2)):
        yield from bad(
            ADAPTIVE,
            f"results {results}",
            lambda m, r=results: forward(ADAPTIVE, m, image, r, "contiguous"),
            "any" if results[0] == 0 else "error",
        )


def wrong_gradients() -> Iterator[Sample]:
    image = (2, 3, 8, 8)
    for op in (MAX, AVG):

        def other(m: Make, op: str = op) -> Args:
            (g, *rest), _ = backward(op, m, forward(op, m, image, PLAIN, "contiguous"))
            return args(g[..., :-1].contiguous(), *rest)

        yield Sample(f"{op}_backward", "shape", other, "error", (F32,))

    def no_integers(m: Make) -> Args:
        (*rest, indices), _ = backward(MAX, m, forward(MAX, m, image, PLAIN, "contiguous"))
        return args(*rest, indices.to(torch.int32))

    yield Sample(f"{MAX}_backward", "indices of 32 bits", no_integers, "any", (F32,))


OUT_EXPECT = {
    "contiguous": "hit",
    "channels_last": "out in another memory format",
    "strided": "out in another memory format",
    "resized": "out must be resized",
    "other dtype": "any",
}


def output(kind: str, m: Make, like: torch.Tensor) -> torch.Tensor:
    if kind == "resized":
        return m(0)
    dtype = torch.float64 if m.dtype == F32 else F32
    if kind == "other dtype":
        return m(*like.shape, dtype=dtype)
    return m(*like.shape, layout=kind)


def out() -> Iterator[Sample]:
    for kind, expect in OUT_EXPECT.items():

        def of_max(m: Make, kind: str = kind) -> Args:
            values, _ = forward(MAX, m, (2, 3, 8, 9), PLAIN, "contiguous")
            y, indices = getattr(aten, MAX)(*values)
            places = torch.zeros_like(indices) if kind != "resized" else indices.new_empty(0)
            return args(*values, out=output(kind, m, y), indices=places)

        def of_avg(m: Make, kind: str = kind) -> Args:
            values, _ = forward(AVG, m, (2, 3, 8, 9), PLAIN, "contiguous")
            return args(*values, out=output(kind, m, getattr(aten, AVG)(*values)))

        yield Sample(f"{MAX}.out", f"out: {kind}", of_max, expect, dims=ROW)
        yield Sample(f"{AVG}.out", f"out: {kind}", of_avg, expect, dims=ROW)
        for op in (MAX, AVG):

            def of_backward(m: Make, kind: str = kind, op: str = op) -> Args:
                values = forward(op, m, (2, 3, 8, 9), PLAIN, "contiguous")
                arguments, _ = backward(op, m, values)
                return args(*arguments, grad_input=output(kind, m, arguments[1]))

            yield Sample(f"{op}_backward.grad_input", f"out: {kind}", of_backward, expect, dims=ROW)


def samples() -> Iterator[Sample]:
    for part in (windows, layouts, special, wrong, wrong_gradients, out):
        yield from part()
