"""Samples of rms_norm, forward and backward, which on the CPU is stock's and lacks the latter."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F16, F32, F64, LAYOUTS, Args, Make, Sample, args
from samples_elementwise import RANK_9

TAKEN = (F32, BF16, F16)
RANK_8 = (1, 2, 1, 2, 2, 1, 3, 2)
FORWARD, BACKWARD = "_fused_rms_norm", "_fused_rms_norm_backward"


def norm_args(
    m: Make,
    shape: tuple[int, ...],
    count: int,
    weight: bool = True,
    layout: str = "contiguous",
    eps: float | None = 1e-5,
    special: bool = False,
    scale: float = 2.0,
) -> Args:
    normalized = shape[len(shape) - count :]
    w = m(*normalized) if weight else None
    return args(m(*shape, layout=layout, scale=scale, special=special), list(normalized), w, eps)


def backward_args(
    m: Make, forward: Args, mask: tuple[bool, bool] = (True, True), grad: str = "contiguous"
) -> Args:
    (x, normalized, w, eps), _ = forward
    wide = x.double()
    dims = tuple(range(-len(normalized), 0))
    eps = torch.finfo(F32).eps if eps is None else eps
    rstd = (wide.square().mean(dims, keepdim=True) + eps).rsqrt().float()
    mask = (mask[0], mask[1] and w is not None)
    return args(m(*x.shape, layout=grad), x, normalized, rstd, w, list(mask))


def pair(
    what: str,
    forward: Any,
    dims: tuple[int, ...] = (-1,),
    expect: str = "hit",
    grad: str = "contiguous",
) -> Iterator[Sample]:
    yield Sample(FORWARD, what, forward, expect, TAKEN, dims)
    yield Sample(
        BACKWARD, what, lambda m: backward_args(m, forward(m), grad=grad), expect, TAKEN, dims
    )


def shapes() -> Iterator[Sample]:
    every = [(1,), (7,), (5, 13), (3, 1, 17), (40, 64), (3, 100), (2, 3, 8, 9), RANK_8]
    for shape in every:
        for count in range(1, min(3, len(shape)) + 1):
            dims = tuple(range(-count, 0))
            yield from pair(
                f"{shape} over {count}", lambda m, s=shape, c=count: norm_args(m, s, c), dims
            )
    yield from pair("no weight", lambda m: norm_args(m, (6, 50), 1, weight=False))
    for layout, grad in product(
        [*LAYOUTS, "channels_last"], ("contiguous", "transposed", "expanded")
    ):
        for count in (1, 2):
            yield from pair(
                f"{layout} over {count} grad {grad}",
                lambda m, la=layout, c=count: norm_args(m, (2, 3, 8, 9), c, layout=la),
                tuple(range(-count, 0)),
                grad=grad,
            )
    for mask in product((True, False), repeat=2):
        yield Sample(
            BACKWARD,
            f"mask {mask}",
            lambda m, k=mask: backward_args(m, norm_args(m, (6, 50), 1), k),
            "hit" if any(mask) else "any",
            TAKEN,
        )


def special() -> Iterator[Sample]:
    yield from pair("special", lambda m: norm_args(m, (20, 30), 1, special=True))
    for eps in (None, 0.0, 1.0, 1e-12):
        yield from pair(f"eps {eps}", lambda m, e=eps: norm_args(m, (6, 50), 1, eps=e))
    # Squares of about the default eps show which one it is.
    yield from pair("small", lambda m: norm_args(m, (6, 200), 1, eps=None, scale=3e-4))
    yield Sample(FORWARD, "eps -0.5", lambda m: norm_args(m, (6, 3), 1, eps=-0.5), "hit", TAKEN)
    yield from pair("rank 9", lambda m: norm_args(m, RANK_9, 1), expect="rank")
    for shape, count in (((0, 5), 1), ((5, 0), 1), ((3, 0, 4), 2)):
        yield from pair(
            f"{shape} over {count}", lambda m, s=shape, c=count: norm_args(m, s, c), expect="empty"
        )


def wrong() -> Iterator[Sample]:
    def bad(what: str, make: Any, expect: str = "error", dtypes: Any = (F32,)) -> Sample:
        return Sample(FORWARD, what, make, expect, dtypes)

    yield bad("no shape", lambda m: args(m(3, 4), [], None, 1e-5))
    yield bad("other shape", lambda m: args(m(3, 4), [5], None, 1e-5))
    yield bad("longer shape", lambda m: args(m(4), [3, 4], None, 1e-5))
    yield bad("weight shape", lambda m: args(m(3, 4), [4], m(5), 1e-5))
    yield bad(
        "float32 weight", lambda m: args(m(3, 4), [4], m(4, dtype=F32), 1e-5), "any", (BF16, F16)
    )
    yield bad("float64", lambda m: norm_args(m, (3, 4), 1), "any", (F64,))
    yield bad("strided weight", lambda m: args(m(3, 4), [4], m(4, layout="strided"), 1e-5), "any")
    yield Sample(
        BACKWARD,
        "gradient of no weight",
        lambda m: args(*backward_args(m, norm_args(m, (3, 4), 1, False))[0][:5], [True, True]),
        "any",
        (F32,),
    )
    yield Sample(
        BACKWARD,
        "mixed dtypes",
        lambda m: args(m(3, 4, dtype=BF16), *backward_args(m, norm_args(m, (3, 4), 1))[0][1:]),
        "any",
        (F32,),
    )


def samples() -> Iterator[Sample]:
    for part in (shapes, special, wrong):
        yield from part()
