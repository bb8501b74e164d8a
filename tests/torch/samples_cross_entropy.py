"""Samples of cross_entropy_loss, which is a composite; its gradients are in test_cross_entropy.py.

None has a target that is no class: on a device the process would be lost.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from samples import BF16, F16, F32, F64, Args, Make, Sample, args, lay_out
from samples_losses import MEAN, NONE, SUM, labels

NAME = "cross_entropy_loss"
WHOLE = (F32, BF16, F16)


def loss_args(
    m: Make,
    shape: tuple[int, ...],
    reduction: int = MEAN,
    weight: bool = False,
    ignored: int = -100,
    smoothing: float = 0.0,
    layout: str = "contiguous",
    special: bool = False,
) -> Args:
    x = lay_out(m(*shape, scale=3, special=special), layout)
    w = m(shape[1]).abs() if weight else None
    return args(x, labels(m, *shape, ignored=ignored), w, reduction, ignored, smoothing)


def one(what: str, make: Any, expect: str = "hit", dtypes: Any = WHOLE) -> Sample:
    return Sample(NAME, what, make, expect, dtypes)


def of_shapes() -> Iterator[Sample]:
    shapes = ((1, 1), (5, 10), (64, 33), (1100, 5), (3, 2100))
    for shape, reduction in product(shapes, (NONE, MEAN, SUM)):
        for weight, smoothing in ((False, 0.0), (True, 0.0), (False, 0.1), (True, 1.0)):
            yield one(
                f"{shape} reduction {reduction} weight {weight} smoothing {smoothing}",
                lambda m, s=shape, r=reduction, w=weight, e=smoothing: loss_args(
                    m, s, r, w, smoothing=e
                ),
            )
    for ignored in (3, -1, 1000):
        yield one(
            f"ignored {ignored}",
            lambda m, i=ignored: loss_args(m, (50, 10), MEAN, True, i, 0.1),
        )
    for layout in ("padded", "offset", "expanded"):
        yield one(layout, lambda m, la=layout: loss_args(m, (20, 11), layout=la))
    for layout in ("transposed", "strided"):
        yield one(layout, lambda m, la=layout: loss_args(m, (20, 11), layout=la), "layout")


def of_pixels() -> Iterator[Sample]:
    shapes = ((1, 1, 1), (2, 5, 4, 6), (1, 3, 5, 7), (2, 2, 24, 32), (3, 21, 3), (1, 40, 2, 3, 4))
    for shape, reduction in product(shapes, (NONE, MEAN, SUM)):
        for weight, smoothing in ((False, 0.0), (True, 0.0), (False, 0.1), (True, 1.0)):
            is_view = reduction == NONE and smoothing == 0 and len(shape) != 4
            yield one(
                f"{shape} reduction {reduction} weight {weight} smoothing {smoothing}",
                lambda m, s=shape, r=reduction, w=weight, e=smoothing: loss_args(
                    m, s, r, w, smoothing=e
                ),
                "view" if is_view else "hit",
            )
    for ignored in (3, -1, 1000):
        yield one(
            f"pixels, ignored {ignored}",
            lambda m, i=ignored: loss_args(m, (2, 10, 5, 5), MEAN, True, i, 0.1),
        )
    for layout in ("channels_last", "offset", "expanded"):
        for reduction in (NONE, MEAN):
            yield one(
                f"pixels, {layout} reduction {reduction}",
                lambda m, la=layout, r=reduction: loss_args(
                    m, (2, 11, 4, 5), r, True, smoothing=0.1, layout=la
                ),
            )
    for layout in ("padded", "transposed"):
        yield one(
            f"pixels, {layout}",
            lambda m, la=layout: loss_args(m, (2, 11, 4, 5), layout=la),
            "layout",
        )
    for reduction in (NONE, MEAN):
        yield one(
            f"pixels, special reduction {reduction}",
            lambda m, r=reduction: loss_args(m, (2, 5, 5, 4), r, True, smoothing=0.1, special=True),
        )


def of_values() -> Iterator[Sample]:
    def nothing(m: Make, reduction: int) -> Args:
        (x, target, *rest), _ = loss_args(m, (20, 5), reduction, True)
        return args(x, target.fill_(-100), *rest)

    for reduction, smoothing in product((NONE, MEAN, SUM), (0.0, 0.1)):
        yield one(
            f"special reduction {reduction} smoothing {smoothing}",
            lambda m, r=reduction, e=smoothing: loss_args(
                m, (40, 5), r, True, smoothing=e, special=True
            ),
        )
        yield one(f"all ignored {reduction} {smoothing}", lambda m, r=reduction: nothing(m, r))


def of_others() -> Iterator[Sample]:
    def changed(m: Make, **change: Any) -> Args:
        names = ("x", "target", "weight", "reduction", "ignored", "smoothing")
        values, _ = loss_args(m, (6, 5), MEAN, True)
        given = dict(zip(names, values, strict=True)) | {k: v(m) for k, v in change.items()}
        return args(*given.values())

    def but(what: str, expect: str, dtypes: Any = (F32,), **change: Any) -> Sample:
        return one(what, lambda m: changed(m, **change), expect, dtypes)

    yield one("float64", lambda m: loss_args(m, (6, 5)), "dtype", (F64,))
    yield but("strided weight", "hit", WHOLE, weight=lambda m: m(5, layout="strided").abs())
    yield but("strided target", "hit", WHOLE, target=lambda m: labels(m, 12, 5)[::2])
    yield but("weight of another dtype", "any", weight=lambda m: m(5, dtype=F64))
    yield but("weight of other sizes", "error", weight=lambda m: m(4))
    yield but("target of other sizes", "error", target=lambda m: labels(m, 5, 5))
    yield but("target of rank 2", "error", target=lambda m: labels(m, 6, 5)[:, None])
    yield but("float target", "any", target=lambda m: labels(m, 6, 5).float())
    yield but("int32 target", "any", target=lambda m: labels(m, 6, 5).int())
    yield but("smoothing above 1", "error", smoothing=lambda _: 1.5)
    yield but("smoothing below 0", "any", smoothing=lambda _: -0.5)
    yield but("unknown reduction", "any", reduction=lambda _: 5)
    yield but("empty", "empty", WHOLE, x=lambda m: m(0, 5), target=lambda m: labels(m, 0, 5))
    yield but("meta", "any", x=lambda m: m(6, 5).to("meta"))


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_pixels, of_values, of_others):
        yield from part()
