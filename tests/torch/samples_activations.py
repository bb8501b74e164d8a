"""Samples of mish, softplus, elu, log_sigmoid and glu, which devices alone have kernels of.

What stock's iterator makes of odd layouts samples_elementwise.py asks; here are a few of each.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from devices import on_harness
from samples import BF16, F32, LAYOUTS, TAKEN, Args, Make, Sample, args
from samples_elementwise import OUT_EXPECT, outputs

SHAPES = [(), (1,), (7,), (64, 33)]
RANK_9 = (1, 2, 1, 2, 1, 2, 1, 2, 3)
SELU = (1.6732632423543772, 1.0507009873554805, 1)

# What each overload takes beside its tensor.
FORWARD: list[tuple[str, dict[str, Any]]] = [
    ("mish", {}),
    ("softplus", {}),
    ("softplus", {"beta": 2.5, "threshold": 3}),
    ("elu", {}),
    ("elu", {"alpha": 0.5, "scale": 2, "input_scale": 0.25}),
    ("elu", dict(zip(("alpha", "scale", "input_scale"), SELU, strict=True))),
    ("log_sigmoid_forward", {}),
]
IN_PLACE = ("mish", "elu")

Gradient = Callable[[torch.Tensor, torch.Tensor], tuple[Any, ...]]
BACKWARD: list[tuple[str, str, Gradient]] = [
    ("mish_backward", "", lambda grad, x: (grad, x)),
    ("softplus_backward", "", lambda grad, x: (grad, x, 1, 20)),
    ("softplus_backward", "beta 2.5", lambda grad, x: (grad, x, 2.5, 3)),
    ("elu_backward", "", lambda grad, x: (grad, 1, 1, 1, False, x)),
    ("elu_backward", "of result", lambda grad, x: (grad, 1, 1, 1, True, x.clamp(-1))),
    ("elu_backward", "selu", lambda grad, x: (grad, *SELU, False, x)),
    ("elu_backward", "scaled result", lambda grad, x: (grad, 0.5, 2, 0.25, True, x.clamp(-1))),
    ("log_sigmoid_backward", "", lambda grad, x: (grad, x, x.new_empty(0))),
]
# Those of CPUs read the buffer; harness_stock.py has others.
ON_DEVICES = ("log_sigmoid_forward", "log_sigmoid_backward")


def layouts() -> list[str]:
    return [layout for layout in [*LAYOUTS, "channels_last"] if layout != "overlapping"]


def of(overload: str, title: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Sample:
    where = "devices" if overload.startswith(ON_DEVICES) and not on_harness() else "everywhere"
    return Sample(overload, title, make, expect, dtypes, where=where)


def forward(op: str, named: dict[str, Any]) -> Iterator[Sample]:
    def add(
        what: str, expect: str, make: Callable[[Make], torch.Tensor], dtypes: Any = TAKEN
    ) -> Any:
        title = " ".join(map(str, (*named.values(), what)))
        yield of(op, title, lambda m: args(make(m), **named), expect, dtypes)
        if op in IN_PLACE and not what.startswith("expanded"):
            yield of(op + "_", title, lambda m: args(make(m), **named), expect, dtypes)

    yield from add("special", "hit", lambda m: m(9, 9, scale=3, special=True))
    yield from add("(5, 13)", "hit", lambda m: m(5, 13, scale=3))
    if named:
        return
    for shape in SHAPES:
        yield from add(f"{shape}", "hit", lambda m, s=shape: m(*s, scale=3))
    for layout in layouts():
        yield from add(layout, "hit", lambda m, la=layout: m(2, 3, 8, 9, layout=la, scale=3))
    yield from add("empty", "empty", lambda m: m(3, 0, 4))
    yield from add("rank 9", "rank", lambda m: m(*RANK_9))
    for dtype in (torch.int64, torch.bool, torch.complex64):
        yield from add("wrong dtype", "error", lambda m: m(5, 13), (dtype,))
    if op in ("softplus", "elu"):
        wrong = dict.fromkeys(("beta", "threshold") if op == "softplus" else ("scale",), 1j)
        yield of(op, "complex scalar", lambda m: args(m(3), **wrong), "error", (F32,))


def out_forms() -> Iterator[Sample]:
    for op, kind in product(("mish", "softplus", "elu"), OUT_EXPECT):

        def made(m: Make, kind: str = kind) -> Args:
            x = m(6, 6)
            return args(x, out=outputs(kind, m, [x]))

        yield of(f"{op}.out", f"out: {kind}", made, OUT_EXPECT[kind])
    for kind in ("contiguous", "transposed", "last input", "empty"):

        def both(m: Make, kind: str = kind) -> Args:
            x = m(6, 6)
            return args(x, output=outputs(kind, m, [x]), buffer=m(0))

        yield of("log_sigmoid_forward.output", f"out: {kind}", both, OUT_EXPECT[kind])
    for op, what, arrange in BACKWARD:
        for kind in ("contiguous", "transposed", "first input", "last input", "empty", "expanded"):
            if op == "mish_backward" or what:
                continue

            def gradient(m: Make, kind: str = kind, arrange: Gradient = arrange) -> Args:
                grad, x = m(6, 6), m(6, 6)
                return args(*arrange(grad, x), grad_input=outputs(kind, m, [grad, x]))

            expect = OUT_EXPECT.get(kind, "hit")
            yield of(f"{op}.grad_input", f"{what} out: {kind}", gradient, expect)


def backward(op: str, what: str, arrange: Gradient) -> Iterator[Sample]:
    def sample(title: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Sample:
        return of(op, f"{what} {title}", lambda m: args(*arrange(*make(m))), expect, dtypes)

    yield sample("special", lambda m: (m(9, 9, special=True), m(9, 9)))
    yield sample("special input", lambda m: (m(9, 9), m(9, 9, special=True)))
    yield sample("(5, 13)", lambda m: (m(5, 13), m(5, 13, scale=3)))
    if what:
        return
    for shape in SHAPES:
        yield sample(f"{shape}", lambda m, s=shape: (m(*s), m(*s, scale=3)))
    kinds = layouts()
    for a, b in [*zip(kinds, kinds[1:] + kinds[:1], strict=True), ("channels_last",) * 2]:
        yield sample(
            f"{a} {b}",
            lambda m, a=a, b=b: (m(2, 3, 4, 5, layout=a), m(2, 3, 4, 5, layout=b, scale=2)),
        )
    yield sample("empty", lambda m: (m(3, 0, 4), m(3, 0, 4)), "empty")
    yield sample("rank 9", lambda m: (m(*RANK_9), m(*RANK_9)), "rank")
    yield sample("broadcast grad", lambda m: (m(5), m(4, 5)), "any")
    yield sample("mixed", lambda m: (m(4, 5), m(4, 5, dtype=BF16)), "any", (F32,))


HALVES = [((2,), 0), ((6, 16), 1), ((6, 16), 0), ((3, 10), -1), ((2, 8, 3, 5), 1), ((64, 130), 1)]
HALVES += [((4, 1, 6), 2), ((2, 16, 1, 8), 1)]


def glu() -> Iterator[Sample]:
    def pair(what: str, make: Any, dim: int, expect: str = "hit", dtypes: Any = TAKEN) -> Any:
        yield of("glu", f"{what} dim {dim}", lambda m: args(make(m), dim), expect, dtypes)

        def gradient(m: Make) -> Args:
            x = make(m)
            sizes = list(x.shape)
            if sizes:
                sizes[dim] //= 2
            return args(m(*sizes), x, dim)

        yield of("glu_backward", f"{what} dim {dim}", gradient, expect, dtypes)

    for shape, dim in HALVES:
        yield from pair(f"{shape}", lambda m, s=shape: m(*s, scale=3), dim)
    for layout, dim in product(layouts(), (1, 3)):
        yield from pair(layout, lambda m, la=layout: m(2, 4, 3, 8, layout=la, scale=3), dim)
    yield from pair("special", lambda m: m(6, 8, special=True), 0)
    yield from pair("empty", lambda m: m(0, 4), 1, "empty")
    yield from pair("odd", lambda m: m(4, 5), 1, "error")
    yield from pair("scalar", lambda m: m(), 0, "error")
    for kind in ("contiguous", "transposed", "strided", "empty", "expanded"):

        def out(m: Make, kind: str = kind) -> Args:
            return args(m(6, 12), 1, out=outputs(kind, m, [m(6, 6)]))

        def grad_input(m: Make, kind: str = kind) -> Args:
            x = m(6, 12)
            return args(m(6, 6), x, 1, grad_input=outputs(kind, m, [x.clone()]))

        yield of("glu.out", f"out: {kind}", out, OUT_EXPECT[kind])
        yield of("glu_backward.grad_input", f"out: {kind}", grad_input, OUT_EXPECT[kind])


def samples() -> Iterator[Sample]:
    for op, named in FORWARD:
        yield from forward(op, named)
    for op, what, arrange in BACKWARD:
        yield from backward(op, what, arrange)
    yield of(
        "elu_backward",
        "no input has such a result",
        lambda m: args(m(3), -1, 1, 1, True, m(3)),
        "error",
        (F32,),
    )
    yield from out_forms()
    yield from glu()
