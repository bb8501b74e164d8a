"""Calls of group_norm: sizes are the input's, (samples, channels, ...); option groups."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.inputs import Case, Inputs, nbytes, new_results

aten: Any = torch.ops.aten


def _group_norm_inputs(inputs: Inputs) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...]]:
    """Input, weight, bias, and the numbers: samples, channels, pixels, groups."""
    samples, channels, *image = inputs.spec.sizes
    groups = math.gcd(int(inputs.spec.option("groups", "32")), channels)
    numbers = (samples, channels, math.prod(image), groups)
    return inputs.input(), inputs.randn(channels), inputs.randn(channels), numbers


def group_norm(inputs: Inputs, name: str, out: bool) -> Case:
    """native_group_norm and its backward."""
    x, weight, bias, numbers = _group_norm_inputs(inputs)
    args = (x, weight, bias, *numbers, 1e-5)
    if name == "native_group_norm":
        if out:
            y, mean, rstd = aten.native_group_norm.default(*args)
            fn = partial(aten.native_group_norm.out, *args, out0=y, out1=mean, out2=rstd)
            return new_results(fn, nbytes(x, x, weight, bias))
        return new_results(
            partial(aten.native_group_norm.default, *args), nbytes(x, x, weight, bias)
        )
    grad = inputs.gradient()
    _, mean, rstd = aten.native_group_norm.default(*args)
    backward = (grad, x, mean, rstd, weight, *numbers, [True, True, True])
    moved = nbytes(grad, x, x, weight, weight, bias)
    if out:
        results = {f"out{i}": torch.empty_like(t) for i, t in enumerate((x, weight, bias))}
        return new_results(
            partial(aten.native_group_norm_backward.out, *backward, **results), moved
        )
    return new_results(partial(aten.native_group_norm_backward.default, *backward), moved)
