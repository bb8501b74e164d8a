"""Samples of nll_loss, forward and backward. Of its kernels, families have them for devices alone.

None has a target that is no class: on a device the process would be lost.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, F64, TAKEN, Args, Make, Sample, args, lay_out

NONE, MEAN, SUM = 0, 1, 2
FORWARD, BACKWARD = "nll_loss_forward", "nll_loss_backward"
FORWARD2D, BACKWARD2D = "nll_loss2d_forward", "nll_loss2d_backward"


def labels(
    m: Make, samples: int, classes: int, *pixels: int, ignored: int | None = None
) -> torch.Tensor:
    target = torch.randint(classes, (samples, *pixels), generator=m.generator)
    if ignored is not None:
        target[torch.rand(target.shape, generator=m.generator) < 0.3] = ignored
    return target


def loss_args(
    m: Make,
    shape: tuple[int, ...],
    reduction: int,
    weight: bool = False,
    ignored: int = -100,
    layout: str = "contiguous",
    target_type: torch.dtype = torch.int64,
    special: bool = False,
) -> Args:
    """The sign of a logarithm, so that sums do not cancel."""
    x = lay_out(-m(*shape, scale=3, special=special).abs(), layout)
    w = m(shape[1]).abs() if weight else None
    present = ignored if 0 <= ignored < shape[1] or target_type == torch.int64 else None
    target = labels(m, *shape, ignored=present).to(target_type)
    return args(x, target, w, reduction, ignored)


def backward_args(m: Make, forward: Args) -> Args:
    (x, target, weight, reduction, ignored), _ = forward
    grad = m(*target.shape) if reduction == NONE else m()
    wide = None if weight is None else weight.double()
    stock = torch.ops.aten.nll_loss2d_forward if x.dim() == 4 else torch.ops.aten.nll_loss_forward
    total = stock(x.double(), target, wide, reduction, ignored)[1]
    return args(grad, x, target, weight, reduction, ignored, total.to(x.dtype))


def pair(
    what: str,
    forward: Any,
    expect: str = "hit",
    dtypes: Any = TAKEN,
    names: tuple[str, str] = (FORWARD, BACKWARD),
) -> Iterator[Sample]:
    yield Sample(names[0], what, forward, expect, dtypes)
    yield Sample(names[1], what, lambda m: backward_args(m, forward(m)), expect, dtypes)


def of_shapes() -> Iterator[Sample]:
    shapes = ((1, 1), (1, 7), (5, 13), (64, 33), (300, 3), (1000, 8), (9000, 2), (3, 5003))
    for shape, reduction, weight in product(shapes, (NONE, MEAN, SUM), (False, True)):
        yield from pair(
            f"{shape} reduction {reduction} weight {weight}",
            lambda m, s=shape, r=reduction, w=weight: loss_args(m, s, r, w),
        )
    for ignored, kind in product((3, -1, 255, 1000), (torch.int64, torch.uint8)):
        for reduction in (NONE, MEAN, SUM):
            yield from pair(
                f"ignored {ignored} {kind} reduction {reduction}",
                lambda m, i=ignored, k=kind, r=reduction: loss_args(
                    m, (50, 10), r, True, i, target_type=k
                ),
            )
    for layout in ("transposed", "strided", "padded", "offset", "expanded"):
        for reduction in (NONE, MEAN):
            yield from pair(
                f"{layout} reduction {reduction}",
                lambda m, la=layout, r=reduction: loss_args(m, (20, 11), r, True, layout=la),
            )


def of_pixels() -> Iterator[Sample]:
    def two(what: str, forward: Any, expect: str = "hit") -> Iterator[Sample]:
        return pair(what, forward, expect, TAKEN, (FORWARD2D, BACKWARD2D))

    shapes = ((1, 1, 1, 1), (2, 5, 4, 6), (1, 3, 5, 7), (2, 2, 24, 32), (3, 21, 3, 1))
    for shape, reduction, weight in product(shapes, (NONE, MEAN, SUM), (False, True)):
        yield from two(
            f"{shape} reduction {reduction} weight {weight}",
            lambda m, s=shape, r=reduction, w=weight: loss_args(m, s, r, w),
        )
    for ignored, reduction in product((3, -1, 1000), (NONE, MEAN, SUM)):
        yield from two(
            f"ignored {ignored} reduction {reduction}",
            lambda m, i=ignored, r=reduction: loss_args(m, (2, 5, 4, 3), r, True, i),
        )
    for layout in ("channels_last", "offset", "expanded"):
        forward: Any = lambda m, la=layout: loss_args(m, (2, 5, 4, 3), MEAN, layout=la)  # noqa: E731
        yield Sample(FORWARD2D, layout, forward)
        back: Any = lambda m, f=forward: backward_args(m, f(m))  # noqa: E731
        yield Sample(BACKWARD2D, layout, back, "hit" if layout == "offset" else "layout")
    yield Sample(
        FORWARD2D, "padded", lambda m: loss_args(m, (2, 5, 4, 3), MEAN, layout="padded"), "layout"
    )
    for reduction in (NONE, MEAN, SUM):
        yield Sample(
            FORWARD2D,
            f"special reduction {reduction}",
            lambda m, r=reduction: loss_args(m, (2, 5, 4, 3), r, True, special=True),
        )

    def out(m: Make, reduction: int) -> Args:
        values, _ = loss_args(m, (2, 5, 4, 3), reduction, True)
        loss = m(2, 4, 3) if reduction == NONE else m()
        return args(*values, output=loss, total_weight=m())

    def grad_out(m: Make) -> Args:
        values, _ = backward_args(m, loss_args(m, (2, 5, 4, 3), NONE, True))
        return args(*values, grad_input=m(2, 5, 4, 3))

    for reduction in (NONE, MEAN):
        yield Sample(f"{FORWARD2D}.output", f"out {reduction}", lambda m, r=reduction: out(m, r))
    yield Sample(f"{BACKWARD2D}.grad_input", "out", grad_out)
    uint8 = lambda m: loss_args(m, (2, 5, 4, 3), MEAN, target_type=torch.uint8)  # noqa: E731
    yield Sample(FORWARD2D, "uint8 target", uint8, "any", (F32,))


def of_values() -> Iterator[Sample]:
    def nothing(m: Make, reduction: int) -> Args:
        (x, target, *rest), _ = loss_args(m, (20, 5), reduction, True)
        return args(x, target.fill_(-100), *rest)

    for reduction in (NONE, MEAN, SUM):
        yield from pair(
            f"special reduction {reduction}",
            lambda m, r=reduction: loss_args(m, (40, 5), r, True, special=True),
        )
        yield Sample(FORWARD, f"all ignored {reduction}", lambda m, r=reduction: nothing(m, r))
    for reduction in (NONE, SUM):  # the mean's gradients are of 0 / 0, and none is written
        yield from pair(f"all ignored, back {reduction}", lambda m, r=reduction: nothing(m, r))


def of_others() -> Iterator[Sample]:
    def changed(m: Make, **change: Any) -> Args:
        names = ("x", "target", "weight", "reduction", "ignored")
        values, _ = loss_args(m, (6, 5), MEAN, True)
        given = dict(zip(names, values, strict=True)) | {k: v(m) for k, v in change.items()}
        return args(*given.values())

    def one(what: str, expect: str, dtypes: Any = (F32,), **change: Any) -> Sample:
        return Sample(FORWARD, what, lambda m: changed(m, **change), expect, dtypes)

    for reduction in (NONE, MEAN, SUM):
        yield from pair(
            f"no batch, reduction {reduction}",
            lambda m, r=reduction: args(m(5), torch.tensor(3), m(5), r, -100),
            "any",
            (F32, BF16),
        )
    yield one("strided weight", "hit", TAKEN, weight=lambda m: m(5, layout="strided"))
    yield one("strided target", "hit", TAKEN, target=lambda m: labels(m, 12, 5)[::2])
    yield one("weight of another dtype", "any", weight=lambda m: m(5, dtype=F64))
    yield one("weight of other sizes", "error", weight=lambda m: m(4))
    yield one("target of other sizes", "error", target=lambda m: labels(m, 5, 5))
    yield one("target of rank 2", "error", target=lambda m: labels(m, 6, 5)[:, None])
    yield one("float target", "any", target=lambda m: labels(m, 6, 5).float())
    yield one("rank 3", "error", x=lambda m: m(6, 5, 2))
    yield one("empty", "empty", TAKEN, x=lambda m: m(0, 5), target=lambda m: labels(m, 0, 5))
    yield one("meta", "any", x=lambda m: m(6, 5).to("meta"))


def of_out() -> Iterator[Sample]:
    def forward(m: Make, loss: Any, total: Any, reduction: int = MEAN) -> Args:
        values, _ = loss_args(m, (6, 5), reduction, True)
        return args(*values, output=loss(m, values), total_weight=total(m, values))

    def backward(m: Make, grad: Any) -> Args:
        values, _ = backward_args(m, loss_args(m, (6, 5), NONE, True))
        return args(*values, grad_input=grad(m, values))

    output, grad_input = f"{FORWARD}.output", f"{BACKWARD}.grad_input"
    scalar: Any = lambda m, _: m()  # noqa: E731
    yield Sample(output, "out", lambda m: forward(m, scalar, scalar))
    yield Sample(output, "out of each", lambda m: forward(m, lambda m, _: m(6), scalar, NONE))
    yield Sample(
        output,
        "out of another dtype",
        lambda m: forward(m, lambda m, _: m(dtype=F64), scalar),
        "any",
        (F32,),
    )
    yield Sample(grad_input, "out", lambda m: backward(m, lambda m, _: m(6, 5)))
    yield Sample(
        grad_input, "out at an offset", lambda m: backward(m, lambda m, _: m(6, 5, layout="offset"))
    )
    yield Sample(
        grad_input,
        "transposed out",
        lambda m: backward(m, lambda m, _: m(6, 5, layout="transposed")),
        "any",
    )


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_pixels, of_values, of_others, of_out):
        yield from part()
