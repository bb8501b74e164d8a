"""Rows of pools: batch x channels x (depth x) height x width of the image, backward too.

taps, stride (the taps if not given), pad: one number, or one per dimension: 3x3. ceil=yes: the last
window may reach beyond the padding. count=no (averages): the padding does not count. results: of
adaptive pools, sizes of the result.
"""

from functools import partial
from typing import Any

import torch

from polyops._bench.inputs import Case, Inputs, nbytes, new_results

aten: Any = torch.ops.aten


def pool(inputs: Inputs, name: str, out: bool) -> Case:
    spec = inputs.spec
    forward = name.removesuffix("_backward")

    def numbers(key: str, default: str) -> list[int]:
        return [int(value) for value in spec.option(key, default).split("x")]

    x = inputs.input()
    if inputs.exact and name == "avg_pool2d_backward":
        # Stock's CUDA kernel of channels last forgets the padding (pytorch/pytorch#188344): what
        # judges results comes from that of contiguous images, which is right.
        x = x.contiguous()
    taps = spec.option("taps", "2")
    window: list[Any] = [numbers("taps", taps), numbers("stride", taps), numbers("pad", "0")]
    ceil = spec.option("ceil", "no") == "yes"
    if forward.startswith("max"):
        window += [[1], ceil]
    elif forward.startswith("avg"):
        window += [ceil, spec.option("count", "yes") == "yes", None]
    else:
        window = [numbers("results", "7x7x7" if forward.endswith("3d") else "7x7")]
    overload = getattr(aten, name)
    results = getattr(aten, forward).default(x, *window)
    y, *indices = [results] if isinstance(results, torch.Tensor) else results
    moved = nbytes(x, y, *indices)
    if name == forward:
        args, written = (x, *window), {"out": y}
        if indices:
            written["indices"] = indices[0]
    else:
        grad = torch.empty_like(y).copy_(inputs.randn(*y.shape))
        parameters = [] if "adaptive" in forward else window
        args = (grad, x, *parameters, *indices)
        # Stock's gradients of averages of three dimensions are contiguous, and of adaptive pools.
        contiguous = name.startswith(("avg_pool3d", "adaptive_max_pool3d"))
        same = torch.contiguous_format if contiguous else torch.preserve_format
        written = {"grad_input": torch.empty_like(x, memory_format=same)}
    if out:
        variant = overload.out if name == forward else overload.grad_input
        return new_results(partial(variant, *args, **written), moved)
    return new_results(partial(overload.default, *args), moved)
