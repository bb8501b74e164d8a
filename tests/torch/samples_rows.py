"""Samples of softmax, log_softmax and layer_norm, forward and backward."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch
from samples import (
    BF16,
    F16,
    F32,
    F64,
    LAYOUTS,
    TAKEN,
    Args,
    Make,
    Sample,
    args,
    lay_out,
    pairs,
    without_infinity,
)
from samples_elementwise import EMPTY, OUT_EXPECT, RANK_9, outputs

RANK_8 = (1, 2, 1, 2, 2, 1, 3, 2)
SHAPES = [(1,), (7,), (5, 13), (3, 1, 17), (4, 64), (3, 100), (2, 3, 8, 9), (3, 5, 33), RANK_8, ()]
# softmax writes its outputs contiguously, whatever the input: an out= in another layout, or one
# that shares memory with an input, is left to stock.
NOT_CONTIGUOUS = ("transposed", "reversed", "strided", "padded")
SHARES = ("last input", "shifted input", "view of input")


def rows_expect(kind: str) -> str:
    if kind in NOT_CONTIGUOUS:
        return "out is not contiguous"
    return "any" if kind in SHARES else OUT_EXPECT[kind]


# Of log_softmax, no family has kernels on the CPU: there its samples are stock's.
SOFTMAXES = ("_softmax", "_log_softmax")


def out_name(op: str) -> str:
    """What the backward's out= is called."""
    return "grad_input" if op == "_softmax" else "out"


def softmax_backward_args(
    m: Make,
    shape: tuple[int, ...],
    dim: int,
    grad: str = "contiguous",
    out: str = "contiguous",
    dtype: torch.dtype | None = None,
    op: str = "_softmax",
) -> Args:
    """``dtype``: of what comes in, if not the gradient's own (half_to_float)."""
    dtype = dtype or m.dtype
    forward = torch.softmax if op == "_softmax" else torch.log_softmax
    y = forward(m(*shape, dtype=F64, scale=2), dim).to(dtype)
    return args(m(*shape, layout=grad, dtype=dtype), lay_out(y, out), dim, m.dtype)


def softmax_shapes(op: str) -> Iterator[Sample]:
    for shape in SHAPES:
        rank = max(1, len(shape))
        for dim in {*range(rank), -1, -rank} if rank < 8 else {0, 3, -1}:
            what = f"{shape} dim {dim}"
            yield Sample(
                op,
                what,
                lambda m, s=shape, d=dim: args(m(*s, scale=4), d, False),
                dims=(dim,),
            )
            yield Sample(
                f"{op}_backward_data",
                what,
                lambda m, s=shape, d=dim: softmax_backward_args(m, s, d, op=op),
                dims=(dim,),
            )
    for shape in EMPTY:
        yield Sample(op, f"{shape}", lambda m, s=shape: args(m(*s), 0, False), "empty")
        yield Sample(
            f"{op}_backward_data",
            f"{shape}",
            lambda m, s=shape: args(m(*s), m(*s), 0, m.dtype),
            "empty",
        )
    yield Sample(op, "rank 9", lambda m: args(m(*RANK_9), 8, False), "rank")
    yield Sample(
        f"{op}_backward_data",
        "rank 9",
        lambda m: args(m(*RANK_9), m(*RANK_9), 8, m.dtype),
        "rank",
    )


def softmax_layouts(op: str) -> Iterator[Sample]:
    for layout, dim in product([*LAYOUTS, "channels_last"], range(4)):
        yield Sample(
            op,
            f"{layout} dim {dim}",
            lambda m, la=layout, d=dim: args(m(2, 3, 8, 9, layout=la, scale=3), d, False),
            dims=(dim,),
        )
    for a, b in pairs([*LAYOUTS, "channels_last"]):
        for dim in (1, -1):
            yield Sample(
                f"{op}_backward_data",
                f"{a} {b} dim {dim}",
                lambda m, a=a, b=b, d=dim: softmax_backward_args(m, (2, 3, 4, 5), d, a, b, op=op),
                dims=(dim,),
            )


def softmax_special(op: str) -> Iterator[Sample]:
    for dim in (0, 1):
        yield Sample(
            op,
            f"special dim {dim}",
            lambda m, d=dim: args(m(20, 30, special=True), d, False),
            dims=(dim,),
        )
    for value in (-float("inf"), float("inf"), float("nan"), 0.0, 1e38, -1e38, 3e4):

        def rows(m: Make, v: float = value, whole: bool = True) -> Args:
            x = m(6, 40)
            x[1 if whole else slice(None), slice(None) if whole else 3] = v
            return args(x, 1, False)

        yield Sample(op, f"row of {value}", rows)
        yield Sample(op, f"column of {value}", lambda m, f=rows: f(m, whole=False))
    yield Sample(op, "wide range", lambda m: args(m(8, 300, scale=60), 1, False))
    yield Sample(
        f"{op}_backward_data",
        "special",
        lambda m: args(m(9, 9, special=True), m(9, 9), 1, m.dtype),
    )


def softmax_wrong(op: str) -> Iterator[Sample]:
    def forward(what: str, expect: str, make: Any, dtypes: Any = TAKEN) -> Sample:
        return Sample(op, what, make, expect, dtypes)

    yield forward("dim 2 of 2", "error", lambda m: args(m(3, 4), 2, False))
    yield forward("dim -3 of 2", "error", lambda m: args(m(3, 4), -3, False))
    yield forward("dim 1 of scalar", "error", lambda m: args(m(), 1, False))
    yield replace(
        forward("half_to_float", "error", lambda m: args(m(3, 4), 1, True)),
        where="cpu",
    )
    wrong = (torch.int64, torch.bool, torch.complex64)
    yield forward("wrong dtype", "error", lambda m: args(m(3, 4), 1, False), wrong)
    yield forward("meta", "none", lambda m: args(m(3, 4).to("meta"), 1, False), (F32,))

    def back(what: str, expect: str, make: Any, dtypes: Any = TAKEN) -> Sample:
        return Sample(f"{op}_backward_data", what, make, expect, dtypes)

    yield back("shapes", "any", lambda m: args(m(3, 4), m(3, 5), 1, m.dtype), (F32,))
    yield back("dim", "error", lambda m: args(m(3, 4), m(3, 4), 2, m.dtype))
    yield back("mixed", "any", lambda m: args(m(3, 4), m(3, 4, dtype=BF16), 1, m.dtype), (F32,))
    yield back("input dtype", "any", lambda m: args(m(3, 4), m(3, 4), 1, F16), (F32, F64))


def softmax_out(op: str) -> Iterator[Sample]:
    for kind in OUT_EXPECT:
        if kind in ("shifted input", "view of input"):
            continue  # stock reads what it has just written: no result is defined
        expect = rows_expect(kind)

        def forward(m: Make, kind: str = kind) -> Args:
            x = m(6, 6)
            return args(x, 1, False, out=outputs(kind, m, [x]))

        def backward(m: Make, kind: str = kind) -> Args:
            (grad, y, *rest), _ = softmax_backward_args(m, (6, 6), 1, op=op)
            return args(grad, y, *rest, **{out_name(op): outputs(kind, m, [grad, y])})

        yield Sample(f"{op}.out", f"out: {kind}", forward, expect)
        yield Sample(f"{op}_backward_data.out", f"out: {kind}", backward, expect)
    yield Sample(
        f"{op}.out", "inner", lambda m: args(m(4, 6, 8), 1, False, out=m(4, 6, 8)), dims=(1,)
    )


def half_to_float(op: str) -> Iterator[Sample]:
    """float16 in, float32 out, and back: of stock's kernels those of devices alone have it."""

    def forward(overload: str, what: str, make: Any, dim: int, expect: str = "hit") -> Sample:
        what = f"half_to_float {what}"
        return Sample(overload, what, make, expect, (F16,), (dim,), "devices", F32)

    def backward(overload: str, what: str, make: Any, dim: int, expect: str = "hit") -> Sample:
        return replace(forward(overload, what, make, dim, expect), result_dtype=None)

    for shape, dim in product([(), (7,), (5, 13), (3, 1, 17), (4, 64), (3, 5, 33)], (0, -1)):
        yield forward(
            op,
            f"{shape} dim {dim}",
            lambda m, s=shape, d=dim: args(m(*s, scale=4), d, True),
            dim,
        )
        yield backward(
            f"{op}_backward_data",
            f"{shape} dim {dim}",
            lambda m, s=shape, d=dim: softmax_backward_args(m, s, d, dtype=F32, op=op),
            dim,
        )
    for layout, dim in product([*LAYOUTS, "channels_last"], range(4)):
        yield forward(
            op,
            f"{layout} dim {dim}",
            lambda m, la=layout, d=dim: args(m(2, 3, 8, 9, layout=la, scale=3), d, True),
            dim,
        )
        yield backward(
            f"{op}_backward_data",
            f"{layout} dim {dim}",
            lambda m, la=layout, d=dim: softmax_backward_args(
                m, (2, 3, 8, 9), d, la, dtype=F32, op=op
            ),
            dim,
        )
    yield forward(op, "special", lambda m: args(m(20, 30, special=True), 1, True), 1)
    yield forward(op, "empty", lambda m: args(m(0, 4), 1, True), 1, "empty")
    for dtype, expect in ((F32, "hit"), (F16, "error")):
        yield forward(
            f"{op}.out",
            f"out of {dtype}",
            lambda m, t=dtype: args(m(6, 40), 1, True, out=m(6, 40, dtype=t)),
            1,
            expect,
        )
    yield backward(
        f"{op}_backward_data.out",
        "out",
        lambda m: args(
            *softmax_backward_args(m, (6, 40), 1, dtype=F32, op=op)[0],
            **{out_name(op): m(6, 40, dtype=F16)},
        ),
        1,
    )


def norm_args(
    m: Make,
    shape: tuple[int, ...],
    count: int,
    weight: bool = True,
    bias: bool = True,
    parameters: torch.dtype | None = None,
    layout: str = "contiguous",
    eps: float = 1e-5,
    special: bool = False,
    shift: float = 0.0,
) -> Args:
    normalized = shape[len(shape) - count :]
    w = m(*normalized, dtype=parameters) if weight else None
    b = m(*normalized, dtype=parameters) if bias else None
    x = m(*shape, layout=layout, scale=2, special=special)
    x = x + shift if shift else x
    x = without_infinity(x) if special else x
    return args(x, list(normalized), w, b, eps)


def norm_backward_args(
    m: Make, forward: Args, mask: tuple[bool, bool, bool], grad: str = "contiguous"
) -> Args:
    (x, normalized, w, b, eps), _ = forward
    wide = [t if t is None else t.double() for t in (x, w, b)]
    kept = x.dtype if w is None and b is None else (w if w is not None else b).dtype
    _, mean, rstd = torch.native_layer_norm(wide[0], normalized, *wide[1:], eps)
    mask = (mask[0], mask[1] and w is not None, mask[2] and b is not None)
    return args(
        m(*x.shape, layout=grad), x, normalized, mean.to(kept), rstd.to(kept), w, b, list(mask)
    )


def norm_pair(
    what: str,
    forward: Any,
    dims: tuple[int, ...] = (-1,),
    expect: str = "hit",
    dtypes: Any = TAKEN,
    grad: str = "contiguous",
) -> Iterator[Sample]:
    yield Sample("native_layer_norm", what, forward, expect, dtypes, dims)
    yield Sample(
        "native_layer_norm_backward",
        what,
        lambda m: norm_backward_args(m, forward(m), (True, True, True), grad),
        expect,
        dtypes,
        dims,
    )


def norm_shapes() -> Iterator[Sample]:
    shapes = [(1,), (7,), (5, 13), (3, 1, 17), (40, 64), (3, 100), (2, 3, 8, 9), RANK_8]
    for shape in shapes:
        for count in range(1, min(3, len(shape)) + 1):
            dims = tuple(range(-count, 0))
            yield from norm_pair(
                f"{shape} over {count}", lambda m, s=shape, c=count: norm_args(m, s, c), dims
            )
    for weight, bias in product((True, False), repeat=2):
        for parameters in (None, F32):
            dtypes = TAKEN if parameters is None else (BF16, F16)
            alone = bias and not weight and parameters is not None  # stock's backward raises
            for sample in norm_pair(
                f"weight {weight} bias {bias} {parameters}",
                lambda m, w=weight, b=bias, p=parameters: norm_args(m, (6, 50), 1, w, b, p),
                dtypes=dtypes,
            ):
                fails = alone and "backward" in sample.overload
                yield replace(sample, expect="error" if fails else "hit")
    for layout, grad in product(
        [*LAYOUTS, "channels_last"], ("contiguous", "transposed", "expanded")
    ):
        yield from norm_pair(
            f"{layout} grad {grad}",
            lambda m, la=layout: norm_args(m, (2, 3, 8, 9), 1, layout=la),
            grad=grad,
        )
        yield from norm_pair(
            f"{layout} over 2 grad {grad}",
            lambda m, la=layout: norm_args(m, (2, 3, 8, 9), 2, layout=la),
            (-2, -1),
            grad=grad,
        )
    for mask in product((True, False), repeat=3):
        yield Sample(
            "native_layer_norm_backward",
            f"mask {mask}",
            lambda m, k=mask: norm_backward_args(m, norm_args(m, (6, 50), 1), k),
            "hit" if any(mask) else "any",
        )


def norm_special() -> Iterator[Sample]:
    yield from norm_pair("special", lambda m: norm_args(m, (20, 30), 1, special=True))
    for eps in (0.0, 1.0, 1e-12):
        yield from norm_pair(f"eps {eps}", lambda m, e=eps: norm_args(m, (6, 50), 1, eps=e))
    yield from norm_pair("shifted", lambda m: norm_args(m, (6, 200), 1, shift=30.0))
    yield from norm_pair("rank 9", lambda m: norm_args(m, RANK_9, 1), expect="rank")
    for shape, count in (((0, 5), 1), ((5, 0), 1), ((3, 0, 4), 2)):
        yield from norm_pair(
            f"{shape} over {count}", lambda m, s=shape, c=count: norm_args(m, s, c), expect="empty"
        )


def norm_wrong() -> Iterator[Sample]:
    def bad(what: str, make: Any, expect: str = "error", dtypes: Any = (F32,)) -> Sample:
        return Sample("native_layer_norm", what, make, expect, dtypes)

    yield bad("no shape", lambda m: args(m(3, 4), [], None, None, 1e-5))
    yield bad("other shape", lambda m: args(m(3, 4), [5], None, None, 1e-5))
    yield bad("longer shape", lambda m: args(m(4), [3, 4], None, None, 1e-5))
    yield bad("weight shape", lambda m: args(m(3, 4), [4], m(5), None, 1e-5))
    yield bad("bias shape", lambda m: args(m(3, 4), [4], m(4), m(1), 1e-5))
    yield bad("weight dtype", lambda m: args(m(3, 4), [4], m(4, dtype=BF16), m(4), 1e-5), "any")
    yield bad(
        "both dtypes",
        lambda m: args(m(3, 4), [4], m(4, dtype=F64), m(4, dtype=F64), 1e-5),
        "any",
        (F32, BF16),
    )
    yield bad(
        "one parameter wide",
        lambda m: args(m(3, 4), [4], m(4, dtype=F32), m(4), 1e-5),
        "any",
        (BF16,),
    )
    yield bad(
        "strided weight",
        lambda m: args(m(3, 4), [4], m(4, layout="strided"), m(4), 1e-5),
        "layout of a parameter",
        TAKEN,
    )
    yield bad("integers", lambda m: args(m(3, 4), [4], None, None, 1e-5), "error", (torch.int64,))
    yield bad("meta", lambda m: args(m(3, 4).to("meta"), [4], None, None, 1e-5), "none")
    yield bad("meta weight", lambda m: args(m(3, 4), [4], m(4).to("meta"), None, 1e-5), "any")


def samples() -> Iterator[Sample]:
    parts = (softmax_shapes, softmax_layouts, softmax_special, softmax_wrong, softmax_out)
    for op, part in product(SOFTMAXES, (*parts, half_to_float)):
        yield from part(op)
    for of_norm in (norm_shapes, norm_special, norm_wrong):
        yield from of_norm()
