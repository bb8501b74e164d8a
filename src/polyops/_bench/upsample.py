"""Rows of upsample_*2d: batch x channels x height x width of the small image, backward too.

times: how many times as high and wide the other one is, 2 if not given; below 1 it is smaller.
to: its height x width instead, without factors, as F.interpolate with a size passes. align=yes:
align_corners.
"""

from functools import partial
from typing import Any

import torch

from polyops._bench.inputs import Case, Inputs, nbytes, new_results

aten: Any = torch.ops.aten

UPSAMPLES = ["upsample_nearest2d", "_upsample_nearest_exact2d"]
UPSAMPLES += ["upsample_bilinear2d", "upsample_bicubic2d"]


def upsample(inputs: Inputs, name: str, out: bool) -> Case:
    spec = inputs.spec
    *planes, high, wide = spec.sizes
    times = float(spec.option("times", "2"))
    to = [max(1, int(size * times)) for size in (high, wide)]
    factors: tuple[Any, Any] = (times, times)
    if spec.option("to", ""):
        factors = (None, None)
        to = [int(size) for size in spec.option("to", "").split("x")]
    rest = factors if "nearest" in name else (spec.option("align", "no") == "yes", *factors)
    if not name.endswith("_backward"):
        x = inputs.input()
        y = inputs.tensor((*planes, *to), spec.layout)
        fn = partial(getattr(aten, name).default, x, to, *rest)
        if out:
            fn = partial(getattr(aten, name).out, x, to, *rest, out=torch.empty_like(y))
        return new_results(fn, nbytes(x, y))
    grad = inputs.tensor((*planes, *to), spec.layout)
    moved = nbytes(grad, inputs.input())
    args = (grad, to, list(spec.sizes), *rest)
    if out:
        result = torch.empty_like(inputs.input())
        return new_results(partial(getattr(aten, name).grad_input, *args, grad_input=result), moved)
    return new_results(partial(getattr(aten, name).default, *args), moved)
