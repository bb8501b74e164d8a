"""Random calls of pools, upsampling and the norms of images."""

from typing import Any

import samples_upsample
import torch
from devices import on_harness
from draws import MEMORY, MOST, Choose, any_of, image_of, pair, shape_of
from samples import BF16, F16, F32, TAKEN, Args, Make, Sample
from samples_norms import (
    batch_norm_args,
    batch_norm_backward_args,
    group_norm_args,
    group_norm_backward_args,
)
from samples_pool import Window


def window_of(choose: Choose, dims: int, of_max: bool) -> Window:
    size = tuple(choose.randint(1, 4) for _ in range(dims))
    return Window(
        size,
        tuple(choose.randint(1, 3) for _ in range(dims)),
        tuple(choose.randint(0, n // 2) for n in size),
        choose.random() < 0.3,
        (1,) * dims,
        of_max or choose.random() < 0.7,
        None if of_max else choose.choice([None, None, 3]),
    )


def pools(choose: Choose, overload: str, module: Any) -> Sample:
    dims = 3 if "3d" in overload else 2
    shape, layout = image_of(choose, dims), choose.choice(MEMORY)
    sides = [choose.randint(1, 6) for _ in range(dims)]
    w: Any = tuple(sides) if "adaptive" in overload else window_of(choose, dims, "max" in overload)
    rows = tuple(range(-dims - 1, 0))

    def forward(m: Make) -> Args:
        values: Args = module.forward(overload, m, shape, w, layout)
        return values

    if choose.random() < 0.5:
        return any_of(overload, f"{shape} {w} {layout}", forward, dims=rows)
    return any_of(
        f"{overload}_backward",
        f"{shape} {w} {layout}",
        lambda m: module.backward(overload, m, forward(m)),
        dims=rows,
    )


def upsamples(choose: Choose, op: str) -> Sample:
    name, rest = choose.choice([o for o in samples_upsample.OPS if op in o[0]])
    shape, layout = image_of(choose, 2, 1), choose.choice(MEMORY)
    to = choose.choice([(shape[2] * 2, shape[3] * 2), (choose.randint(1, 20), 16), (7, 9)])
    direction, suffix = choose.choice(
        [(samples_upsample.forward, ""), (samples_upsample.backward, "_backward")]
    )
    return any_of(
        name + suffix,
        f"{shape} to {to} {layout} {rest}",
        lambda m: direction(m, shape, to, rest, layout),
    )


def group_norms(choose: Choose) -> Sample:
    groups, each = choose.choice([1, 2, 3, 8]), choose.choice([1, 2, 4])
    shape = (choose.randint(1, 3), groups * each, *shape_of(choose, 0, 2)[:2])
    while torch.Size(shape).numel() > MOST:
        shape = (*shape[:-1], shape[-1] // 2)
    weight = choose.random() < 0.7
    return pair(
        choose,
        ("native_group_norm", "native_group_norm_backward"),
        f"{shape} in {groups} weight {weight}",
        lambda m: group_norm_args(m, shape, groups, weight, weight),
        group_norm_backward_args,
    )


def batch_norms(choose: Choose) -> Sample:
    """Stock's CPU, the harness's, adds up float32 in double, and takes no other moments than its
    own in 16 bits.
    """
    shape = image_of(choose, choose.choice([1, 2, 3]), 2)
    layout = choose.choice(MEMORY if len(shape) > 3 else MEMORY[:1])
    title, channel = f"{shape} {layout}", (0, *range(2, len(shape)))
    if choose.random() < 0.5:
        return any_of(
            "native_batch_norm",
            title,
            lambda m: batch_norm_args(m, shape, layout),
            dtypes=(BF16, F16) if on_harness() else TAKEN,
            dims=channel,
        )
    return any_of(
        "native_batch_norm_backward",
        title,
        lambda m: batch_norm_backward_args(m, batch_norm_args(m, shape, layout), grad=layout),
        dtypes=(F32,) if on_harness() else TAKEN,
        dims=channel,
    )
