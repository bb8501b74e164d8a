"""Samples of group_norm and batch_norm, forward and backward."""

import math
from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F16, F32, F64, LAYOUTS, Args, Make, Sample, args, without_infinity
from samples_elementwise import RANK_9

# Sizes of the input, groups.
GROUPS = [
    ((1, 1), 1),
    ((3, 6), 2),
    ((2, 6, 1), 6),
    ((2, 4, 7), 2),
    ((3, 8, 5, 5), 4),
    ((2, 32, 8, 8), 8),
    ((1, 6, 3, 3, 3), 2),
    ((2, 64, 16), 32),
    ((5, 3, 1025), 1),
    ((1, 2, 130, 150), 1),
    ((2, 1, 2, 1, 2, 2, 1, 3), 1),
]


def group_norm_args(
    m: Make,
    shape: tuple[int, ...],
    groups: int,
    weight: bool = True,
    bias: bool = True,
    layout: str = "contiguous",
    eps: float = 1e-5,
    special: bool = False,
    shift: float = 0.0,
) -> Args:
    channels = shape[1]
    w, b = (m(channels) if given else None for given in (weight, bias))
    x = m(*shape, layout=layout, scale=2, special=special)
    x = x + shift if shift else x
    x = without_infinity(x) if special else x
    return args(x, w, b, shape[0], channels, math.prod(shape[2:]), groups, eps)


def group_norm_backward_args(
    m: Make, forward: Args, mask: tuple[bool, bool, bool] = (True,) * 3, grad: str = "contiguous"
) -> Args:
    (x, w, b, *numbers, eps), _ = forward
    wide = [t if t is None else t.double() for t in (x, w, b)]
    wide[0] = wide[0].contiguous()
    _, mean, rstd = torch.native_group_norm(*wide, *numbers, eps)
    mean, rstd = mean.to(x.dtype), rstd.to(x.dtype)
    mask = (mask[0], mask[1] and w is not None, mask[2] and w is not None)
    return args(m(*x.shape, layout=grad), x, mean, rstd, w, *numbers, list(mask))


def pair(
    title: str, make: Any, expect: str = "hit", where: str = "everywhere", **backward: Any
) -> Iterator[Sample]:
    yield Sample("native_group_norm", title, make, expect, where=where)
    yield Sample(
        "native_group_norm_backward",
        title,
        lambda m: group_norm_backward_args(m, make(m), **backward),
        expect,
        where=where,
    )


def group_norms() -> Iterator[Sample]:
    for shape, groups in GROUPS:
        for weight, bias in product((True, False), repeat=2):
            yield from pair(
                f"{shape} in {groups} weight={weight} bias={bias}",
                lambda m, s=shape, g=groups, w=weight, b=bias: group_norm_args(m, s, g, w, b),
            )
    yield Sample(
        "native_group_norm_backward",
        "gradients of absent parameters",
        lambda m: args(m(2, 6, 5), m(2, 6, 5), m(2, 3), m(2, 3), None, 2, 6, 5, 3, [True] * 3),
        "any",
        (F32,),
    )
    for mask in product((True, False), repeat=3):
        yield Sample(
            "native_group_norm_backward",
            f"mask {mask}",
            lambda m, k=mask: group_norm_backward_args(m, group_norm_args(m, (3, 8, 50), 2), k),
            "hit" if any(mask) else "any",
        )


def group_norm_layouts() -> Iterator[Sample]:
    """Only a CPU's channels_last is no error beside contiguous ones."""
    for layout in [*LAYOUTS, "channels_last"]:
        if layout == "overlapping":
            continue
        expect = "hit" if layout in ("contiguous", "offset") else "any"
        yield from pair(
            layout, lambda m, la=layout: group_norm_args(m, (2, 6, 8, 9), 3, layout=la), expect
        )
        yield Sample(
            "native_group_norm_backward",
            f"grad {layout}",
            lambda m, la=layout: group_norm_backward_args(
                m, group_norm_args(m, (2, 6, 8, 9), 3), grad=la
            ),
            expect,
        )


def group_norm_special() -> Iterator[Sample]:
    yield from pair("special", lambda m: group_norm_args(m, (20, 4, 30), 2, special=True))
    for eps in (0.0, 1.0, 1e-3):
        yield from pair(f"eps {eps}", lambda m, e=eps: group_norm_args(m, (3, 8, 50), 2, eps=e))
    yield from pair("shifted", lambda m: group_norm_args(m, (3, 8, 100), 2, shift=30.0))
    yield from pair("rank 9", lambda m: group_norm_args(m, RANK_9, 1), expect="rank")
    for shape in ((0, 4, 5), (2, 4, 0)):
        yield from pair(f"{shape}", lambda m, s=shape: group_norm_args(m, s, 2), expect="shape")


def group_norm_wrong() -> Iterator[Sample]:
    def bad(what: str, expect: str, *values: Any, dtype: torch.dtype = F32) -> Sample:
        def make(m: Make) -> Args:
            x, w, b, *numbers = (v(m) if callable(v) else v for v in values)
            return args(x, w, b, *numbers, 1e-5)

        return Sample("native_group_norm", what, make, expect, (dtype,))

    def x(m: Make) -> torch.Tensor:
        return m(2, 6, 5)

    yield bad("3 groups of 6, 4 asked", "error", x, None, None, 2, 6, 5, 4)
    yield bad("no group", "error", x, None, None, 2, 6, 5, 0)
    yield bad("weight shape", "error", x, lambda m: m(5), None, 2, 6, 5, 3)
    yield bad("bias shape", "error", x, None, lambda m: m(6, 1), 2, 6, 5, 3)
    yield bad("weight dtype", "any", x, lambda m: m(6, dtype=F64), None, 2, 6, 5, 3)
    yield bad("wide weight", "any", x, lambda m: m(6, dtype=F32), None, 2, 6, 5, 3, dtype=BF16)
    yield bad("strided weight", "any", x, lambda m: m(12)[::2], None, 2, 6, 5, 3)
    yield bad("integers", "error", x, None, None, 2, 6, 5, 3, dtype=torch.int64)
    yield bad("meta", "none", lambda m: x(m).to("meta"), None, None, 2, 6, 5, 3)


BATCHES = [
    ((4, 3), "contiguous"),
    ((3, 8, 5), "contiguous"),
    ((2, 4, 7, 7), "contiguous"),
    ((2, 16, 6, 5), "channels_last"),
    ((5, 3, 9, 11), "channels_last"),
    ((2, 4, 3, 4, 5), "channels_last"),
    ((2, 3, 100, 101), "contiguous"),
    ((2, 3, 4, 5), "offset"),
    ((1, 2, 1, 3), "contiguous"),
]


def batch_norm_args(
    m: Make,
    shape: tuple[int, ...],
    layout: str = "contiguous",
    training: bool = True,
    affine: bool = True,
    running: bool = True,
    parameters: torch.dtype | None = None,
    special: bool = False,
) -> Args:
    channels = shape[1]
    w, b = (m(channels, dtype=parameters) if affine else None for _ in range(2))
    mean = m(channels, dtype=parameters) if running else None
    var = m(channels, dtype=parameters).abs() + 0.5 if running else None
    x = m(*shape, layout=layout, scale=2, special=special)
    x = without_infinity(x) if special else x
    return args(x, w, b, mean, var, training, 0.25, 1e-5)


def batch_norm_backward_args(
    m: Make, forward: Args, mask: tuple[bool, bool, bool] = (True,) * 3, grad: str = "contiguous"
) -> Args:
    """With float32 moments, as devices have them."""
    (x, w, _, mean, var, training, _, eps), _ = forward
    wide = x.double()
    axes = (0, *range(2, x.dim()))
    kept = [wide.mean(axes), (wide.var(axes, correction=0) + eps).rsqrt()]
    kept = [t.to(F64 if x.dtype == F64 else F32) for t in kept]
    mask = (mask[0], mask[1] and w is not None, mask[2] and w is not None)
    g = m(*x.shape, layout=grad)
    return args(g, x, w, mean, var, *kept, training, eps, list(mask))


def cudnn_backward_args(m: Make, forward: Args) -> Args:
    (grad, x, w, mean, var, *kept, _, eps, _), _ = batch_norm_backward_args(m, forward)
    return args(x, grad, w, mean, var, *kept, eps, torch.empty(0, dtype=torch.uint8))


def batch_norms() -> Iterator[Sample]:
    """On a CPU, stock's moments are of other dtypes and, in evaluation, none."""
    for (shape, layout), training, affine in product(BATCHES, (True, False), (True, False)):
        what = f"{shape} {layout} training={training} affine={affine}"

        def make(
            m: Make, s: Any = shape, la: str = layout, t: bool = training, a: bool = affine
        ) -> Args:
            return batch_norm_args(m, s, la, t, a)

        where = "devices" if not training else "everywhere"
        yield Sample("native_batch_norm", what, make, where=where)
        grad = "channels_last" if layout == "channels_last" else "contiguous"
        yield Sample(
            "native_batch_norm_backward",
            what,
            lambda m, f=make, g=grad: batch_norm_backward_args(m, f(m), grad=g),
            "hit"
            if (layout == "contiguous" and len(shape) > 2) or (training and affine)
            else "any",
            where="devices",
        )
    for mask in product((True, False), repeat=3):
        yield Sample(
            "native_batch_norm_backward",
            f"mask {mask}",
            lambda m, k=mask: batch_norm_backward_args(m, batch_norm_args(m, (3, 8, 50)), k),
            "any",
            where="devices",
        )
    yield Sample(
        "native_batch_norm",
        "wide parameters",
        lambda m: batch_norm_args(m, (3, 8, 50), parameters=F32),
        dtypes=(F32, BF16, F16),
        where="devices",
    )
    yield Sample(
        "native_batch_norm",
        "no running moments",
        lambda m: batch_norm_args(m, (3, 8, 50), running=False),
    )
    yield Sample(
        "native_batch_norm", "special", lambda m: batch_norm_args(m, (20, 4, 30), special=True)
    )
    for layout in ("transposed", "strided", "expanded"):
        yield Sample(
            "native_batch_norm",
            layout,
            lambda m, la=layout: batch_norm_args(m, (3, 8, 9, 7), la),
            "layout",
        )
    yield Sample("native_batch_norm", "empty", lambda m: batch_norm_args(m, (0, 4, 5)), "empty")


def cudnn_batch_norms() -> Iterator[Sample]:
    for (shape, layout), training in product(BATCHES, (True, False)):
        if len(shape) < 3 or layout == "offset":  # cuDNN's kernels fault on the latter
            continue

        def make(m: Make, s: Any = shape, la: str = layout, t: bool = training) -> Args:
            wide = None if m.dtype == F64 else F32
            return batch_norm_args(m, s, la, t, parameters=wide)

        reserve = training and layout == "channels_last"
        yield Sample(
            "cudnn_batch_norm",
            f"{shape} {layout} training={training}",
            make,
            "reserve" if reserve else "hit",
            (F32, F16),
            where="devices",
        )
        if training and layout != "channels_last":
            yield Sample(
                "cudnn_batch_norm_backward",
                f"{shape} {layout}",
                lambda m, f=make: cudnn_backward_args(m, f(m)),
                dtypes=(F32, F16),
                where="devices",
            )


def samples() -> Iterator[Sample]:
    yield from group_norms()
    yield from group_norm_layouts()
    yield from group_norm_special()
    yield from group_norm_wrong()
    yield from batch_norms()
    yield from cudnn_batch_norms()
