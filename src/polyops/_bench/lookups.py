"""Calls that look up by an index, or add by one: gather, scatter_add, index_add, x[i] and others.

Sizes: the table's. lookups: how many rows are named (as many as there are). by: how often each is,
spread (all alike), words (the n-th in proportion to 1 / n), one (half of them are of one row,
as of padding). dim: of gather, index_add, index_select and scatter_add (0). index: int64 or int32.
of (gather, scatter_add): rows, of which the index is expanded over what lies behind dim; elements,
each of which has its own. indices (index_put): 1, or 2, of each row a place of the second
dimension.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from polyops._bench.inputs import Case, Inputs, nbytes, new_results

aten: Any = torch.ops.aten


def _rows(inputs: Inputs, rows: int) -> Tensor:
    spec = inputs.spec
    count = int(spec.option("lookups", str(rows)))
    by = spec.option("by", "spread")
    if by == "words":
        taken = ((rows + 1.0) ** torch.rand(count, dtype=torch.float64) - 1).long()
        index = torch.randperm(rows)[taken.clamp(max=rows - 1)]
    else:
        index = torch.randint(rows, (count,))
        if by == "one":
            index = index.masked_fill(torch.rand(count) < 0.5, rows // 2)
    return index.to(getattr(torch, spec.option("index", "int64")))


def _index_select(inputs: Inputs, name: str, out: bool) -> Case:
    table = inputs.input()
    dim = int(inputs.spec.option("dim", "0"))
    index = _rows(inputs, table.shape[dim])
    result = torch.index_select(table, dim, index)
    read = min(nbytes(table), nbytes(result))  # rows that are named twice may come from the cache
    moved = nbytes(index, result) + read
    into = {"out": result} if out else {}
    case = new_results(partial(torch.index_select, table, dim, index, **into), moved)
    return replace(case, footprint=nbytes(table, index, result))


def _index(inputs: Inputs, name: str, out: bool) -> Case:
    table = inputs.input()
    indices: list[Tensor | None] = [_rows(inputs, table.shape[0])]
    fn = partial(aten.index.Tensor, table, indices)
    result = fn()
    moved = nbytes(*indices, result) + min(nbytes(table), nbytes(result))
    return replace(new_results(fn, moved), footprint=nbytes(table, *indices, result))


def _places(inputs: Inputs, table: Tensor) -> tuple[int, Tensor, int]:
    """dim, an index of gather or scatter_add, and its bytes."""
    spec = inputs.spec
    dim = int(spec.option("dim", "0"))
    sizes = list(table.shape)
    sizes[dim] = int(spec.option("lookups", str(sizes[dim])))
    if spec.option("of", "elements") == "rows":
        before = sizes[:dim]
        each = [_rows(inputs, table.shape[dim]) for _ in range(math.prod(before))]
        few = torch.stack(each).view(*before, sizes[dim], *[1] * (table.dim() - dim - 1))
        return dim, few.expand(sizes), nbytes(few)
    index = torch.randint(table.shape[dim], sizes)
    index = index.to(getattr(torch, spec.option("index", "int64")))
    return dim, index, nbytes(index)


def _gather(inputs: Inputs, name: str, out: bool) -> Case:
    table = inputs.input()
    dim, index, named = _places(inputs, table)
    result = torch.gather(table, dim, index)
    read = min(nbytes(table), nbytes(result))
    into: dict[str, Any] = {"out": result} if out else {}
    moved = named + nbytes(result) + read
    case = new_results(partial(torch.gather, table, dim, index, **into), moved)
    return replace(case, footprint=nbytes(table, result) + named)


def _index_add(inputs: Inputs, name: str, out: bool) -> Case:
    table = inputs.input()
    dim = int(inputs.spec.option("dim", "0"))
    index = _rows(inputs, table.shape[dim])
    sizes = list(table.shape)
    sizes[dim] = index.numel()
    source = inputs.randn(*sizes)
    if name == "index_add":
        moved = nbytes(index, source) + 2 * nbytes(table)
        return new_results(partial(torch.index_add, table, dim, index, source), moved)
    row = nbytes(table) // table.shape[dim]
    moved = nbytes(index, source) + 2 * row * int(torch.bincount(index).count_nonzero())
    footprint = nbytes(table, index, source)
    call = aten.index_add_.default
    return _into_table(call, table, dim, index, source, moved=moved, footprint=footprint)


def _into_table(call: Any, table: Tensor, *rest: Any, moved: int, footprint: int) -> Case:
    """Of calls that add to the table."""
    untouched = table.clone()
    return Case(
        partial(call, table, *rest),
        lambda: [call(untouched.clone(), *rest)],
        moved,
        flops=0,
        footprint=footprint,
    )


def _index_put(inputs: Inputs, name: str, out: bool) -> Case:
    table = inputs.input()
    if inputs.spec.option("indices", "1") == "2":
        rows = table.shape[0]
        indices = [torch.arange(rows), torch.randint(table.shape[1], (rows,))]
    else:
        rows = int(torch.bincount(index := _rows(inputs, table.shape[0])).count_nonzero())
        indices = [index]
    width = table.shape[len(indices) :]
    values = inputs.randn(indices[0].numel(), *width)
    moved = nbytes(*indices, values) + 2 * rows * math.prod(width) * table.element_size()
    footprint = nbytes(table, *indices, values)
    call = aten._index_put_impl_.default
    return _into_table(call, table, indices, values, True, True, moved=moved, footprint=footprint)


def _scatter_add(inputs: Inputs, name: str, out: bool) -> Case:
    table = inputs.input()
    dim, index, named = _places(inputs, table)
    src = inputs.randn(*index.shape)
    reached = min(nbytes(table), nbytes(src))  # places that are named twice may come from the cache
    moved, footprint = named + nbytes(src) + 2 * reached, named + nbytes(src, table)
    if name == "scatter_add":
        moved += 2 * (nbytes(table) - reached)
        case = new_results(partial(torch.scatter_add, table, dim, index, src), moved)
        return replace(case, footprint=footprint)
    call = aten.scatter_add_.default
    return _into_table(call, table, dim, index, src, moved=moved, footprint=footprint)


def _embedding_backward(inputs: Inputs, name: str, out: bool) -> Case:
    rows, width = inputs.spec.sizes
    index = _rows(inputs, rows)
    grad = inputs.randn(index.numel(), width)
    args = (grad, index, rows, -1, False)
    moved = nbytes(grad, index) + rows * width * grad.element_size()
    return new_results(partial(aten.embedding_dense_backward.default, *args), moved)


BUILDERS: dict[str, Callable[[Inputs, str, bool], Case]] = {
    "gather": _gather,
    "index": _index,
    "index_add": _index_add,
    "index_add_": _index_add,
    "_index_put_impl_": _index_put,
    "index_select": _index_select,
    "scatter_add": _scatter_add,
    "scatter_add_": _scatter_add,
    "embedding_dense_backward": _embedding_backward,
}
