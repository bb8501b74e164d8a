"""Samples of cat. Of its kernels, families have them for devices alone."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, F64, LAYOUTS, TAKEN, Args, Make, Sample, args
from samples_elementwise import OUT_EXPECT, RANK_9, outputs

OTHER_TYPES = (torch.int64, torch.int32, torch.int16, torch.uint8, torch.bool, torch.complex64)


def parts(
    m: Make, shape: tuple[int, ...], dim: int, sizes: tuple[int, ...], layouts: tuple[str, ...]
) -> list[torch.Tensor]:
    """Tensors of that shape, but for their size along ``dim``."""
    made = []
    for index, size in enumerate(sizes):
        own = list(shape)
        own[dim] = size
        made.append(m(*own, layout=layouts[index % len(layouts)]))
    return made


def sample(what: str, expect: str, make: Any, dtypes: Any = TAKEN) -> Sample:
    return Sample("cat", what, make, expect, dtypes)


def of_shapes() -> Iterator[Sample]:
    shapes = [(7,), (5, 13), (3, 1, 17), (2, 3, 8, 9), (2, 5, 2, 3, 4), (1, 2, 1, 2, 2, 1, 3, 2)]
    for shape in shapes:
        for dim in {*range(len(shape)), -1, -len(shape)}:
            for sizes in ((1, 2), (16, 8), (5,), (3, 1, 4, 7)):
                yield sample(
                    f"{shape} dim {dim} of {sizes}",
                    "hit",
                    lambda m, s=shape, d=dim, n=sizes: args(parts(m, s, d, n, ("contiguous",)), d),
                )
    for count, columns in product((40, 130), (1, 3)):
        yield sample(
            f"{count} inputs of {columns}",
            "hit",
            lambda m, c=count, n=columns: args([m(9, n) for _ in range(c)], 1),
        )
    yield sample("odd rows", "hit", lambda m: args([m(5, 1025), m(5, 1023)], -1))
    yield sample("rank 9", "rank", lambda m: args([m(*RANK_9), m(*RANK_9)], 8))


def of_layouts() -> Iterator[Sample]:
    names = [*LAYOUTS, "channels_last"]
    for first, second, dim in product(names, names, range(4)):
        if first != second and "contiguous" not in (first, second) and dim != 1:
            continue
        yield sample(
            f"{first} {second} dim {dim}",
            "hit",
            lambda m, la=(first, second), d=dim: args(parts(m, (2, 3, 4, 5), d, (3, 4), la), d),
        )
    for sizes in ((2, 3, 2, 4, 3), (2, 1, 2, 1, 1)):
        yield sample(
            f"channels_last_3d {sizes}",
            "hit",
            lambda m, s=sizes: args(parts(m, s, 1, (3, 1), ("channels_last",)), 1),
        )
    for sizes in ((2, 1, 3, 3), (1, 3, 1, 1), (2, 3, 1, 5)):
        yield sample(
            f"unclear {sizes}",
            "hit",
            lambda m, s=sizes: args(parts(m, s, 0, (2, 1), ("channels_last", "contiguous")), 0),
        )
    yield sample("the same twice", "hit", lambda m: args([m(3, 4)] * 2, 0))


def of_values() -> Iterator[Sample]:
    yield sample("special", "hit", lambda m: args([m(9, 9, special=True), m(9, 5)], 1))
    for dtype in OTHER_TYPES:
        yield sample(
            "other types", "hit", lambda m: args([m(9, 17, scale=9), m(9, 3)], 1), (dtype,)
        )
    yield sample("complex128", "dtype", lambda m: args([m(9, 17), m(9, 3)], 1), (torch.complex128,))
    yield sample(
        "conjugate",
        "lazy negation, conjugation or zeros",
        lambda m: args([m(3, 4).conj(), m(3, 4)], 0),
        (torch.complex64,),
    )


def of_nothing() -> Iterator[Sample]:
    yield sample("one of rank 1", "hit", lambda m: args([m(0), m(3, 4), m(0)], 1))
    yield sample("rank 1 first, dim -1", "hit", lambda m: args([m(0), m(3, 4), m(3, 1)], -1))
    yield sample("an empty part", "hit", lambda m: args([m(3, 0), m(3, 4)], 1))
    yield sample(
        "rank 1 and channels_last",
        "hit",
        lambda m: args([m(0), m(2, 3, 4, 5, layout="channels_last")], 1),
    )
    yield sample("nothing", "empty", lambda m: args([m(0), m(0)], 0))
    yield sample("empty", "empty", lambda m: args([m(3, 0), m(3, 0)], 1))
    yield sample("empty elsewhere", "empty", lambda m: args([m(0, 3), m(0, 4)], 1))


def of_wrong() -> Iterator[Sample]:
    yield sample("no tensors", "error", lambda m: args([], 0))
    yield sample("dim", "error", lambda m: args([m(3, 4), m(3, 4)], 2))
    yield sample("other sizes", "error", lambda m: args([m(3, 4), m(4, 4)], 1))
    yield sample("other rank", "error", lambda m: args([m(3, 4), m(4)], 0))
    yield sample("empty of other sizes", "error", lambda m: args([m(3, 4), m(2, 0)], 1))
    yield sample("a scalar", "error", lambda m: args([m(3), m()], 0))
    mixed = "mixed dtypes or devices"
    yield sample("two dtypes", mixed, lambda m: args([m(3, 4), m(3, 4, dtype=BF16)], 0), (F32, F64))
    yield sample("empty of another dtype", mixed, lambda m: args([m(3), m(0, dtype=F64)]), (F32,))


def of_out() -> Iterator[Sample]:
    for kind, expect in OUT_EXPECT.items():
        shares = kind in ("first input", "last input", "shifted input", "view of input")

        def make(m: Make, kind: str = kind) -> Args:
            tensors = [m(6, 2), m(6, 4)]
            like = m(6, 6) if kind in LAYOUTS or "input" not in kind else tensors[-1]
            return args(tensors, 1, out=outputs(kind, m, [tensors[0], like]))

        yield Sample("cat.out", f"out: {kind}", make, "any" if shares else expect)
    yield Sample(
        "cat.out",
        "channels_last",
        lambda m: args(
            [m(2, 3, 4, 5), m(2, 1, 4, 5)], 1, out=m(2, 4, 4, 5, layout="channels_last")
        ),
    )


def samples() -> Iterator[Sample]:
    for part in (of_shapes, of_layouts, of_values, of_nothing, of_wrong, of_out):
        yield from part()
