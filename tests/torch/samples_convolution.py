"""Samples of convolution and convolution_backward, the leaves of nn.Conv1d, Conv2d and Conv3d.

Stock's oneDNN dies of windows that lie in the padding alone, in bfloat16 and channels last, and
never comes back from a depthwise convolution of 15 taps and more in float16 (with AVX512_FP16):
there are none.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from samples import F16, F32, F64, TAKEN, Args, Make, Sample, args

NAME = "convolution"
BACKWARD = "convolution_backward"


@dataclass(frozen=True)
class Shape:
    """Sizes of input and weight, and the parameters; a list of one is for all dimensions."""

    input: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...] = (1,)
    padding: tuple[int, ...] = (0,)
    dilation: tuple[int, ...] = (1,)
    groups: int = 1

    def title(self) -> str:
        lists = (self.stride, self.padding, self.dilation)
        return f"{self.input} {self.weight} {lists} groups {self.groups}"


SHAPES = [
    Shape((1, 1, 1), (1, 1, 1)),
    Shape((2, 3, 9), (4, 3, 3), padding=(1,)),
    Shape((1, 8, 33), (17, 8, 5), stride=(2,), padding=(2,)),
    Shape((2, 3, 40), (5, 3, 4), stride=(3,), dilation=(2,)),
    Shape((1, 1, 100), (16, 1, 10), stride=(5,)),
    Shape((2, 6, 20), (4, 3, 3), groups=2),
    Shape((1, 1, 1, 1), (1, 1, 1, 1)),
    Shape((2, 3, 7, 9), (5, 3, 3, 3), padding=(1,)),
    Shape((1, 3, 20, 21), (8, 3, 7, 7), stride=(2,), padding=(3,)),
    Shape((1, 16, 14, 14), (32, 16, 1, 1)),
    Shape((2, 9, 8, 8), (16, 9, 1, 1), stride=(2,)),
    Shape((1, 4, 6, 6), (3, 4, 1, 1), padding=(1, 0)),
    Shape((1, 33, 18, 35), (65, 33, 3, 3), padding=(1, 1)),
    Shape((2, 4, 12, 11), (6, 4, 3, 1), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
    Shape((1, 4, 15, 15), (6, 4, 3, 3), padding=(2, 2), dilation=(2, 2)),
    Shape((1, 3, 32, 32), (24, 3, 8, 8), stride=(8,)),
    Shape((17, 2, 6, 6), (3, 2, 3, 3), padding=(1,)),
    Shape((2, 8, 9, 9), (12, 4, 3, 3), padding=(1,), groups=2),
    Shape((1, 64, 7, 7), (64, 2, 3, 3), padding=(1,), groups=32),
    Shape((1, 5, 3, 3), (7, 5, 3, 3)),
    Shape((2, 3, 4, 5, 6), (4, 3, 3, 3, 3), padding=(1,)),
    Shape((1, 3, 6, 8, 8), (4, 3, 3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2)),
    Shape((1, 4, 5, 5, 5), (6, 2, 1, 1, 1), groups=2),
]
DEPTHWISE = [
    Shape((2, 4, 20), (4, 1, 7), padding=(3,), groups=4),
    Shape((1, 16, 64), (16, 1, 31), padding=(15,), groups=16),
    Shape((2, 5, 7, 9), (5, 1, 3, 3), padding=(1,), groups=5),
    Shape((1, 8, 14, 14), (8, 1, 3, 3), stride=(2,), padding=(1,), groups=8),
    Shape((1, 17, 35, 36), (17, 1, 5, 5), padding=(2,), groups=17),
    Shape((2, 3, 28, 28), (3, 1, 5, 5), stride=(2,), padding=(2,), groups=3),
    Shape((1, 6, 14, 14), (6, 1, 7, 7), padding=(3,), groups=6),
    Shape((1, 4, 10, 10), (8, 1, 3, 3), padding=(1,), groups=4),
    Shape((1, 4, 16, 16), (4, 1, 3, 3), padding=(2,), dilation=(2,), groups=4),
    Shape((1, 3, 5, 6, 7), (3, 1, 3, 3, 3), padding=(1,), groups=3),
]
PLAIN = Shape((2, 4, 9, 8), (6, 4, 3, 3), padding=(1,))
ROW = Shape((2, 4, 20), (6, 4, 3), padding=(1,))
LAYOUTS = ["contiguous", "transposed", "reversed", "strided", "padded", "offset", "expanded"]


def filters(m: Make, shape: Shape, layout: str) -> torch.Tensor:
    """Channels last as model.to(memory_format=...) makes them, by strides, whatever the sizes.
    Tensor.contiguous(memory_format=...) leaves filters of one tap or channel as they are.
    """
    if layout != "channels_last":
        return m(*shape.weight, layout=layout)
    form = torch.channels_last if len(shape.weight) == 4 else torch.channels_last_3d
    return m(*shape.weight).to(memory_format=form)


def forward(
    m: Make,
    shape: Shape,
    layouts: tuple[str, str] = ("contiguous",) * 2,
    bias: bool = True,
    special: bool = False,
) -> Args:
    x = m(*shape.input, layout=layouts[0], special=special)
    w = filters(m, shape, layouts[1])
    b = m(shape.weight[0]) if bias else None
    lists = [list(values) for values in (shape.stride, shape.padding, shape.dilation)]
    return args(x, w, b, *lists, False, [0], shape.groups)


def backward(
    m: Make,
    values: Args,
    grad: str = "contiguous",
    mask: tuple[bool, bool, bool] = (True, True, True),
) -> Args:
    """Of a forward's arguments, with a gradient in that layout."""
    (x, w, b, *rest), _ = values
    out = torch.convolution(x, w, b, *rest)
    sizes = None if b is None else list(b.shape)
    return args(m(*out.shape, layout=grad), x, w, sizes, *rest, list(mask))


def both(what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Iterator[Sample]:
    yield Sample(NAME, what, make, expect, dtypes)
    yield Sample(BACKWARD, what, lambda m: backward(m, make(m)), expect, dtypes)


def dtypes_of(shape: Shape) -> tuple[torch.dtype, ...]:
    """Without float16 where stock's oneDNN never comes back."""
    endless = shape.groups > 1 and max(shape.weight[2:]) >= 15
    return tuple(dtype for dtype in TAKEN if not (endless and dtype == F16))


def shapes() -> Iterator[Sample]:
    for shape, bias in product([*SHAPES, *DEPTHWISE], (True, False)):
        what = f"{shape.title()} bias {bias}"
        yield from both(
            what, lambda m, s=shape, b=bias: forward(m, s, bias=b), dtypes=dtypes_of(shape)
        )
    for shape in (replace(PLAIN, padding=(1, 1), stride=(2, 2), dilation=(1, 1)), ROW):
        yield from both(f"{shape.title()}, all lists", lambda m, s=shape: forward(m, s))


def channels_last() -> Iterator[Sample]:
    """The result is channels last if either tensor is; of rank 3, by way of transposed rows."""
    last = "channels_last"
    for shape in [s for s in (*SHAPES, *DEPTHWISE) if len(s.input) == 4]:
        outside = shape.weight[2:] == (1, 1) and any(shape.padding)
        yield from both(
            f"{shape.title()}, both channels last",
            lambda m, s=shape: forward(m, s, (last, last)),
            "any" if shape.input[1:] == (1, 1, 1) else "hit",
            (F32, F64) if outside else dtypes_of(shape),
        )
    for a, b in ((last, "contiguous"), ("contiguous", last)):
        yield from both(f"{a} {b}", lambda m, a=a, b=b: forward(m, PLAIN, (a, b)))
    for a, b in product(("contiguous", "transposed"), repeat=2):
        yield from both(f"row {a} {b}", lambda m, a=a, b=b: forward(m, ROW, (a, b)))
    volume = Shape((1, 3, 4, 5, 6), (4, 3, 3, 3, 3), padding=(1,))
    yield from both("volume", lambda m: forward(m, volume, (last, "contiguous")), "layout")
    yield from both("filters", lambda m: forward(m, volume, ("contiguous", last)), "layout")
    # Stock's libraries differ where channels have no extent besides them.
    column = Shape((2, 8, 3, 3), (4, 4, 3, 3), groups=2)
    yield Sample(NAME, "1 pixel", lambda m: forward(m, column, (last, last)), "layout")
    pixel = Shape((2, 8, 1, 1), (4, 4, 1, 1), groups=2)
    yield from both("groups of 1 pixel", lambda m: forward(m, pixel), "layout")
    narrow = Shape((2, 8, 5, 5), (4, 4, 1, 1), groups=2)
    yield Sample(
        BACKWARD, "1 tap", lambda m: backward(m, forward(m, narrow, (last, last))), "layout"
    )
    for shape in (Shape((2, 8, 5, 5), (4, 8, 1, 1)), DEPTHWISE[2]):
        yield Sample(
            BACKWARD,
            f"contiguous filters {shape.weight}",
            lambda m, s=shape: backward(m, forward(m, s, (last, "contiguous"))),
            "layout",
        )


def layouts() -> Iterator[Sample]:
    for a, b in product(LAYOUTS, ("contiguous", "strided", "expanded")):
        for shape in (PLAIN, ROW, DEPTHWISE[2]):
            yield from both(
                f"{shape.title()} {a} {b}",
                lambda m, s=shape, a=a, b=b: forward(m, s, (a, b)),
                "any" if b == "strided" else "hit",
            )
    for grad, shape in product([*LAYOUTS, "channels_last"], (PLAIN, DEPTHWISE[2])):
        yield Sample(
            BACKWARD,
            f"{shape.title()} gradient {grad}",
            lambda m, s=shape, g=grad: backward(m, forward(m, s), g),
        )


def masks() -> Iterator[Sample]:
    for mask in product((True, False), repeat=3):
        for shape, dtype in product((PLAIN, DEPTHWISE[2]), TAKEN):
            alone = mask[2] and not mask[1] and dtype != F64
            yield Sample(
                BACKWARD,
                f"{shape.title()} mask {mask}",
                lambda m, s=shape, k=mask: backward(m, forward(m, s), mask=k),
                "gradient of a bias alone"
                if alone
                else "hit"
                if any(mask)
                else "no gradient is asked for",
                (dtype,),
            )
    yield Sample(
        BACKWARD,
        "bias without its sizes",
        lambda m: backward(m, forward(m, PLAIN, bias=False)),
    )


def special() -> Iterator[Sample]:
    for shape in (PLAIN, Shape((1, 4, 9, 8), (6, 4, 1, 1)), DEPTHWISE[2]):
        yield Sample(
            NAME,
            f"special {shape.title()}",
            lambda m, s=shape: forward(m, s, special=True),
        )
    deep = Shape((1, 400, 5, 5), (3, 400, 3, 3), padding=(1,))
    yield from both("many channels", lambda m: forward(m, deep))


def changed(place: int, change: Any, shape: Shape = PLAIN) -> Any:
    def make(m: Make) -> Args:
        values, options = forward(m, shape)
        return tuple(change(v) if i == place else v for i, v in enumerate(values)), options

    return make


def declined() -> Iterator[Sample]:
    parameters = "stride, padding or dilation"
    yield Sample(NAME, "transposed", transposed, "transposed")
    yield Sample(NAME, "no batch", lambda m: forward(m, Shape((0, 4, 9, 8), (6, 4, 3, 3))), "empty")
    yield Sample(NAME, "meta", lambda m: meta(forward(m, PLAIN)), "none", (F32,))
    yield Sample(NAME, "output padding", changed(7, lambda _: [1]), parameters)


def transposed(m: Make) -> Args:
    x, w, b = m(2, 6, 9, 8), m(6, 4, 3, 3), m(4)
    return args(x, w, b, [2], [1], [1], True, [1], 1)


def meta(values: Args) -> Args:
    return tuple(v.to("meta") if isinstance(v, torch.Tensor) else v for v in values[0]), {}


def wrong() -> Iterator[Sample]:
    for what, place, change in (
        ("input of rank 3", 0, lambda t: t[0]),
        ("input of rank 5", 0, lambda t: t[None]),
        ("channels", 0, lambda t: t[:, :3]),
        ("weight of rank 2", 1, lambda t: t[0, 0]),
        ("filters", 2, lambda t: t[:5]),
        ("bias of rank 2", 2, lambda t: t[None]),
        ("stride 0", 3, lambda _: [0]),
        ("stride -1", 3, lambda _: [1, -1]),
        ("three strides", 3, lambda _: [1, 1, 1]),
        ("padding -1", 4, lambda _: [-1]),
        ("no padding", 4, lambda _: []),
        ("dilation 0", 5, lambda _: [0]),
        ("groups 0", 8, lambda _: 0),
        ("groups -1", 8, lambda _: -1),
        ("groups 3", 8, lambda _: 3),
        ("groups of channels alone", 8, lambda _: 4),
    ):
        yield Sample(NAME, what, changed(place, change), "error", (F32,))
    for place, name in enumerate(("input", "weight", "bias")):
        yield Sample(
            NAME, f"{name} in float64", changed(place, lambda t: t.double()), "any", (F32,)
        )
    small = Shape((2, 4, 9, 2), (6, 4, 3, 3))
    yield Sample(NAME, "input smaller than filters", lambda m: forward(m, small), "error", (F32,))
    yield Sample(NAME, "integers", lambda m: forward(m, PLAIN), "any", (torch.int64,))
    yield from wrong_backwards()


def wrong_backwards() -> Iterator[Sample]:
    def of(place: int, change: Any) -> Any:
        def make(m: Make) -> Args:
            values, options = backward(m, forward(m, PLAIN))
            return tuple(change(v) if i == place else v for i, v in enumerate(values)), options

        return make

    for what, place, change in (
        ("gradient of rank 3", 0, lambda t: t[0]),
        ("channels", 1, lambda t: t[:, :3]),
        ("stride 0", 4, lambda _: [0]),
        ("groups 3", 9, lambda _: 3),
    ):
        yield Sample(BACKWARD, what, of(place, change), "error", (F32,))
    yield Sample(BACKWARD, "sizes of another bias", of(3, lambda _: [7]))
    yield Sample(BACKWARD, "transposed", lambda m: backward(m, transposed(m)), "transposed")


def samples() -> Iterator[Sample]:
    for part in (shapes, channels_last, layouts, masks, special, declined, wrong):
        yield from part()
