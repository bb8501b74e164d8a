"""Rows of convolution: batch x channels x height x width, with one to three spatial sizes.

Layouts: contiguous; channels_last (two spatial sizes: input, weight and gradient); transposed (one:
(batch, length, channels) transposed, as models of speech hold it).
filters: channels of the result. taps, stride, pad, dilation: one number, or one per spatial size:
3x3. groups: a number, or "depthwise": as many as channels. bias=no: none. first=yes (backward): the
first layer of a model, whose input needs no gradient. frozen=yes: the weight is packed, as
polyops.freeze() does.
"""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops import _C
from polyops._bench.inputs import Case, Inputs, nbytes, new_results
from polyops._bench.shapes import Spec

aten: Any = torch.ops.aten


def _numbers(spec: Spec, name: str, default: str) -> list[int]:
    spatial = len(spec.sizes) - 2
    found = [int(value) for value in spec.option(name, default).split("x")]
    return found * spatial if len(found) == 1 else found


def _weight(inputs: Inputs, sizes: tuple[int, ...]) -> Tensor:
    """Of unit variance of the result; channels last as model.to(memory_format=...) makes it."""
    weight = inputs.typed(torch.randn(sizes) / math.sqrt(math.prod(sizes[1:])))
    if inputs.spec.layout == "channels_last":
        return weight.to(memory_format=torch.channels_last)
    return weight


def convolution(inputs: Inputs, name: str, out: bool) -> Case:
    """Of one product forward, of one for each of the two gradients backward."""
    spec = inputs.spec
    channels = spec.sizes[1]
    groups_ = spec.option("groups", "1")
    groups = channels if groups_ == "depthwise" else int(groups_)
    filters = int(spec.option("filters", str(channels)))
    x = inputs.input()
    taps = _numbers(spec, "taps", "1")
    weight = _weight(inputs, (filters, channels // groups, *taps))
    bias = None if spec.option("bias", "yes") == "no" else inputs.randn(filters)
    lists = [_numbers(spec, *of) for of in (("stride", "1"), ("pad", "0"), ("dilation", "1"))]
    window: tuple[Any, ...] = (*lists, False, [0] * len(taps), groups)
    if spec.option("frozen", "no") == "yes" and not inputs.exact:
        stride, padding, dilation = lists
        # Whether it is read, the gates decide.
        _C.pack_convolution(weight, stride, padding, dilation, groups, gated=False)
    fn = partial(torch.convolution, x, weight, bias, *window)
    y = fn()
    flops = 2 * y.numel() * math.prod(weight.shape[1:])
    if name == "convolution":
        return new_results(fn, nbytes(x, weight, bias, y), flops)
    grad = torch.empty_like(y).copy_(inputs.randn(*y.shape))
    sizes = None if bias is None else [filters]
    mask = [spec.option("first", "no") == "no", True, bias is not None]
    moved = nbytes(grad, x, weight, weight, bias) + nbytes(x) * mask[0]
    call = partial(aten.convolution_backward.default, grad, x, weight, sizes, *window, mask)
    return new_results(call, moved, flops * (1 + mask[0]))
