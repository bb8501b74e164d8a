"""Calls of mish, softplus, elu, log_sigmoid and glu. Of glu the row's sizes are the input's.

dim: along which glu takes halves (-1).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.inputs import Case, Inputs, in_place, nbytes, new_bytes, new_results

aten: Any = torch.ops.aten


def _activation(inputs: Inputs, name: str, out: bool) -> Case:
    x = inputs.input()
    overloads = getattr(aten, name)
    if name.endswith("_"):
        # Repeated, the values neither grow nor vanish: where these are, a function is x itself.
        x += 10
        return in_place(overloads.default, x, nbytes(x, x))
    if out:
        names = ("output", "buffer") if name == "log_sigmoid_forward" else ("out",)
        results = dict(zip(names, (torch.empty_like(x), x.new_empty(0)), strict=False))
        fn = partial(getattr(overloads, names[0]), x, **results)
    else:
        fn = partial(overloads.default, x)
    return new_results(fn, nbytes(x) + new_bytes(x))


def _gradient(inputs: Inputs, name: str, out: bool) -> Case:
    grad, x = inputs.gradient(), inputs.input()
    args: dict[str, tuple[Any, ...]] = {
        "mish_backward": (grad, x),
        "softplus_backward": (grad, x, 1, 20),
        "elu_backward": (grad, 1, 1, 1, False, x),
        "log_sigmoid_backward": (grad, x, x if x.is_cpu else x.new_empty(0)),
    }
    moved = nbytes(grad, x) + new_bytes(grad)
    return _call(name, args[name], grad if out else None, moved)


def _glu(inputs: Inputs, name: str, out: bool) -> Case:
    x = inputs.input()
    dim = int(inputs.spec.option("dim", "-1"))
    half = x.chunk(2, dim)[0]
    if name == "glu_backward":
        grad = inputs.randn(*half.shape)
        moved = nbytes(grad, x) + new_bytes(x)
        return _call(name, (grad, x, dim), x if out else None, moved)
    moved = nbytes(x) + new_bytes(half)
    if out:
        return new_results(partial(aten.glu.out, x, dim, out=torch.empty_like(half)), moved)
    return new_results(partial(torch.nn.functional.glu, x, dim), moved)


def _call(name: str, args: tuple[Any, ...], like: Tensor | None, moved: int) -> Case:
    """like: what grad_input= is like, if it is given."""
    overloads = getattr(aten, name)
    if like is None:
        return new_results(partial(overloads.default, *args), moved)
    result = torch.empty_like(like)
    return new_results(partial(overloads.grad_input, *args, grad_input=result), moved)


BUILDERS: dict[str, Callable[[Inputs, str, bool], Case]] = {
    **dict.fromkeys(["mish", "mish_", "softplus", "elu", "elu_"], _activation),
    "log_sigmoid_forward": _activation,
    **dict.fromkeys(["mish_backward", "softplus_backward", "elu_backward"], _gradient),
    "log_sigmoid_backward": _gradient,
    **dict.fromkeys(["glu", "glu_backward"], _glu),
}
