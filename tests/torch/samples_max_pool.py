"""Samples of adaptive_max_pool2d and 3d, max_pool3d_with_indices and their backwards."""

from collections.abc import Iterator
from itertools import cycle, product
from typing import Any

import torch
from samples import BF16, F16, F32, TAKEN, Args, Make, Sample, args, lay_out
from samples_pool import FORMATS, OUT_EXPECT, Window, output

MAX_3D, ADAPTIVE_2D, ADAPTIVE_3D = (
    "max_pool3d_with_indices",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
)
DIMS = {MAX_3D: 3, ADAPTIVE_2D: 2, ADAPTIVE_3D: 3}
aten: Any = torch.ops.aten

# A call in all of them, three in one each.
DTYPES = (TAKEN, (BF16,), (F16,), (F32,))
WINDOWS = [
    Window((3,), (2,), (1,)),
    Window((3, 3, 3), (2, 2, 2), (0, 0, 0)),
    Window((3,), (2,), (1,), ceil=True),
    Window((3,), (1,), (1,)),
    Window((2,)),
    Window((2, 2, 2), (2, 2, 2), (1, 1, 1), ceil=True),
    Window((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    Window((1, 2, 2)),
    Window((3, 2, 1), (2, 3, 1), (1, 0, 0)),
    Window((4,), (3,), (2,), ceil=True),
    Window((3,), (1,), (0,), dilation=(2,)),
    Window((2, 3, 2), (2,), (1,), dilation=(3, 1, 2)),
]
PLAIN = WINDOWS[0]
VOLUMES = [(2, 3, 7, 8, 9), (1, 16, 6, 7, 8), (3, 5, 6, 7), (1, 2, 9, 20, 30)]
IMAGES = [(2, 3, 9, 10), (1, 16, 12, 13), (3, 8, 8), (2, 8, 7, 7), (1, 4, 30, 48), (2, 20, 30, 8)]
SHARES_2D = [(7, 7), (1, 3), (5, 4), (1, 1), (2, 14), (3, 3)]
SHARES_3D = [(2, 3, 4), (1, 1, 1), (7, 2, 11), (3, 1, 2)]


def rows_of(op: str) -> tuple[int, ...]:
    """An image."""
    return tuple(range(-DIMS[op] - 1, 0))


def forward(
    op: str, m: Make, shape: tuple[int, ...], w: Any, layout: str, special: bool = False
) -> Args:
    """``w``: the window, of an adaptive pool the results' sizes."""
    x = m(*shape, layout=layout, special=special)
    return args(x, *w.of_max()) if op == MAX_3D else args(x, list(w))


def backward(op: str, m: Make, values: Args, grad: str = "") -> Args:
    """Of a forward's arguments; the gradient in that layout, else in the result's."""
    (x, *parameters), _ = values
    y, indices = getattr(aten, op)(x, *parameters)
    g = torch.empty_like(y).copy_(m(*y.shape))
    if grad:
        g = lay_out(g.contiguous(), grad)
    return args(g, x, *(parameters if op == MAX_3D else []), indices)


def both(op: str, what: str, make: Any, dtypes: Any = (F32, BF16)) -> Iterator[Sample]:
    rows = rows_of(op)
    yield Sample(op, what, make, "hit", dtypes, rows)
    yield Sample(f"{op}_backward", what, lambda m: backward(op, m, make(m)), "hit", dtypes, rows)


def calls() -> Iterator[Sample]:
    of_op = {
        MAX_3D: (VOLUMES, WINDOWS),
        ADAPTIVE_2D: (IMAGES, SHARES_2D),
        ADAPTIVE_3D: (VOLUMES, SHARES_3D),
    }
    for op, (shapes, windows) in of_op.items():
        turn = cycle(DTYPES)
        for i, (shape, layout) in enumerate(product(shapes, FORMATS)):
            if len(shape) == DIMS[op] + 1 and layout == "channels_last":
                continue
            for w in windows if i in (0, 3) else windows[i % 3 : i % 3 + 2]:
                yield from both(
                    op,
                    f"{shape} {layout} {w}",
                    lambda m, o=op, s=shape, la=layout, w=w: forward(o, m, s, w, la),
                    next(turn),
                )


PLAIN_CALLS: dict[str, tuple[tuple[int, ...], Any]] = {
    MAX_3D: ((2, 3, 6, 8, 9), PLAIN),
    ADAPTIVE_2D: ((2, 3, 8, 9), (3, 2)),
    ADAPTIVE_3D: ((2, 3, 6, 8, 9), (2, 3, 2)),
}


def layouts() -> Iterator[Sample]:
    """What is neither contiguous nor channels last is stock's; so is a gradient in another one."""
    for op, (shape, w) in PLAIN_CALLS.items():
        for layout in ("transposed", "strided", "padded", "expanded"):
            yield Sample(
                op,
                layout,
                lambda m, o=op, s=shape, w=w, la=layout: forward(o, m, s, w, la),
                "layout",
                (F32, BF16),
                dims=rows_of(op),
            )
        yield from both(op, "offset", lambda m, o=op, s=shape, w=w: forward(o, m, s, w, "offset"))
        # Stock's results of the adaptive pool of three dimensions are contiguous.
        for layout, grad in (("contiguous", "channels_last"), ("channels_last", "contiguous")):
            fits = op == ADAPTIVE_3D and grad == "contiguous"
            yield Sample(
                f"{op}_backward",
                f"{layout}, gradient {grad}",
                lambda m, o=op, s=shape, w=w, la=layout, g=grad: backward(
                    o, m, forward(o, m, s, w, la), g
                ),
                "hit" if fits else "layout",
                (F32, BF16),
                dims=rows_of(op),
            )
        more = (5,) if DIMS[op] == 3 else ()
        for small in ((1, 1, 9, 9), (2, 5, 1, 1)):  # in both formats
            for layout in FORMATS:
                of_small = (*small[:2], *more, *small[2:])
                v = Window((3,), (1,), (1,)) if op == MAX_3D else (1, 2, 2)[-DIMS[op] :]
                yield from both(
                    op,
                    f"{of_small} {layout}",
                    lambda m, o=op, s=of_small, v=v, la=layout: forward(o, m, s, v, la),
                )


def without_a_batch() -> Iterator[Sample]:
    """Of an image that is channels last stock's results of three dimensions may be, too."""
    for op, expect in ((MAX_3D, "layout"), (ADAPTIVE_3D, "hit"), (ADAPTIVE_2D, "hit")):
        shape, w = PLAIN_CALLS[op]

        def make(m: Make, op: str = op, shape: tuple[int, ...] = shape, w: Any = w) -> Args:
            (x, *rest), _ = forward(op, m, shape, w, "channels_last")
            return args(x[0], *rest)

        yield Sample(op, "channels last without a batch", make, expect, dims=rows_of(op))


def special() -> Iterator[Sample]:
    for (op, (shape, w)), layout in product(PLAIN_CALLS.items(), FORMATS):
        yield Sample(
            op,
            f"special {layout}",
            lambda m, o=op, s=shape, w=w, la=layout: forward(o, m, s, w, la, True),
            dims=rows_of(op),
        )
        for value in (-float("inf"), float("nan"), 0.0, 7.0):

            def equal(m: Make, v: float = value, la: str = layout, o: str = op) -> Args:
                (x, *rest), _ = forward(o, m, *PLAIN_CALLS[o], la)
                return args(x.fill_(v), *rest)

            # Stock's kernel of the CPU has another index there.
            lowest = op == MAX_3D and value == -float("inf") and layout == "channels_last"
            where = "devices" if lowest else "everywhere"
            yield Sample(op, f"all {value} {layout}", equal, dtypes=(F32, BF16), where=where)


def wrong() -> Iterator[Sample]:
    def bad(op: str, what: str, make: Any, expect: str = "error") -> Iterator[Sample]:
        yield Sample(op, what, make, expect, (F32,))

    volume = (2, 3, 6, 8, 8)
    for what, w in (
        ("padding", Window((2,), (2,), (2,))),
        ("padding of the dilated size", Window((2,), (2,), (2,), dilation=(4,))),
        ("larger than the image", Window((9,))),
        ("stride 0", Window((2,), (0,))),
        ("size 0", Window((0,), (1,))),
        ("two sizes", Window((2, 2))),
        ("negative padding", Window((2,), (2,), (-1,))),
        ("dilation", Window((2,), dilation=(0,))),
    ):
        yield from bad(MAX_3D, what, lambda m, w=w: forward(MAX_3D, m, volume, w, "contiguous"))
    for op, (shape, w) in PLAIN_CALLS.items():
        yield from bad(
            op, "rank", lambda m, o=op, w=w: forward(o, m, (4, 4)[: DIMS[o]], w, "contiguous")
        )
        for what, empty, expect in (("channels", 1, "any"), ("batch", 0, "any")):
            sizes = tuple(0 if d == empty else n for d, n in enumerate(shape))
            yield from bad(
                op,
                f"no {what}",
                lambda m, o=op, s=sizes, w=w: forward(o, m, s, w, "contiguous"),
                expect,
            )

        def other(m: Make, op: str = op) -> Args:
            (g, *rest), _ = backward(op, m, forward(op, m, *PLAIN_CALLS[op], "contiguous"))
            return args(g[..., :-1].contiguous(), *rest)

        if op == MAX_3D:  # the others look at no more than they need
            yield from bad(f"{op}_backward", "shape", other)
    for op in (ADAPTIVE_2D, ADAPTIVE_3D):
        shape, w = PLAIN_CALLS[op]
        for first in (0, -1):
            results = (first, *w[1:])
            yield from bad(
                op,
                f"results {results}",
                lambda m, o=op, s=shape, r=results: forward(o, m, s, r, "contiguous"),
                "any" if first == 0 else "error",
            )
        yield from bad(
            op,
            "one size too many",
            lambda m, o=op, s=shape, w=w: forward(o, m, s, (*w, 2), "contiguous"),
        )


def out() -> Iterator[Sample]:
    for kind, expect in OUT_EXPECT.items():
        for op in DIMS:

            def of_forward(m: Make, kind: str = kind, op: str = op) -> Args:
                values, _ = forward(op, m, *PLAIN_CALLS[op], "contiguous")
                y, indices = getattr(aten, op)(*values)
                places = torch.zeros_like(indices) if kind != "resized" else indices.new_empty(0)
                return args(*values, out=output(kind, m, y), indices=places)

            def of_backward(m: Make, kind: str = kind, op: str = op) -> Args:
                values = forward(op, m, *PLAIN_CALLS[op], "contiguous")
                arguments, _ = backward(op, m, values)
                return args(*arguments, grad_input=output(kind, m, arguments[1]))

            rows = rows_of(op)
            yield Sample(f"{op}.out", f"out: {kind}", of_forward, expect, dims=rows)
            yield Sample(
                f"{op}_backward.grad_input", f"out: {kind}", of_backward, expect, dims=rows
            )


def samples() -> Iterator[Sample]:
    for part in (calls, layouts, without_a_batch, special, wrong, out):
        yield from part()
