"""Calls of layer_norm and rms_norm, forward and backward."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.inputs import Case, Inputs, nbytes, new_bytes, new_results

aten: Any = torch.ops.aten


def _layer_norm_inputs(inputs: Inputs) -> tuple[Tensor, list[int], Tensor, Tensor]:
    spec = inputs.spec
    normalized = list(spec.sizes[-int(spec.option("over", "1")) :])
    dtype = spec.option("weight", spec.dtype)
    weight, bias = (inputs.typed(torch.randn(normalized), dtype) for _ in range(2))
    return inputs.input(), normalized, weight, bias


def layer_norm(inputs: Inputs, name: str, out: bool) -> Case:
    x, normalized, weight, bias = _layer_norm_inputs(inputs)
    args = (x, normalized, weight, bias, 1e-5)
    moved = nbytes(x, weight, bias) + new_bytes(x)
    if out:
        y, mean, rstd = torch.native_layer_norm(*args)
        fn = partial(aten.native_layer_norm.out, *args, out0=y, out1=mean, out2=rstd)
        return new_results(fn, moved)
    return new_results(partial(torch.native_layer_norm, *args), moved)


def layer_norm_backward(inputs: Inputs, name: str, out: bool) -> Case:
    x, normalized, weight, bias = _layer_norm_inputs(inputs)
    grad = inputs.gradient()
    _, mean, rstd = torch.native_layer_norm(x, normalized, weight, bias, 1e-5)
    args = (grad, x, normalized, mean, rstd, weight, bias, [True, True, True])
    moved = nbytes(grad, x, weight, weight, bias) + new_bytes(x)
    if out:
        results = [torch.empty_like(t) for t in (x, weight, bias)]
        names = {f"out{i}": result for i, result in enumerate(results)}
        return new_results(partial(aten.native_layer_norm_backward.out, *args, **names), moved)
    return new_results(partial(aten.native_layer_norm_backward.default, *args), moved)


def _rms_norm_inputs(inputs: Inputs) -> tuple[Tensor, list[int], Tensor]:
    normalized = list(inputs.spec.sizes[-int(inputs.spec.option("over", "1")) :])
    return inputs.input(), normalized, inputs.randn(*normalized)


def rms_norm(inputs: Inputs, name: str, out: bool) -> Case:
    x, normalized, weight = _rms_norm_inputs(inputs)
    fn = partial(aten._fused_rms_norm.default, x, normalized, weight, 1e-6)
    return new_results(fn, nbytes(x, weight) + new_bytes(x))


def rms_norm_backward(inputs: Inputs, name: str, out: bool) -> Case:
    x, normalized, weight = _rms_norm_inputs(inputs)
    grad = inputs.gradient()
    wide = x.double() if inputs.exact else x.float()
    over = tuple(range(-len(normalized), 0))
    rstd = (wide.square().mean(over, keepdim=True) + 1e-6).rsqrt()
    args = (grad, x, normalized, rstd, weight, [True, True])
    moved = nbytes(grad, x, weight, weight) + new_bytes(x)
    return new_results(partial(aten._fused_rms_norm_backward.default, *args), moved)
