"""Samples of avg_pool3d, _adaptive_avg_pool3d and their backwards."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import F32, F64, TAKEN, Args, Make, Sample, args, lay_out
from samples_pool import FORMATS, OUT_EXPECT, Window, output

AVG, ADAPTIVE = "avg_pool3d", "_adaptive_avg_pool3d"
ROW = (-4, -3, -2, -1)  # an image
aten: Any = torch.ops.aten

WINDOWS = [
    Window((2,)),
    Window((3,), (2,), (1,)),
    Window((3,), (1,), (1,)),
    Window((1, 2, 2)),
    Window((2, 2, 2), (2, 2, 2), (1, 1, 1), ceil=True),
    Window((3, 2, 1), (1, 2, 3), (1, 0, 0)),
    Window((3,), (2,), (1,), ceil=True, count=False),
    Window((2, 3, 3), (2, 1, 2), (1, 1, 0), count=False),
    Window((2,), (3,), divisor=5),
    Window((2, 4, 3), (2,), (1, 2, 1), divisor=-2, count=False),
]
FEW = WINDOWS[:3]
SHAPES = [(1, 16, 5, 4, 8), (2, 3, 4, 5, 9), (3, 4, 6, 7), (1, 1, 3, 5, 16)]
RESULTS = [(2, 2, 2), (1, 3, 2), (3, 5, 9), (2, 1, 1)]
PLAIN = Window((3, 2, 2), (2,), (1, 0, 1))


def forward(
    op: str, m: Make, shape: tuple[int, ...], w: Any, layout: str, special: bool = False
) -> Args:
    """``w``: the window, of an adaptive pool the results' sizes."""
    x = m(*shape, layout=layout, special=special)
    return args(x, list(w)) if op == ADAPTIVE else args(x, *w.of_avg())


def result_of(op: str, x: torch.Tensor, parameters: Any) -> torch.Tensor:
    """In float32, as stock's of the CPU has no 16 bits."""
    result: torch.Tensor = getattr(aten, op)(x.to(F32), *parameters)
    return result.to(x.dtype)


def backward(op: str, m: Make, values: Args, grad: str = "contiguous") -> Args:
    """Of a forward's arguments; the gradient in that layout."""
    (x, *parameters), _ = values
    y = result_of(op, x, parameters)
    g = lay_out(m(*y.shape), grad)
    return args(g, x) if op == ADAPTIVE else args(g, x, *parameters)


def both(op: str, what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Any:
    yield Sample(op, what, make, expect, dtypes, ROW)
    yield Sample(f"{op}_backward", what, lambda m: backward(op, m, make(m)), expect, dtypes, ROW)


def parameter_of(op: str) -> Any:
    return (3, 2, 2) if op == ADAPTIVE else PLAIN


def windows() -> Iterator[Sample]:
    for shape, layout in product(SHAPES, FORMATS):
        if len(shape) == 4 and layout == "channels_last":
            continue
        many = shape == SHAPES[0]
        cases: list[tuple[str, Any]] = [(AVG, w) for w in (WINDOWS if many else FEW)]
        cases += [(ADAPTIVE, r) for r in (RESULTS if many else RESULTS[:1])]
        for op, w in cases:
            yield from both(
                op,
                f"{shape} {layout} {w}",
                lambda m, o=op, s=shape, la=layout, w=w: forward(o, m, s, w, la),
            )


def layouts() -> Iterator[Sample]:
    """What is neither contiguous nor channels last is stock's, gradients, too."""
    shape = (2, 8, 4, 5, 9)
    for op in (AVG, ADAPTIVE):
        for layout in ("transposed", "strided", "padded", "expanded"):
            yield Sample(
                op,
                layout,
                lambda m, o=op, la=layout: forward(o, m, shape, parameter_of(o), la),
                "layout",
                dims=ROW,
            )
        yield from both(
            op, "offset", lambda m, o=op: forward(o, m, shape, parameter_of(o), "offset")
        )
        for layout, grad in product(FORMATS, ("channels_last", "expanded_last")):
            yield Sample(
                f"{op}_backward",
                f"{layout}, gradient {grad}",
                lambda m, o=op, la=layout, g=grad: backward(
                    o, m, forward(o, m, shape, parameter_of(o), la), g
                ),
                "hit" if grad == "channels_last" else "layout",
                dims=ROW,
            )
        for small in ((1, 1, 4, 5, 4), (2, 5, 1, 1, 1), (1, 4, 4, 1, 1)):  # in both formats
            for layout in FORMATS:
                w: Any = (1, 2, 2) if op == ADAPTIVE else Window((1,), (1,))
                yield from both(
                    op,
                    f"{small} {layout}",
                    lambda m, o=op, s=small, w=w, la=layout: forward(o, m, s, w, la),
                )


def special() -> Iterator[Sample]:
    for op, layout in product((AVG, ADAPTIVE), FORMATS):
        yield Sample(
            op,
            f"special {layout}",
            lambda m, o=op, la=layout: forward(o, m, (2, 8, 4, 5, 8), parameter_of(o), la, True),
            dims=ROW,
        )


def wrong() -> Iterator[Sample]:
    def bad(op: str, what: str, make: Any, expect: str = "error") -> Any:
        yield Sample(op, what, make, expect, (F32,))

    image = (2, 3, 4, 4, 4)
    for what, w in (
        ("padding", Window((2,), (2,), (2,))),
        ("larger than the image", Window((6,))),
        ("larger than the image, padded", Window((5,), (1,), (2,))),
        ("stride 0", Window((2,), (0,))),
        ("size 0", Window((0,), (1,))),
        ("two sizes", Window((2, 2))),
        ("negative padding", Window((2,), (2,), (-1,))),
        ("divisor 0", Window((2,), divisor=0)),
    ):
        yield from bad(AVG, what, lambda m, w=w: forward(AVG, m, image, w, "contiguous"))
    yield from bad(AVG, "rank", lambda m: forward(AVG, m, (4, 4, 4), PLAIN, "contiguous"))
    yield from bad(
        AVG,
        "channels last in two dimensions",
        lambda m: forward(AVG, m, (4, 4, 4, 4), PLAIN, "channels_last"),
    )
    yield from bad(
        AVG, "no channels", lambda m: forward(AVG, m, (2, 0, 4, 4, 4), PLAIN, "contiguous")
    )
    yield from bad(
        AVG, "no batch", lambda m: forward(AVG, m, (0, 2, 4, 4, 4), PLAIN, "contiguous"), "empty"
    )
    for results in ((0, 2, 2), (-1, 2, 2)):
        yield from bad(
            ADAPTIVE,
            f"results {results}",
            lambda m, r=results: forward(ADAPTIVE, m, image, r, "contiguous"),
            "any" if results[0] == 0 else "error",
        )

    def other(m: Make) -> Args:
        (g, *rest), _ = backward(AVG, m, forward(AVG, m, image, PLAIN, "contiguous"))
        return args(g[..., :-1].contiguous(), *rest)

    yield Sample(f"{AVG}_backward", "shape", other, "error", (F32,))


def out() -> Iterator[Sample]:
    image = (2, 3, 4, 5, 8)
    for kind, expect in OUT_EXPECT.items():

        def of_forward(m: Make, kind: str = kind) -> Args:
            values, _ = forward(AVG, m, image, PLAIN, "contiguous")
            return args(*values, out=output(kind, m, result_of(AVG, values[0], values[1:])))

        def of_backward(m: Make, kind: str = kind) -> Args:
            values, _ = backward(AVG, m, forward(AVG, m, image, PLAIN, "contiguous"))
            return args(*values, grad_input=output(kind, m, values[1]))

        # In 16 bits stock's of the CPU resizes and then raises, with nothing written.
        dtypes = (F32, F64) if kind == "resized" else TAKEN
        yield Sample(f"{AVG}.out", f"out: {kind}", of_forward, expect, dtypes, ROW)
        yield Sample(f"{AVG}_backward.grad_input", f"out: {kind}", of_backward, expect, dims=ROW)


def samples() -> Iterator[Sample]:
    for part in (windows, layouts, special, wrong, out):
        yield from part()
