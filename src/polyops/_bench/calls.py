"""Turns a row of the shape files into a call: random N(0, 1) tensors of its sizes and layout.

Layouts of products, lhs then rhs: n rows are contiguous, t a transposed view (`nt`: weight.t() of a
Linear layer); `padded`: as nn, rows cut from a wider tensor; `strided`: no unit stride in lhs.
Layouts of all others: contiguous; channels_last (rank 4); transposed: dense, last two dimensions
swapped; padded: rows cut from a wider tensor; strided: every other element of a row; mixed
(backward): the gradient contiguous, the other input transposed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.shapes import Spec

aten: Any = torch.ops.aten


@dataclass(frozen=True)
class Case:
    """A call that can be repeated."""

    fn: Callable[[], Any]
    """Calls the overload once."""
    check: Callable[[], list[Tensor]]
    """Calls it once on fresh copies of what it writes, and returns its results."""
    bytes: int
    """What has to be read and written at least."""
    flops: int
    """Multiplications and additions of a product; 0 of other ops, which memory or exp bounds."""


def make(spec: Spec) -> Case:
    """Raises ValueError for an overload or layout that this file does not know."""
    name, _, variant = spec.overload.partition(".")
    builder = BUILDERS.get(name)
    if builder is None or variant not in ("", "out", "grad_input"):
        raise ValueError(f"{spec.op}: no call is known for the overload {spec.overload!r}")
    torch.manual_seed(0)
    return builder(spec, name, variant != "")


def _dtype(spec: Spec) -> torch.dtype:
    dtype: torch.dtype = getattr(torch, spec.dtype)
    return dtype


def tensor(sizes: tuple[int, ...], dtype: torch.dtype, layout: str) -> Tensor:
    rows, last = sizes[:-1], sizes[-1]
    if layout == "contiguous":
        return torch.randn(sizes).to(dtype)
    if layout == "channels_last":
        return torch.randn(sizes).to(dtype, memory_format=torch.channels_last)
    if layout == "transposed":
        return torch.randn(*sizes[:-2], last, sizes[-2]).to(dtype).transpose(-1, -2)
    if layout == "padded":
        return torch.randn(*rows, last + 24).to(dtype)[..., 8 : last + 8]
    if layout == "strided":
        return torch.randn(*rows, 2 * last).to(dtype)[..., ::2]
    raise ValueError(f"unknown layout {layout!r}")


def _other_layout(layout: str) -> tuple[str, str]:
    """Of the gradient and of the other input."""
    return ("contiguous", "transposed") if layout == "mixed" else (layout, layout)


def _nbytes(*tensors: Tensor | None) -> int:
    return sum(t.numel() * t.element_size() for t in tensors if t is not None)


def _listed(results: Any) -> list[Tensor]:
    return [results] if isinstance(results, Tensor) else [t for t in results if t is not None]


def _case(fn: Callable[[], Any], moved: int, flops: int = 0) -> Case:
    """Of a call that returns new tensors, or fills out= tensors entirely."""
    return Case(fn, lambda: [t.clone() for t in _listed(fn())], moved, flops)


def _in_place(fn: Callable[[Tensor], Any], dst: Tensor, moved: int, flops: int = 0) -> Case:
    return Case(partial(fn, dst), lambda: [fn(dst.clone())], moved, flops)


def _product(spec: Spec, name: str, out: bool) -> Case:
    batched = "b" in name.replace("addbmm", "b")
    *batch, m, n, k = spec.sizes
    if len(batch) != int(batched):
        raise ValueError(f"{spec.overload}: {spec.shape()} has {len(spec.sizes)} sizes")
    dtype, layout = _dtype(spec), spec.layout
    plain = layout in ("padded", "strided")
    names = {"n": "contiguous", "t": "transposed"}
    lhs = tensor((*batch, m, k), dtype, layout if plain else names[layout[0]])
    rhs = tensor((*batch, k, n), dtype, "contiguous" if plain else names[layout[1]])
    dst = torch.empty(*batch, m, n, dtype=dtype)
    flops = 2 * m * n * k * (batch[0] if batched else 1)
    if name in ("mm", "bmm"):
        moved = _nbytes(lhs, rhs, dst)
        call = getattr(torch, name)
        fn = partial(call, lhs, rhs, out=dst) if out else partial(call, lhs, rhs)
        return _case(fn, moved, flops)
    if name.endswith("_"):
        dst.normal_()
        moved = _nbytes(lhs, rhs, dst, dst)
        call = getattr(Tensor, name)
        return _in_place(lambda t: call(t, lhs, rhs), dst, moved, flops)
    full = spec.option("addend", "bias") == "full"
    addend = torch.randn(*batch, m, n).to(dtype) if full else torch.randn(n).to(dtype)
    call = torch.baddbmm if batched else getattr(torch, name)
    fn = partial(call, addend, lhs, rhs, **({"out": dst} if out else {}))
    return _case(fn, _nbytes(lhs, rhs, dst, addend), flops)


def _softmax(spec: Spec, name: str, out: bool) -> Case:
    x = tensor(spec.sizes, _dtype(spec), spec.layout)
    dim = int(spec.option("dim", "-1")) % x.dim()
    dst = torch.empty_like(x)
    if out:
        return _case(partial(aten._softmax.out, x, dim, False, out=dst), _nbytes(x, dst))
    return _case(partial(torch._softmax, x, dim, False), _nbytes(x, dst))


def _softmax_backward(spec: Spec, name: str, out: bool) -> Case:
    grad_layout, layout = _other_layout(spec.layout)
    grad = tensor(spec.sizes, _dtype(spec), grad_layout)
    x = tensor(spec.sizes, _dtype(spec), layout)
    dim = int(spec.option("dim", "-1")) % x.dim()
    y = torch.softmax(x, dim)
    result = torch.empty_like(grad)
    moved = _nbytes(grad, y, result)
    if out:
        overload = aten._softmax_backward_data.out
        return _case(partial(overload, grad, y, dim, x.dtype, grad_input=result), moved)
    return _case(partial(torch._softmax_backward_data, grad, y, dim, x.dtype), moved)


def _layer_norm_inputs(spec: Spec) -> tuple[Tensor, list[int], Tensor, Tensor]:
    x = tensor(spec.sizes, _dtype(spec), _other_layout(spec.layout)[1])
    normalized = list(spec.sizes[-int(spec.option("over", "1")) :])
    dtype = getattr(torch, spec.option("weight", spec.dtype))
    weight, bias = torch.randn(normalized).to(dtype), torch.randn(normalized).to(dtype)
    return x, normalized, weight, bias


def _layer_norm(spec: Spec, name: str, out: bool) -> Case:
    x, normalized, weight, bias = _layer_norm_inputs(spec)
    args = (x, normalized, weight, bias, 1e-5)
    moved = _nbytes(x, x, weight, bias)
    if out:
        y, mean, rstd = torch.native_layer_norm(*args)
        fn = partial(aten.native_layer_norm.out, *args, out0=y, out1=mean, out2=rstd)
        return _case(fn, moved)
    return _case(partial(torch.native_layer_norm, *args), moved)


def _layer_norm_backward(spec: Spec, name: str, out: bool) -> Case:
    x, normalized, weight, bias = _layer_norm_inputs(spec)
    grad = tensor(spec.sizes, _dtype(spec), _other_layout(spec.layout)[0])
    _, mean, rstd = torch.native_layer_norm(x, normalized, weight, bias, 1e-5)
    args = (grad, x, normalized, mean, rstd, weight, bias, [True, True, True])
    moved = _nbytes(grad, x, x, weight, weight, bias)
    if out:
        results = [torch.empty_like(t) for t in (x, weight, bias)]
        names = {f"out{i}": result for i, result in enumerate(results)}
        return _case(partial(aten.native_layer_norm_backward.out, *args, **names), moved)
    return _case(partial(aten.native_layer_norm_backward.default, *args), moved)


def _activation(spec: Spec, name: str, out: bool) -> Case:
    x = tensor(spec.sizes, _dtype(spec), spec.layout)
    options = {"approximate": spec.option("approx", "none")} if name.startswith("gelu") else {}
    moved = _nbytes(x, x)
    if name.endswith("_"):
        # gelu of a large number is that number: repeated, the values neither grow nor vanish.
        x += 10 if options else 0
        return _in_place(partial(getattr(aten, name).default, **options), x, moved)
    if out:
        return _case(partial(getattr(aten, name).out, x, out=torch.empty_like(x), **options), moved)
    call: Callable[..., Tensor] = torch.nn.functional.gelu if options else torch.relu
    return _case(partial(call, x, **options), moved)


def _activation_backward(spec: Spec, name: str, out: bool) -> Case:
    grad_layout, layout = _other_layout(spec.layout)
    grad = tensor(spec.sizes, _dtype(spec), grad_layout)
    x = tensor(spec.sizes, _dtype(spec), layout)
    moved = _nbytes(grad, x, grad)
    options: dict[str, Any] = {}
    args: tuple[Any, ...] = (grad, torch.relu(x), 0)
    if name == "gelu_backward":
        args, options = (grad, x), {"approximate": spec.option("approx", "none")}
    overloads = getattr(aten, name)
    if out:
        options["grad_input"] = torch.empty_like(grad)
        return _case(partial(overloads.grad_input, *args, **options), moved)
    return _case(partial(overloads.default, *args, **options), moved)


BUILDERS: dict[str, Callable[[Spec, str, bool], Case]] = {
    **dict.fromkeys(["mm", "bmm", "addmm", "addmm_", "baddbmm", "baddbmm_"], _product),
    "_addmm_activation": _product,
    "_softmax": _softmax,
    "_softmax_backward_data": _softmax_backward,
    "native_layer_norm": _layer_norm,
    "native_layer_norm_backward": _layer_norm_backward,
    **dict.fromkeys(["gelu", "gelu_", "relu", "relu_"], _activation),
    **dict.fromkeys(["gelu_backward", "threshold_backward"], _activation_backward),
}
