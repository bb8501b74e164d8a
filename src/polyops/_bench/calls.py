"""Turns a row of the shape files into a call: random N(0, 1) tensors of its sizes and layout.

They are made on the row's device.

Layouts of products, lhs then rhs: n rows are contiguous, t a transposed view (`nt`: weight.t() of a
Linear layer); `padded`: as nn, rows cut from a wider tensor; `strided`: no unit stride in lhs.
Layouts of all others: contiguous; channels_last (rank 4, 5); transposed: dense, last two dimensions
swapped; padded: rows cut from a wider tensor; strided: every other element of a row; mixed
(backward): the gradient contiguous, the other input transposed.
Layouts of attention: contiguous; tokens: (batch, length, heads, dim) transposed; fused: that, cut
from one projection to query, key and value. Of convolution: see _bench/convolutions.py. Of pools:
_bench/pools.py. Of glu: _bench/activations.py.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops import _C
from polyops._bench import activations, copies, joins, lookups, losses, reductions
from polyops._bench.channel_norms import NORMS
from polyops._bench.convolutions import convolution
from polyops._bench.inputs import Case, Inputs, in_place, nbytes, new_bytes, new_results
from polyops._bench.norms import layer_norm, layer_norm_backward, rms_norm, rms_norm_backward
from polyops._bench.pools import pool
from polyops._bench.shapes import Spec
from polyops._bench.upsample import UPSAMPLES, upsample

aten: Any = torch.ops.aten


def make(spec: Spec, *, exact: bool = False) -> Case:
    """The row's call. Raises ValueError for an overload or layout that this file does not know.

    exact: on the same values in float64, whose results judge others'.
    """
    name, _, variant = spec.overload.partition(".")
    builder = BUILDERS.get(name)
    if builder is None or variant not in ("", "Tensor", "out", "output", "grad_input"):
        raise ValueError(f"{spec.op}: no call is known for the overload {spec.overload!r}")
    torch.manual_seed(0)
    with torch.device(spec.device):
        return builder(Inputs(spec, exact), name, variant not in ("", "Tensor"))


def _product(inputs: Inputs, name: str, out: bool) -> Case:
    spec = inputs.spec
    batched = name.removesuffix("_") in ("bmm", "baddbmm")
    *batch, m, n, k = spec.sizes
    if len(batch) != int(batched):
        raise ValueError(f"{spec.overload}: {spec.shape()} has {len(spec.sizes)} sizes")
    layouts = {"padded": ("padded", "contiguous"), "strided": ("strided", "contiguous")}
    for left, right in itertools.product("nt", repeat=2):
        names = {"n": "contiguous", "t": "transposed"}
        layouts[left + right] = (names[left], names[right])
    lhs = inputs.tensor((*batch, m, k), layouts[spec.layout][0])
    rhs = inputs.tensor((*batch, k, n), layouts[spec.layout][1])
    dst = inputs.randn(*batch, m, n)
    if spec.option("frozen", "no") == "yes" and not inputs.exact:
        _C.pack_matrix(rhs.t(), gated=False)  # whether it is read, the gates decide
    flops = 2 * m * n * k * math.prod(batch)
    if name in ("mm", "bmm"):
        call = getattr(torch, name)
        fn = partial(call, lhs, rhs, out=dst) if out else partial(call, lhs, rhs)
        return new_results(fn, nbytes(lhs, rhs, dst), flops)
    if name.endswith("_"):
        call = getattr(Tensor, name)
        return in_place(lambda t: call(t, lhs, rhs), dst, nbytes(lhs, rhs, dst, dst), flops)
    full = spec.option("addend", "bias") == "full"
    addend = inputs.randn(*batch, m, n) if full else inputs.randn(n)
    fn = partial(getattr(torch, name), addend, lhs, rhs, **({"out": dst} if out else {}))
    return new_results(fn, nbytes(lhs, rhs, dst, addend), flops)


def _vector_product(inputs: Inputs, name: str, out: bool) -> Case:
    """Of a matrix of the row's sizes. addmv_ and addmv.out as torch.mv calls them, with beta 0."""
    spec = inputs.spec
    rows, depth = spec.sizes
    names = {"n": "contiguous", "t": "transposed"}
    matrix = inputs.tensor((rows, depth), names.get(spec.layout, spec.layout))
    vector, addend, dst = inputs.randn(depth), inputs.randn(rows), inputs.randn(rows)
    flops = 2 * rows * depth
    if out or name.endswith("_"):
        fn = partial(torch.mv, matrix, vector, **({"out": dst} if out else {}))
        return new_results(fn, nbytes(matrix, vector, dst), flops)
    fn = partial(torch.addmv, addend, matrix, vector)
    return new_results(fn, nbytes(matrix, vector, addend, dst), flops)


def _dot(inputs: Inputs, name: str, out: bool) -> Case:
    (length,) = inputs.spec.sizes
    x, y = inputs.tensor((1, length), inputs.spec.layout)[0], inputs.randn(length)
    return new_results(partial(torch.dot, x, y), nbytes(x, y), 2 * length)


def _softmax(inputs: Inputs, name: str, out: bool) -> Case:
    """And _log_softmax."""
    x = inputs.input()
    dim = int(inputs.spec.option("dim", "-1")) % x.dim()
    moved = nbytes(x) + new_bytes(x)
    if out:
        dst = torch.empty_like(x)
        return new_results(partial(getattr(aten, name).out, x, dim, False, out=dst), moved)
    return new_results(partial(getattr(torch, name), x, dim, False), moved)


def _softmax_backward(inputs: Inputs, name: str, out: bool) -> Case:
    grad, x = inputs.gradient(), inputs.input()
    dim = int(inputs.spec.option("dim", "-1")) % x.dim()
    is_log = name.startswith("_log")
    y = inputs.typed(torch.log_softmax(x, dim) if is_log else torch.softmax(x, dim))
    moved = nbytes(grad, y) + new_bytes(grad)
    args = (grad, y, dim, y.dtype)
    if out:
        result = {"out" if is_log else "grad_input": torch.empty_like(grad)}
        return new_results(partial(getattr(aten, name).out, *args, **result), moved)
    return new_results(partial(getattr(torch, name), *args), moved)


def _activation(inputs: Inputs, name: str, out: bool) -> Case:
    x = inputs.input()
    approx = inputs.spec.option("approx", "none")
    options = {"approximate": approx} if name.startswith("gelu") else {}
    if name.endswith("_"):
        # gelu of a large number is that number: repeated, the values neither grow nor vanish.
        x += 10 if options else 0
        return in_place(partial(getattr(aten, name).default, **options), x, nbytes(x, x))
    moved = nbytes(x) + new_bytes(x)
    if out:
        return new_results(
            partial(getattr(aten, name).out, x, out=torch.empty_like(x), **options), moved
        )
    call: Callable[..., Tensor] = torch.nn.functional.gelu if options else torch.relu
    return new_results(partial(call, x, **options), moved)


def _activation_backward(inputs: Inputs, name: str, out: bool) -> Case:
    grad, x = inputs.gradient(), inputs.input()
    options: dict[str, Any] = {}
    args: tuple[Any, ...] = (grad, torch.relu(x), 0)
    if name == "gelu_backward":
        args, options = (grad, x), {"approximate": inputs.spec.option("approx", "none")}
    moved = nbytes(*args[:2]) + new_bytes(grad)
    overloads = getattr(aten, name)
    if out:
        options["grad_input"] = torch.empty_like(grad)
        return new_results(partial(overloads.grad_input, *args, **options), moved)
    return new_results(partial(overloads.default, *args, **options), moved)


def _heads(inputs: Inputs, batch: int, heads: int, length: int, dim: int) -> Tensor:
    layout = inputs.spec.layout
    if layout == "contiguous":
        return inputs.randn(batch, heads, length, dim)
    if layout == "tokens":
        return inputs.randn(batch, length, heads, dim).transpose(1, 2)
    if layout == "fused":
        return inputs.randn(batch, length, 3, heads, dim)[:, :, 1].transpose(1, 2)
    raise ValueError(f"unknown layout {layout!r}")


def _attention_mask(inputs: Inputs, kind: str) -> Tensor | None:
    """Additive, as attention gets it: a boolean mask has become one of 0 and -inf."""
    batch, heads, queries, keys, _ = inputs.spec.sizes
    if kind in ("none", "causal"):
        return None
    if kind == "full":
        return inputs.randn(batch, heads, queries, keys)
    if kind == "rows":
        hidden = torch.ones(queries, keys).triu(keys - queries + 1).bool()
        return inputs.typed(torch.zeros(batch, 1, queries, keys).masked_fill(hidden, -torch.inf))
    if kind == "padding":
        lengths = torch.linspace(keys // 2, keys, batch).round()
        hidden = torch.arange(keys) >= lengths[:, None]
        mask = torch.zeros(batch, keys).masked_fill(hidden, -torch.inf)
        return inputs.typed(mask)[:, None, None].expand(batch, 1, queries, keys)
    raise ValueError(f"unknown mask {kind!r}")


def _attention(inputs: Inputs, name: str, out: bool) -> Case:
    """Of two products forward, of five backward."""
    batch, heads, queries, keys, dim = inputs.spec.sizes
    kind = inputs.spec.option("mask", "none")
    query = _heads(inputs, batch, heads, queries, dim)
    shared = int(inputs.spec.option("kv_heads", str(heads)))
    key, value = (_heads(inputs, batch, shared, keys, dim) for _ in range(2))
    mask = _attention_mask(inputs, kind)
    causal = kind == "causal"
    seen = sum(min(i + 1, keys) for i in range(queries)) if causal else queries * keys
    flops = 4 * batch * heads * seen * dim
    forward = name.removesuffix("_backward")
    fn = partial(getattr(aten, forward).default, query, key, value, 0.0, causal, attn_mask=mask)
    if forward == name:
        return new_results(fn, nbytes(query, key, value, query, mask), flops)
    result, logsumexp = fn()
    grad = torch.empty_like(result).copy_(inputs.randn(*result.shape))
    args = (grad, query, key, value, result, logsumexp, 0.0, causal)
    fn = partial(getattr(aten, name).default, *args, attn_mask=mask)
    moved = nbytes(grad, result) + 2 * nbytes(query, key, value) + nbytes(mask)
    return new_results(fn, moved, flops * 5 // 2)


BUILDERS: dict[str, Callable[[Inputs, str, bool], Case]] = {
    **dict.fromkeys(["mm", "bmm", "addmm", "addmm_", "baddbmm", "baddbmm_"], _product),
    "_addmm_activation": _product,
    **dict.fromkeys(["addmv", "addmv_"], _vector_product),
    "dot": _dot,
    **dict.fromkeys(["_softmax", "_log_softmax"], _softmax),
    **dict.fromkeys(["_softmax_backward_data", "_log_softmax_backward_data"], _softmax_backward),
    "native_layer_norm": layer_norm,
    "native_layer_norm_backward": layer_norm_backward,
    "_fused_rms_norm": rms_norm,
    "_fused_rms_norm_backward": rms_norm_backward,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
    "_scaled_dot_product_flash_attention_for_cpu_backward": _attention,
    **dict.fromkeys(["convolution", "convolution_backward"], convolution),
    **dict.fromkeys(["max_pool2d_with_indices", "max_pool2d_with_indices_backward"], pool),
    **dict.fromkeys(["avg_pool2d", "avg_pool2d_backward"], pool),
    **dict.fromkeys(["_adaptive_avg_pool2d", "_adaptive_avg_pool2d_backward"], pool),
    **dict.fromkeys(["avg_pool3d", "avg_pool3d_backward"], pool),
    **dict.fromkeys(["_adaptive_avg_pool3d", "_adaptive_avg_pool3d_backward"], pool),
    **dict.fromkeys(["max_pool3d_with_indices", "max_pool3d_with_indices_backward"], pool),
    **dict.fromkeys(["adaptive_max_pool2d", "adaptive_max_pool2d_backward"], pool),
    **dict.fromkeys(["adaptive_max_pool3d", "adaptive_max_pool3d_backward"], pool),
    **dict.fromkeys(["gelu", "gelu_", "relu", "relu_"], _activation),
    **dict.fromkeys([*UPSAMPLES, *(f"{name}_backward" for name in UPSAMPLES)], upsample),
    **dict.fromkeys(["gelu_backward", "threshold_backward"], _activation_backward),
    **activations.BUILDERS,
    **copies.BUILDERS,
    **joins.BUILDERS,
    **lookups.BUILDERS,
    **losses.BUILDERS,
    **reductions.BUILDERS,
    **NORMS,
}
