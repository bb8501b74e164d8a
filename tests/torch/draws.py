"""What the random calls of test_device_fuzz.py are made from: sizes, layouts, directions.

A call that is declined is stock's twice; a draw says nothing of it.
"""

import random
from collections.abc import Callable
from typing import Any

import torch
from samples import LAYOUTS, Args, Make, Sample

Choose = random.Random
Draw = Callable[[Choose], Sample]
DENSE = ["contiguous", "contiguous", "offset", "padded"]
MEMORY = ["contiguous", "channels_last"]
SIZES = [1, 2, 3, 5, 7, 8, 16, 17, 33, 64, 65, 100, 300]
MOST = 4000
"""Elements: the harness runs a lane at a time."""


def any_of(overload: str, what: str, make: Callable[[Make], Args], **of: Any) -> Sample:
    return Sample(overload, what, make, "any", **of)


def pair(choose: Choose, names: tuple[str, str], title: str, forward: Any, backward: Any) -> Sample:
    """One of both directions; a backward's arguments are made from a forward's."""
    if choose.random() < 0.5:
        return any_of(names[0], title, forward)
    return any_of(names[1], title, lambda m: backward(m, forward(m)))


def shape_of(choose: Choose, least: int, most: int) -> tuple[int, ...]:
    sizes = [choose.choice(SIZES) for _ in range(choose.randint(least, most))]
    while torch.Size(sizes).numel() > MOST:
        sizes[sizes.index(max(sizes))] //= 3
    return tuple(max(1, s) for s in sizes)


def image_of(choose: Choose, dims: int, least: int = 4) -> tuple[int, ...]:
    """A batch of images of so many dimensions."""
    sides = (choose.randint(least, 9 if dims == 3 else 14) for _ in range(dims))
    return (choose.randint(1, 2), choose.choice([1, 2, 3, 8]), *sides)


def layout_of(choose: Choose, shape: tuple[int, ...]) -> str:
    """Mostly one that a kernel reads."""
    if len(shape) < 2 or choose.random() < 0.6:
        return choose.choice(DENSE)
    return choose.choice(LAYOUTS)
