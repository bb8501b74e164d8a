"""Calls of gather, index_add, index_select, x[i] and of embedding's gradient. Sizes: the table's.

lookups: how many rows are named (as many as there are). by: how often each is, spread (all
alike), words (the n-th in proportion to 1 / n), one (half of the lookups are of one row, as of
padding). dim: of gather, index_add and index_select (0). index: int64 or int32. of (gather): rows,
of which the index is expanded over what lies behind dim; elements, each of which has its own.
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


def _gather(inputs: Inputs, name: str, out: bool) -> Case:
    table = inputs.input()
    spec = inputs.spec
    dim = int(spec.option("dim", "0"))
    sizes = list(table.shape)
    sizes[dim] = int(spec.option("lookups", str(sizes[dim])))
    if spec.option("of", "elements") == "rows":
        before = sizes[:dim]
        each = [_rows(inputs, table.shape[dim]) for _ in range(math.prod(before))]
        few = torch.stack(each).view(*before, sizes[dim], *[1] * (table.dim() - dim - 1))
        index, named = few.expand(sizes), nbytes(few)
    else:
        index = torch.randint(table.shape[dim], sizes)
        index = index.to(getattr(torch, spec.option("index", "int64")))
        named = nbytes(index)
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
    fn = partial(aten.index_add_.default, table, dim, index, source)
    untouched = table.clone()  # each call adds to the table
    return Case(
        fn,
        lambda: [untouched.clone().index_add_(dim, index, source)],
        moved,
        flops=0,
        footprint=nbytes(table, index, source),
    )


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
    "index_select": _index_select,
    "embedding_dense_backward": _embedding_backward,
}
