"""Calls of reductions, of norms and of cumsum.

ord: the order of a norm (2).
dim: the dimensions, comma-separated; all, if it is not given, of cumsum, max and min the last.
keep: yes for keepdim (no).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from polyops._bench.inputs import Case, Inputs, in_place, nbytes, new_results

aten: Any = torch.ops.aten
OVERLOADS = {
    "sum": (aten.sum.dim_IntList, aten.sum.IntList_out),
    "mean": (aten.mean.dim, aten.mean.out),
    "amax": (aten.amax.default, aten.amax.out),
    "amin": (aten.amin.default, aten.amin.out),
    "logsumexp": (aten.logsumexp.default, aten.logsumexp.out),
}
VARIANCES = {
    "var": (aten.var.correction, aten.var.correction_out),
    "std": (aten.std.correction, aten.std.correction_out),
    "var_mean": (aten.var_mean.correction, aten.var_mean.correction_out),
    "std_mean": (aten.std_mean.correction, aten.std_mean.correction_out),
}


def _dims(inputs: Inputs, rank: int) -> tuple[list[int], bool]:
    given = inputs.spec.option("dim", "")
    dims = [int(dim) for dim in given.split(",")] if given else list(range(rank))
    return dims, inputs.spec.option("keep", "no") == "yes"


def _reduction(inputs: Inputs, name: str, out: bool) -> Case:
    x = inputs.input()
    dims, keep = _dims(inputs, x.dim())
    plain, into = OVERLOADS[name]
    result = plain(x, dims, keep)
    fn = partial(into, x, dims, keep, out=result) if out else partial(plain, x, dims, keep)
    return new_results(fn, nbytes(x, result))


def _place(inputs: Inputs, name: str, out: bool) -> Case:
    """Of argmax and argmin."""
    x = inputs.input()
    given = inputs.spec.option("dim", "")
    dim = int(given) if given else None
    keep = inputs.spec.option("keep", "no") == "yes"
    packet = getattr(aten, name)
    result = packet.default(x, dim, keep)
    fn = (
        partial(packet.out, x, dim, keep, out=result)
        if out
        else partial(packet.default, x, dim, keep)
    )
    return new_results(fn, nbytes(x, result))


def _extreme(inputs: Inputs, name: str, out: bool) -> Case:
    """Of max and min over a dimension."""
    x = inputs.input()
    dim = int(inputs.spec.option("dim", "-1"))
    keep = inputs.spec.option("keep", "no") == "yes"
    call = getattr(aten, name).dim
    return new_results(partial(call, x, dim, keep), nbytes(x, *call(x, dim, keep)))


def _variance(inputs: Inputs, name: str, out: bool) -> Case:
    x = inputs.input()
    dims, keep = _dims(inputs, x.dim())
    plain, into = VARIANCES[name]
    result = plain(x, dims, keepdim=keep)
    results = result if isinstance(result, tuple) else (result,)
    if out:
        named = (
            dict(zip(("out0", "out1"), results, strict=False)) if results[1:] else {"out": result}
        )
        fn = partial(into, x, dims, keepdim=keep, **named)
    else:
        fn = partial(plain, x, dims, keepdim=keep)
    return new_results(fn, nbytes(x, *results))


def _norm(inputs: Inputs, name: str, out: bool) -> Case:
    x = inputs.input()
    dims, keep = _dims(inputs, x.dim())
    order = float(inputs.spec.option("ord", "2"))
    packet = getattr(aten, name)
    result = packet.default(x, order, dims, keep)
    if out:
        return new_results(partial(packet.out, x, order, dims, keep, out=result), nbytes(x, result))
    return new_results(partial(packet.default, x, order, dims, keep), nbytes(x, result))


def _truth(inputs: Inputs, name: str, out: bool) -> Case:
    """Of any and all; u8 stands for bool."""
    x = inputs.input()
    if x.dtype == torch.uint8:
        x = x.to(torch.bool)
    dims, keep = _dims(inputs, x.dim())
    packet = getattr(aten, name)
    result = packet.dims(x, dims, keep)
    if len(dims) == x.dim() and not keep:
        fn = partial(packet.all_out, x, out=result) if out else partial(packet.default, x)
    elif out:
        fn = partial(packet.dims_out, x, dims, keep, out=result)
    else:
        fn = partial(packet.dims, x, dims, keep)
    return new_results(fn, nbytes(x, result))


def _cumsum(inputs: Inputs, name: str, out: bool) -> Case:
    x = inputs.input()
    dim = int(inputs.spec.option("dim", "-1"))
    if name.endswith("_"):
        return in_place(partial(aten.cumsum_.default, dim=dim), x.zero_(), nbytes(x, x))
    result = torch.empty(x.shape, dtype=x.dtype)
    if out:
        return new_results(partial(aten.cumsum.out, x, dim, out=result), nbytes(x, result))
    return new_results(partial(aten.cumsum.default, x, dim), nbytes(x, result))


BUILDERS: dict[str, Callable[[Inputs, str, bool], Case]] = {
    **dict.fromkeys(OVERLOADS, _reduction),
    **dict.fromkeys(("argmax", "argmin"), _place),
    **dict.fromkeys(("max", "min"), _extreme),
    **dict.fromkeys(VARIANCES, _variance),
    "linalg_vector_norm": _norm,
    **dict.fromkeys(("all", "any"), _truth),
    **dict.fromkeys(("cumsum", "cumsum_"), _cumsum),
}
