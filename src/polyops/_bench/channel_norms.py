"""Calls of group_norm and batch_norm: sizes are the input's, (samples, channels, ...).

Options: groups of group_norm; mode (train, eval) and weight (their dtype) of batch_norm.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.inputs import Case, Inputs, nbytes, new_bytes, new_results

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
        moved = nbytes(x, weight, bias) + new_bytes(x)
        if out:
            y, mean, rstd = aten.native_group_norm.default(*args)
            fn = partial(aten.native_group_norm.out, *args, out0=y, out1=mean, out2=rstd)
            return new_results(fn, moved)
        return new_results(partial(aten.native_group_norm.default, *args), moved)
    grad = inputs.gradient()
    _, mean, rstd = aten.native_group_norm.default(*args)
    backward = (grad, x, mean, rstd, weight, *numbers, [True, True, True])
    moved = nbytes(grad, x, weight, weight, bias) + new_bytes(x)
    if out:
        results = {f"out{i}": torch.empty_like(t) for i, t in enumerate((x, weight, bias))}
        return new_results(
            partial(aten.native_group_norm_backward.out, *backward, **results), moved
        )
    return new_results(partial(aten.native_group_norm_backward.default, *backward), moved)


def _batch_norm_inputs(inputs: Inputs) -> tuple[Tensor, list[Tensor], bool]:
    """Input; weight, bias, running mean and variance; whether in training."""
    dtype = inputs.spec.option("weight", inputs.spec.dtype)
    channels = inputs.spec.sizes[1]
    made = [torch.randn(channels), torch.randn(channels), torch.zeros(channels)]
    made.append(torch.ones(channels))
    training = inputs.spec.option("mode", "train") == "train"
    return inputs.input(), [inputs.typed(t, dtype) for t in made], training


def batch_norm(inputs: Inputs, name: str, out: bool) -> Case:
    """native_batch_norm and its backward, and those of cuDNN."""
    if out:
        raise ValueError(f"no call is known for {inputs.spec.overload!r}")
    x, parameters, training = _batch_norm_inputs(inputs)
    args = (x, *parameters, training, 0.1, 1e-5)
    forward = "cudnn_batch_norm" if name.startswith("cudnn") else "native_batch_norm"
    call = getattr(aten, forward).default
    if name == forward:
        return new_results(partial(call, *args), nbytes(x, *parameters) + new_bytes(x))
    grad = inputs.gradient()
    weight, _, *running = parameters
    _, mean, rstd, *reserve = call(*args)
    backward = getattr(aten, name).default
    moved = nbytes(grad, x, weight, weight, weight) + new_bytes(x)
    if reserve:
        fn = partial(backward, x, grad, weight, *running, mean, rstd, 1e-5, *reserve)
        return new_results(fn, moved)
    mask = [True, True, True]
    fn = partial(backward, grad, x, weight, *running, mean, rstd, training, 1e-5, mask)
    return new_results(fn, moved)


NORMS: dict[str, Callable[[Inputs, str, bool], Case]] = {
    **dict.fromkeys(["native_group_norm", "native_group_norm_backward"], group_norm),
    **dict.fromkeys(["native_batch_norm", "native_batch_norm_backward"], batch_norm),
    **dict.fromkeys(["cudnn_batch_norm", "cudnn_batch_norm_backward"], batch_norm),
}
